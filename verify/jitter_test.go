package verify

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestMeasureJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		l, err := measureJitter(t.Context(), JitterQuery{}, func(d time.Duration) error {
			if n++; n%50 == 0 {
				d += 8 * time.Millisecond // woken late
			}
			time.Sleep(d)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if l.Samples != 1000 || l.P50 > 0.001 || !near(l.P99, 8) {
			t.Errorf("%d samples, p50 %v, p99 %v; want 1000, under a microsecond, 8", l.Samples, l.P50, l.P99)
		}
	})
	broken := errors.New("nanosleep: function not implemented")
	if l, err := measureJitter(t.Context(), JitterQuery{}, func(time.Duration) error { return broken }); l != nil || !errors.Is(err, broken) {
		t.Errorf("got %v, %v; want the error of the call", l, err)
	}
}
