package simulate

import (
	"testing"
	"time"

	"drover/internal/fleetspec"
)

// month is 100,000 containers of several shapes over 30 days.
func month(mean time.Duration) []Container {
	const n = 100000
	cs := containers(n, 0, 30*24*time.Hour/n, 0)
	for i := range cs {
		cs[i].RunTime = mean/2 + time.Duration(i*7919%1000)*mean/1000
		cs[i].VCPUs = float64(1 + i%4)
		cs[i].Preemptible = i%2 == 0
	}
	return cs
}

func BenchmarkMonth(b *testing.B) {
	spec := fleetOf(func(s *fleetspec.Spec) { s.Limits.MaxInstances = 300 })
	for name, mean := range map[string]time.Duration{"100 instances busy": time.Hour, "300 instances, too few": 5 * time.Hour} {
		b.Run(name, func(b *testing.B) {
			cs := month(mean)
			for b.Loop() {
				r := run(b, spec, aCloud(func(o *Options) { o.SpotInterruptions = 0.05 }), cs)
				b.ReportMetric(float64(r.Instances.Peak), "instances")
				b.ReportMetric(float64(len(r.ledger.moments)), "moments")
			}
		})
	}
}

// BenchmarkBurst is a queue of 100,000 containers that is worked off.
func BenchmarkBurst(b *testing.B) {
	spec := fleetOf(func(s *fleetspec.Spec) { s.Limits.MaxInstances = 300 })
	cs := month(time.Hour)
	for i := range cs {
		cs[i].Submit = 0
	}
	for b.Loop() {
		run(b, spec, aCloud(), cs)
	}
}
