package zookeeper

import (
	"reflect"
	"strings"
	"testing"
)

func TestFoundingConfiguration(t *testing.T) {
	golden(t, "dynamic.1", Founding(testSpec(1)).String())
	golden(t, "dynamic.3", Founding(testSpec(3)).String())
	five := testSpec(5)
	for host, addr := range map[string]string{"zk1": "fd00::1", "zk2": "fd00::2", "zk3": "fd00::3"} {
		h := five.Hosts[host]
		h.Address = addr
		five.Hosts[host] = h
	}
	for _, host := range []string{"zk4", "zk5"} {
		m := five.Ensemble.Members[host]
		m.Role = "observer"
		five.Ensemble.Members[host] = m
	}
	five.Ensemble.Ports.Client = 2182
	golden(t, "dynamic.5", Founding(five).String())
}

func TestParseDynamic(t *testing.T) {
	one := func(s Server) Dynamic { return Dynamic{Servers: []Server{s}} }
	v4 := Address{Host: "10.0.0.1", Quorum: 2888, Election: 3888}
	for _, tt := range []struct {
		src  string
		want Dynamic
	}{
		{"server.1=10.0.0.1:2888:3888:participant;10.0.0.1:2181", one(Server{1, []Address{v4}, Participant, "10.0.0.1", 2181})},
		{"# a comment\n\n server.1 = 10.0.0.1:2888:3888;2181\n", one(Server{1, []Address{v4}, Participant, "", 2181})},
		{"server.1=10.0.0.1:2888:3888:OBSERVER", one(Server{1, []Address{v4}, Observer, "", 0})},
		{"server.1=[fd00::1]:2888:3888:participant;[fd00::1]:2181", one(Server{1, []Address{{"fd00::1", 2888, 3888}}, Participant, "fd00::1", 2181})},
		{"server.1=a:1:2|b:3:4:participant;0.0.0.0:5", one(Server{1, []Address{{"a", 1, 2}, {"b", 3, 4}}, Participant, "0.0.0.0", 5})},
		{"group.1=1:2:3\nweight.1=2\nversion=100000000", Dynamic{Groups: map[string]string{"group.1": "1:2:3", "weight.1": "2"}, Version: "100000000"}},
	} {
		got, err := ParseDynamic(tt.src)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("ParseDynamic(%q) = %+v, %v; want %+v", tt.src, got, err, tt.want)
		}
	}
}

func TestParseDynamicErrors(t *testing.T) {
	for _, tt := range []struct{ src, want string }{
		{"server.1=10.0.0.1", `line 1: server.1: "10.0.0.1" is no host:port:port[:role]`},
		{"\nserver.x=a:1:2", `line 2: server.x: "x" is no server id`},
		{"server.01=a:1:2", `"01" is no server id`},
		{"server.1=a:0:2", `"0" is no port`},
		{"server.1=a:1:70000", `"70000" is no port`},
		{"server.1=a:1:2:leader", `role "leader" is neither participant nor observer`},
		{"server.1=a:1:2;host:", `client address "host:"`},
		{"server.1=[fd00::1:1:2", "no host:port:port"},
		{"server.1=[10.0.0.1]:1:2", `"[10.0.0.1]" is no IPv6 address in brackets`},
		{"server.1=a:1:2\nserver.1=b:1:2", "line 2: server.1 is given twice"},
		{"version=xyz", `version "xyz" is no hex number`},
		{"group.1=", "is no group or weight"},
		{"clientPort=2181", `unknown key "clientPort"`},
		{"nonsense", `"nonsense" is no key=value`},
	} {
		got, err := ParseDynamic(tt.src)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseDynamic(%q): %v; want an error with %q", tt.src, err, tt.want)
		}
		if !reflect.DeepEqual(got, Dynamic{}) {
			t.Errorf("ParseDynamic(%q): %+v comes with the error", tt.src, got)
		}
	}
}

func TestParseDynamicReportsEveryLine(t *testing.T) {
	_, err := ParseDynamic("server.1=a\nserver.2=b:1:2\nserver.3=c")
	for _, want := range []string{"line 1", "line 3"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want it to name %s", err, want)
		}
	}
}

func FuzzParseDynamic(f *testing.F) {
	f.Add(Founding(testSpec(3)).String())
	f.Add("server.1=[fd00::1]:2888:3888:observer;[fd00::1]:2181\ngroup.1=1\nversion=ff")
	f.Add("server.1=a:1:2|b:3:4;5")
	f.Fuzz(func(t *testing.T, src string) {
		d, err := ParseDynamic(src)
		if err != nil {
			return
		}
		again, err := ParseDynamic(d.String())
		if err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%q is written as %q and read back as %+v, %v; want %+v", src, d, again, err, d)
		}
	})
}

func TestDifferences(t *testing.T) {
	live := Founding(testSpec(3))
	for _, tt := range []struct {
		name   string
		change func(*Dynamic)
		want   []string
	}{
		{"none", func(*Dynamic) {}, nil},
		{"another version is the same members", func(d *Dynamic) { d.Version = "ff" }, nil},
		{"an address spelled as IPv6", func(d *Dynamic) { d.Servers[0].ClientHost = "::ffff:10.0.0.1" }, nil},
		{"one more", func(d *Dynamic) { d.Servers = append(d.Servers, Founding(testSpec(4)).Servers[3]) },
			[]string{"the spec has server.4=10.0.0.4:2888:3888:participant;10.0.0.4:2181, the live ensemble has no server 4"}},
		{"one fewer", func(d *Dynamic) { d.Servers = d.Servers[:2] },
			[]string{"live has server.3=10.0.0.3:2888:3888:participant;10.0.0.3:2181, the spec has no server 3"}},
		{"another role", func(d *Dynamic) { d.Servers[2].Role = Observer },
			[]string{"live has server.3=10.0.0.3:2888:3888:participant;10.0.0.3:2181, the spec has server.3=10.0.0.3:2888:3888:observer;10.0.0.3:2181"}},
		{"another client port", func(d *Dynamic) { d.Servers[0].ClientPort = 2182 },
			[]string{"live has server.1=10.0.0.1:2888:3888:participant;10.0.0.1:2181, the spec has server.1=10.0.0.1:2888:3888:participant;10.0.0.1:2182"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := Founding(testSpec(3))
			tt.change(&want)
			if got := Differences(live, want); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
