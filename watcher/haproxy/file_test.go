package haproxy

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// The text of the slots of ten thousand instances is a megabyte.
func TestTheTextOfTheSlotsIsForgottenAtRestAndMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, two())
		r.apply(t, "inventory", some(0, 3)...)
		r.tick(t)
		kept := func() bool { return r.backend("zkwatch-a").sections[0].text != nil }
		if !kept() {
			t.Error("the text is not kept while changes come, want each of them to make one backend's anew")
		}
		time.Sleep(forgetAfter)
		r.tick(t)
		if kept() {
			t.Errorf("the text is kept %s after the last change", forgetAfter)
		}
		audit(t, r)
		r.tick(t)
		if kept() {
			t.Error("an audit that found nothing had the file made again")
		}
		r.apply(t, "inventory", some(0, 4)...)
		r.tick(t)
		if got := read(t, r.o.Config.File); !strings.Contains(got, "server s4 10.0.0.4:80 id 4 weight 1") {
			t.Errorf("the file does not follow:\n%s", got)
		}
	})
}

// Tiers that follow the servers' health change weights in the file, and no set has arrived.
func TestTheFileFollowsTiersWithoutAnAudit(t *testing.T) {
	r := started(t, map[string]config.Route{"a": {Service: "inventory", Bind: "127.0.0.1:3000", Tiers: &config.Tiers{Order: []string{"near"}, Min: 1}}})
	r.apply(t, "inventory", zoned(at(1), "near"), zoned(at(2), "far"))
	r.tick(t)
	if got := read(t, r.o.Config.File); !strings.Contains(got, "server s2 10.0.0.3:80 id 2 weight 0") {
		t.Fatalf("the far one does not wait:\n%s", got)
	}
	r.fake.with("zkwatch-a", "s1", func(s *fakeServer) { s.down, s.failed = true, true })
	r.tick(t)
	if got := read(t, r.o.Config.File); !strings.Contains(got, "server s2 10.0.0.3:80 id 2 weight 1") {
		t.Errorf("the file still has the far one wait:\n%s", got)
	}
}
