//go:build lab

package zookeepertest

import "testing"

// A second call is answered from the cache with the same archive.
func TestRelease(t *testing.T) {
	a := Release(t)
	if b := Release(t); a != b {
		t.Errorf("found %+v, then %+v", a, b)
	}
	if !fixed(a.Version) {
		t.Errorf("%s has a fault that zkboot refuses", a.Version)
	}
	t.Logf("ZooKeeper %s in %s", a.Version, a.File)
}
