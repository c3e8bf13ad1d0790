package main

import (
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap/ssh"
)

func TestVersion(t *testing.T) {
	info := &debug.BuildInfo{Main: debug.Module{Version: "v0.1.0"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "66803c6"}, {Key: "vcs.modified", Value: "true"}}}
	for name, c := range map[string]struct {
		info   *debug.BuildInfo
		agents []ssh.AgentBinary
		want   string
	}{
		"release": {info, []ssh.AgentBinary{{Arch: "amd64", SHA256: "aa"}, {Arch: "arm64", SHA256: "bb"}},
			"zkboot    v0.1.0\ncommit    66803c6 with local changes\nGO\nprotocol  1\nagent     linux/amd64 aa\nagent     linux/arm64 bb\n"},
		"nothing known": {nil, nil,
			"zkboot    unknown\ncommit    unknown\nGO\nprotocol  1\nagent     none embedded: this program serves hosts of its own architecture itself\n"},
	} {
		var b strings.Builder
		if err := writeVersion(&b, c.info, c.agents); err != nil {
			t.Fatal(err)
		}
		own := "go        " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
		if got := strings.Replace(b.String(), own, "GO", 1); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}
