package ssh

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"testing"
)

// A hundred hosts that lack the agent get it from the same memory.
func TestAgentsAreReadOnceAProcess(t *testing.T) {
	var mu sync.Mutex
	copies := map[*byte]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			builds, err := Agents()
			if err != nil {
				t.Error(err)
				return
			}
			b, err := builds[0].Bytes()
			if err != nil {
				t.Error(err)
				return
			}
			if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != builds[0].SHA256 {
				t.Errorf("the agent has hash %x, want %s", sum, builds[0].SHA256)
			}
			mu.Lock()
			defer mu.Unlock()
			copies[&b[0]] = true
		})
	}
	wg.Wait()
	if len(copies) != 1 {
		t.Errorf("%d copies of the agent are in memory, want 1", len(copies))
	}
}
