package zookeeper

import "testing"

// Before a member is emptied, or leaves, the others are counted: those of the live
// configuration, with the roles that they have there.
func TestWhoCanBeMissed(t *testing.T) {
	live := func(sc *scene) []view { return roster(known(sc.spec, sc.site())) }
	for _, tt := range []struct {
		name        string
		scene       *scene
		host        string
		empty, exit string // what othersHold and restHolds say; "" when they hold
	}{
		{"one of three", grown(3, 3), "zk1", "", ""},
		{"the leader of three", grown(3, 3), "zk3", "", ""},
		{"one of three, another is down", grown(3, 3).stop("zk2"), "zk1", "expected 2 voters of 3 besides zk1, found 1 (zk3); zk2 does not vote", "expected 2 voters of 3 besides zk1, found 1 (zk3)"},
		{"the one that is down", grown(3, 3).stop("zk2"), "zk2", "", ""},
		{"one of five, two are down", grown(5, 5).stop("zk1", "zk2"), "zk3", "expected 3 voters of 5 besides zk3, found 2 (zk4, zk5)", "expected 3 voters of 5 besides zk3, found 2"},
		{"one of two: it leaves, but nobody could give it its data back", grown(2, 2), "zk1", "expected 2 voters of 2 besides zk1, found 1 (zk2)", ""},
		{"the only one", grown(1, 1), "zk1", "expected 1 voters of 1 besides zk1, found 0", "expected 1 voters of 1 besides zk1, found 0"},
		{"an observer, a voter is down", observing(grown(3, 4).wants("zk4 observer"), "zk4").stop("zk1"), "zk4", "", ""},
		{"one of three while the spec has five", grown(3, 5).wants("zk4", "zk5").stop("zk2"), "zk1", "expected 2 voters of 3 besides zk1", "expected 2 voters of 3 besides zk1"},
		{"one of three, another's data is in doubt", doubtful(grown(3, 3), "zk3"), "zk1", "zk3 counts zk_unrecoverable_error_count=2", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, check := range []struct {
				name string
				hold func([]view, string) error
				want string
			}{{"to be emptied", othersHold, tt.empty}, {"to leave", restHolds, tt.exit}} {
				err := check.hold(live(tt.scene), tt.host)
				if check.want == "" {
					if err != nil {
						t.Errorf("%s: %v, want no objection", check.name, err)
					}
					continue
				}
				refused(t, err, check.want)
			}
		})
	}
}
