package sidecar

import (
	"slices"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/watcher/config"
)

// zkwatch follows the members of the ensemble by itself: its file is written anew, which
// restarts it, only when what it has would no longer lead it there.
func TestSeedsStayWhileTheyLeadToTheEnsemble(t *testing.T) {
	for _, tt := range []struct {
		name         string
		has, members []string
		stay         bool
	}{
		{"nothing has changed", []string{"a", "b", "c"}, []string{"a", "b", "c"}, true},
		{"two have joined", []string{"a", "b", "c"}, []string{"a", "b", "c", "d", "e"}, true},
		{"two have left", []string{"a", "b", "c", "d", "e"}, []string{"c", "d", "e"}, true},
		{"one has changed places", []string{"a", "b", "c"}, []string{"a", "b", "d"}, true},
		{"most are gone", []string{"a", "b", "c"}, []string{"a", "d", "e"}, false},
		{"one alone is known, and there are three", []string{"a"}, []string{"a", "b", "c"}, false},
		{"a single member", []string{"a"}, []string{"a"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := enoughSeeds(tt.has, tt.members); got != tt.stay {
				t.Errorf("got %t, want %t", got, tt.stay)
			}
		})
	}
}

func TestTheFileOfZkwatchOutlivesAMember(t *testing.T) {
	s := spec(t)
	name := ""
	for r, is := range s.Registries {
		if is.Ensemble {
			name = r
		}
	}
	if name == "" {
		t.Fatal("the spec of the tests has no registry of its own ensemble")
	}
	n := nodes(s)[0]
	has := n.config(bootstrap.State{})
	seeds := slices.Clone(has.Registries[name].ZooKeeper.Servers)
	has.Registries[name].ZooKeeper.Servers = append(seeds, "10.0.0.99:2181")
	b, err := config.Marshal(has)
	if err != nil {
		t.Fatal(err)
	}
	state := bootstrap.NewState(bootstrap.File{Path: confFile, Content: string(b)})
	text, err := n.configText(state)
	if err != nil {
		t.Fatal(err)
	}
	if want := len(seeds) > 1; strings.Contains(text, "10.0.0.99") != want {
		t.Errorf("with %d of %d seeds that are members, the seed that has left stays: %t, want %t", len(seeds), len(seeds)+1, !want, want)
	}
}
