package watcher

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestJournalKeepsTheNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(-1, 7).Draw(t, "size")
		limit := rapid.IntRange(-1, 9).Draw(t, "limit")
		added := rapid.SliceOf(rapid.SampledFrom([]string{"a", "b", ""})).Draw(t, "services")
		asked := rapid.SampledFrom([]string{"a", "b", ""}).Draw(t, "asked")

		j := NewJournal(size)
		var want []string
		for n, service := range added {
			j.Add(Entry{Service: service, Event: fmt.Sprint(n)})
			if n >= len(added)-max(1, size) && (asked == "" || asked == service) {
				want = append(want, fmt.Sprint(n))
			}
		}
		slices.Reverse(want)
		if limit > 0 {
			want = want[:min(limit, len(want))]
		}
		var got []string
		for _, e := range j.Entries(asked, limit) {
			got = append(got, e.Event)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("journal of %d after %v, asked for %d of %q: %v, want %v", size, added, limit, asked, got, want)
		}
	})
}

func TestJournalShortensManyActions(t *testing.T) {
	numbered := func(from, to int) []Action {
		var out []Action
		for n := from; n < to; n++ {
			out = append(out, Action{Kind: "command", Text: fmt.Sprint(n), Service: "api"})
		}
		return out
	}
	more := func(n int) Action {
		return Action{Kind: "more", Text: fmt.Sprintf("%d actions between these are not kept", n), Service: "api"}
	}
	for _, tt := range []struct {
		name  string
		added int
		want  []Action
	}{
		{"none", 0, nil},
		{"one", 1, numbered(0, 1)},
		{"as many as are kept", 32, numbered(0, 32)},
		{"one more", 33, slices.Concat(numbered(0, 24), []Action{more(1)}, numbered(25, 33))},
		{"a service that is new and great", 30000, slices.Concat(numbered(0, 24), []Action{more(29968)}, numbered(29992, 30000))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := NewJournal(2)
			j.Add(Entry{Service: "api", Actions: numbered(0, tt.added)})
			got := j.Entries("api", 0)[0].Actions
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +kept):\n%s", diff)
			}
			if cap(got) > 40 {
				t.Errorf("room for %d actions is kept", cap(got))
			}
		})
	}
}
