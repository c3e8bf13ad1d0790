package watcher

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// One flush of 500 services with 20 instances each, as there is one a second while things
// change. What counts is cpu-ms: the rest of the time is the disk's. heap-KB is what the store
// keeps besides the sets themselves.
func BenchmarkStoreFlush(b *testing.B) {
	for _, changed := range []int{1, 500} {
		b.Run(fmt.Sprintf("%d changed", changed), func(b *testing.B) {
			services, snapshot := churn()
			s, err := OpenStore(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			round := 0
			flush := func(changed int) {
				for range changed {
					snap := snapshot(round)
					s.put(snap.Service, stored{Service: apiService, Revision: snap.Revision, Read: time.Now(), Instances: snap.Instances})
					round++
				}
				if err := s.flush(); err != nil {
					b.Fatal(err)
				}
			}
			before := heapKB()
			flush(len(services))
			kept := heapKB() - before
			b.ReportAllocs()
			b.ResetTimer()
			began := cpuSpent(b)
			for range b.N {
				flush(changed)
			}
			b.ReportMetric(float64(cpuSpent(b)-began)/float64(b.N)/1e6, "cpu-ms/op")
			b.ReportMetric(kept, "heap-KB")
		})
	}
}

func heapKB() float64 {
	runtime.GC()
	runtime.GC() // the second one empties what sync.Pool kept for one more round
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1024
}

func cpuSpent(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
