//go:build lab

package haproxy

import (
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// Both connections of zkwatch stay open, and neither may keep a worker that others replaced.
func TestAReplacedWorkerEndsAlthoughZkwatchWasConnected(t *testing.T) {
	k := newRack(t, map[string]config.Route{"a": {Service: "inventory", Bind: port(t)}})
	k.set("inventory", fleet(t, 2)...)
	for range 2 {
		before := k.h.Worker()
		if err := k.h.Reload(); err != nil {
			t.Fatal(err)
		}
		until(t, 5*time.Second, "zkwatch has the new worker", func() bool { pid := k.Status().Pid; return pid != before && pid == k.h.Worker() })
		until(t, 5*time.Second, "the old worker has ended", func() bool { return k.h.OldWorkers() == 0 })
	}
}
