//go:build lab

package watchertest

import (
	"testing"
	"time"
)

func TestZooKeeperServersComeAndGo(t *testing.T) {
	start := time.Now()
	e := ZooKeeper(t, 3)
	t.Logf("three servers serve after %s", time.Since(start).Round(time.Millisecond))
	leader := e.Leader()
	if leader == nil || len(e.Followers()) != 2 {
		t.Fatalf("leader %v and %d followers, want one and 2", leader, len(e.Followers()))
	}
	start = time.Now()
	leader.Kill()
	if err := e.WaitServing(); err != nil {
		t.Fatal(err)
	}
	t.Logf("another leader %s after the kill", time.Since(start).Round(time.Millisecond))
	if next := e.Leader(); next == leader {
		t.Error("the killed server leads")
	}
	if err := leader.Start(); err != nil {
		t.Fatal(err)
	}
	if mode := leader.Mode(); mode != "follower" {
		t.Errorf("the old leader came back as %q, want follower", mode)
	}
	paused := e.Followers()[0]
	paused.Pause()
	if mode := paused.Mode(); mode != "" || !paused.Running() {
		t.Errorf("a paused server: mode %q, running %t; want silence from one that runs", mode, paused.Running())
	}
	paused.Resume()
	if err := e.WaitServing(); err != nil {
		t.Fatal(err)
	}
	if n, err := paused.Stat("zk_znode_count"); err != nil || n < 1 {
		t.Errorf("zk_znode_count: %d, %v", n, err)
	}
}
