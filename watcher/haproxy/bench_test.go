package haproxy

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// big is a sink of 500 services with 20 instances each, as the fake has them.
func big(b *testing.B) *rig {
	routes := map[string]config.Route{}
	for n := range 500 {
		routes[fmt.Sprintf("svc%03d", n)] = config.Route{Service: fmt.Sprintf("svc%03d", n), Bind: fmt.Sprintf("127.0.0.1:%d", 20000+n)}
	}
	r := newRig(b, routes)
	var sets []watcher.Set
	for name := range routes {
		sets = append(sets, watcher.Set{Service: name, Instances: some(0, 20)})
	}
	if _, err := r.Apply(b.Context(), sets); err != nil {
		b.Fatal(err)
	}
	r.tick(b)
	r.fake.start()
	r.tick(b)
	return r
}

func BenchmarkOneInstanceOf10000(b *testing.B) {
	r := big(b)
	sets := [2][]watcher.Instance{some(0, 20), some(0, 21)}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		r.apply(b, "svc123", sets[(n+1)%2]...)
	}
}

func BenchmarkTheFileOf10000(b *testing.B) {
	r := big(b)
	b.ReportAllocs()
	for b.Loop() {
		wanted, _ := r.wantedFile(false)
		if err := wanted(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTheFileOf10000AfterARest(b *testing.B) {
	r := big(b)
	b.ReportAllocs()
	for b.Loop() {
		for _, x := range r.backends {
			x.touch()
		}
		wanted, _ := r.wantedFile(false)
		if err := wanted(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAnAuditOf10000(b *testing.B) {
	r := big(b)
	b.ReportAllocs()
	for b.Loop() {
		if out, err := r.Audit(b.Context()); err != nil || len(out.Actions) > 0 {
			b.Fatal(out, err)
		}
	}
}

func BenchmarkTheStateOf10000(b *testing.B) {
	r := big(b)
	text := r.fake.state(nil)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := r.load(r.counts.Pid, text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkALookAt500Backends(b *testing.B) {
	r := big(b)
	text := r.fake.stat()
	b.ReportAllocs()
	for b.Loop() {
		active, err := parseActive(text)
		if err != nil {
			b.Fatal(err)
		}
		r.odd(active)
	}
}

func BenchmarkTheConnectionsOfABackend(b *testing.B) {
	r := big(b)
	columns := strings.Repeat("0,", 90) // as many as 2.6 has behind the first few
	text := "# pxname,svname,scur,used_conn_cur," + strings.ReplaceAll(columns, "0", "other") + "addr,\n"
	for _, x := range r.backend("zkwatch-svc123").servers {
		text += "zkwatch-svc123," + x.name + ",0,0," + columns + x.addr.String() + ",\n"
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := r.backend("zkwatch-svc123").settle(text); err != nil {
			b.Fatal(err)
		}
	}
}
