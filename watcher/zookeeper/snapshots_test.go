package zookeeper

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zkboot/zkboot/watcher"
)

// brief is snapshots for a message.
func brief(all []watcher.Snapshot) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "%s %s: %s %q rev %d %v rejected %v\n", s.Service, s.Event, s.Truth, s.Reason, s.Revision, ids(s), s.Rejected)
	}
	return b.String()
}

// ids names instances, with what is not usual about them.
func ids(s watcher.Snapshot) []string {
	var out []string
	for _, i := range s.Instances {
		id := i.ID
		if i.Draining {
			id += " draining"
		}
		if i.Weight != 1 {
			id += fmt.Sprint(" weight ", i.Weight)
		}
		out = append(out, id)
	}
	return out
}

func has(want ...string) func(watcher.Snapshot) bool {
	return func(s watcher.Snapshot) bool { return s.Truth == watcher.Known && slices.Equal(ids(s), want) }
}

func truth(want watcher.Truth) func(watcher.Snapshot) bool {
	return func(s watcher.Snapshot) bool { return s.Truth == want }
}
