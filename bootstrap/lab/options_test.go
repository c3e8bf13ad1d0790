package lab

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestOptionsReportEveryFinding(t *testing.T) {
	ok := Options{Name: "main", ZooKeeper: 3, Dir: "d"}
	for _, tt := range []struct {
		name string
		edit func(*Options)
		want []string // each begins a line of the error; none means valid
	}{
		{"three members", func(o *Options) {}, nil},
		{"apps alone", func(o *Options) { o.ZooKeeper, o.Apps = 0, 2 }, nil},
		{"longest name", func(o *Options) { o.Name = strings.Repeat("a", 20) }, nil},
		{"long name", func(o *Options) { o.Name = strings.Repeat("a", 21) }, []string{`name: "aaaaaaaaaaaaaaaaaaaaa"`}},
		{"path in the name", func(o *Options) { o.Name = "../x" }, []string{`name: "../x"`}},
		{"dash at the end", func(o *Options) { o.Name = "a-" }, []string{`name: "a-"`}},
		{"underscore, which table names need", func(o *Options) { o.Name = "a_b" }, []string{`name: "a_b"`}},
		{"virtual machines", func(o *Options) { o.Driver = DriverQEMU }, nil},
		{"unknown driver", func(o *Options) { o.Driver = "xen" }, []string{`driver: "xen" is unknown, want nspawn or qemu`}},
		{"no host", func(o *Options) { o.ZooKeeper = 0 }, []string{"zookeeper, apps: both are 0"}},
		{"more than the subnet holds", func(o *Options) { o.ZooKeeper, o.Apps = 91, 151 }, []string{"zookeeper: 91", "apps: 151"}},
		{"all at once", func(o *Options) { *o = Options{ZooKeeper: -1} }, []string{`name: ""`, "zookeeper: -1", "dir: empty"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := ok
			tt.edit(&o)
			err := o.validate()
			if err == nil {
				if tt.want != nil {
					t.Fatalf("valid, want %q", tt.want)
				}
				if !filepath.IsAbs(o.Dir) || o.Log == nil {
					t.Errorf("dir %q, log %v: want an absolute path and a logger", o.Dir, o.Log)
				}
				return
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Fatalf("findings %q, want %q", lines, tt.want)
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("finding %q, want %q", lines[i], want)
				}
			}
		})
	}
}
