package main

import (
	"crypto/sha512"
	"testing"
)

func TestPulseOf(t *testing.T) {
	p, err := pulseOf(`{"type":"event","kind":"done","step":"connect"}
{"type":"pulse","writes":512,"longest_stall_ms":1240,"lost_acks":0}
{"type":"result","outcome":"restarted","code":0}
`)
	if err != nil || p.Writes != 512 || p.StallMS != 1240 || p.Lost != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []string{"", `{"type":"result"}` + "\n", "not JSON\n"} {
		if p, err := pulseOf(bad); err == nil {
			t.Errorf("%q: %+v", bad, p)
		}
	}
}

func TestWithSource(t *testing.T) {
	const spec = "ensemble:\n  source: {apt: {}}\n  accept_known_issues: [ZOOKEEPER-4785]\n"
	got, err := withSource(spec, "/cache/zk.tar.gz", sha512.Sum512(nil))
	want := "ensemble:\n  source: {tarball: {url: \"file:///cache/zk.tar.gz\", sha512: cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e}}\n  accept_known_issues: []\n"
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	if _, err := withSource("ensemble: {}\n", "/cache/zk.tar.gz", sha512.Sum512(nil)); err == nil {
		t.Error("a spec without a source to replace")
	}
}
