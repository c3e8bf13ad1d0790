package watcher

import (
	"fmt"
	"slices"
	"testing"

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
