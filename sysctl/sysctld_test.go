package sysctl

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

func checkGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s, rewrite with -update if this is meant (-want +got):\n%s", path, diff)
	}
}

func TestRenderedFiles(t *testing.T) {
	for _, name := range []string{PresetZooKeeper, PresetSidecar} {
		t.Run(name, func(t *testing.T) {
			tuning, err := Tune(name, Dedicated)
			if err != nil {
				t.Fatal(err)
			}
			checkGolden(t, name+".sysctl.golden", RenderSysctlD(name, tuning.Sysctl))
			checkGolden(t, name+".limits.golden", RenderLimitsD(name, name, tuning.Limits))
			checkGolden(t, name+".unit.golden", RenderUnitLimits(name, tuning.Limits))
		})
	}
}

func TestRenderKeepsTextInItsComment(t *testing.T) {
	got := RenderSysctlD("a\nvm.a = 1", []Setting{
		{Key: "vm.b", Value: "2\nvm.c = 3", Why: "so\nvm.d = 4", Source: "x\rvm.e = 5"},
		{Key: "vm.left", Rule: Leave, Why: "not shown"},
	})
	parsed, err := ParseSysctlD(File{Path: "f", Data: got})
	want := []Assignment{{Key: "vm.b", Value: "2 vm.c = 3", Line: 5}}
	if diff := cmp.Diff(want, parsed); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestRenderedSettingsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genRaiseOnly(t, "setting")
		s.Why = rapid.String().Draw(t, "why")
		parsed, err := ParseSysctlD(File{Data: RenderSysctlD(rapid.String().Draw(t, "owner"), []Setting{s})})
		if err != nil || len(parsed) != 1 || parsed[0].Key != s.Key || parsed[0].Value != s.Value {
			t.Fatalf("%+v reads back as %+v, %v", s, parsed, err)
		}
	})
}

func TestParseSysctlD(t *testing.T) {
	data := "# comment\n ; comment\n\nvm.swappiness=1\n" +
		"  net/ipv4/tcp_rmem = 4096\t16060  262144 \r\n" +
		"- kernel.domainname = a=b\n-net.ipv4.conf.all.rp_filter\nnet.ipv4.conf.*.rp_filter = 2\n" +
		"vm.swappiness 1\n= 5\nvm.a b = 1\nkernel.core_pattern =\n"
	want := []Assignment{
		{Key: "vm.swappiness", Value: "1", Line: 4},
		{Key: "net.ipv4.tcp_rmem", Value: "4096\t16060  262144", Line: 5},
		{Key: "kernel.domainname", Value: "a=b", IgnoreErrors: true, Line: 6},
		{Key: "net.ipv4.conf.all.rp_filter", Exclude: true, Line: 7},
		{Key: "net.ipv4.conf.*.rp_filter", Value: "2", Line: 8},
		{Key: "kernel.core_pattern", Line: 12},
	}
	got, err := ParseSysctlD(File{Path: "/etc/sysctl.d/x.conf", Data: []byte(data)})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	const badKey = "key holds a space, a control character, an equals sign or bytes that are not UTF-8"
	wantErr := "/etc/sysctl.d/x.conf:9: " + badKey + "\n/etc/sysctl.d/x.conf:10: key is empty\n/etc/sysctl.d/x.conf:11: " + badKey
	if errText(err) != wantErr {
		t.Errorf("got\n%v\nwant\n%s", err, wantErr)
	}
	_, err = ParseSysctlD(File{Path: "f", Data: []byte("vm.swappiness")})
	if errText(err) != "f:1: is neither an assignment nor a key after a dash" {
		t.Errorf("got %v", err)
	}
}

func FuzzParseSysctlD(f *testing.F) {
	f.Add([]byte("# c\nvm.swappiness = 1\n-net.ipv4.conf.all.x\n-a.b=c\nnet/x.y/z=1"))
	f.Add([]byte("--a.b = 1\n- -c.d\n/#x = 1\na..b=\r\r"))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, _ := ParseSysctlD(File{Data: data})
		var text []byte
		for i, a := range first {
			text = append(text, a.String()+"\n"...)
			first[i].Line = i + 1
		}
		if again, err := ParseSysctlD(File{Data: text}); err != nil || !cmp.Equal(first, again) {
			t.Errorf("%q reads back otherwise: %v\n%s", text, err, cmp.Diff(first, again))
		}
	})
}
