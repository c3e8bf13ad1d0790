package zookeeper

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"
	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// Whatever happens on the way: once it is quiet the registry has what was asked for last,
// once, in the session that lives.
func TestAnnouncementsConverge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		format := rapid.SampledFrom([]string{config.Plain, config.Nerve}).Draw(rt, "format")
		steps := rapid.SliceOfN(rapid.SampledFrom([]string{"announce", "drain", "move", "withdraw", "cut", "expire", "lose", "delete", "steal", "fail", "wait"}), 1, 20).Draw(rt, "steps")
		var problem string
		synctest.Test(t, func(t *testing.T) { problem = converges(t, format, steps) })
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

func converges(t *testing.T, format string, steps []string) string {
	tr := newTree(t, Options{Audit: 5 * time.Second})
	session := int64(1)
	tr.connect(session)
	var lose, fail atomic.Int64
	hook(tr, &tr.lose, func(op, p string) bool { return lose.Add(-1) == 0 })
	hook(tr, &tr.fail, func(op, p string) error {
		if fail.Add(-1) == 0 {
			return zk.ErrConnectionClosed
		}
		return nil
	})
	a := announcement(format)
	var wanted *watcher.Announcement
	for _, step := range steps {
		switch step {
		case "announce", "drain", "move":
			a.Instance.Draining = step == "drain"
			if step == "move" {
				a.Instance.Port++
			}
			w := a
			wanted = &w
			_, _ = announce(tr, a) // may fail: it goes on trying
		case "withdraw":
			wanted = nil
			_ = withdraw(tr, a.Name) // likewise
		case "cut":
			tr.disconnect()
			time.Sleep(time.Second)
			tr.connect(session)
		case "expire":
			tr.disconnect()
			tr.expire(session)
			session++
			time.Sleep(time.Second)
			tr.connect(session)
		case "lose":
			lose.Store(2)
		case "fail":
			fail.Store(2)
		case "delete", "steal":
			for _, name := range tr.below("/shop") {
				tr.delete("/shop/" + name)
				if step == "steal" {
					tr.put("/shop/"+name, "", 99)
				}
			}
		case "wait":
			time.Sleep(time.Minute)
		}
	}
	time.Sleep(5 * time.Minute)
	synctest.Wait()
	var ours []string
	for _, name := range tr.below("/shop") {
		data, owner, _ := tr.at("/shop/" + name)
		if owner != 99 || wanted != nil && strings.HasPrefix(name, wanted.Instance.Addr()) {
			ours = append(ours, fmt.Sprintf("%s of session %d, draining %t", strings.Split(name, "_")[0], owner, strings.Contains(data, stateDraining)))
		}
	}
	var want []string
	if wanted != nil {
		want = []string{fmt.Sprintf("%s of session %d, draining %t", wanted.Instance.Addr(), session, wanted.Instance.Draining)}
	}
	if !slices.Equal(ours, want) {
		return fmt.Sprintf("after %v the shop has %q, want %q", steps, ours, want)
	}
	return ""
}
