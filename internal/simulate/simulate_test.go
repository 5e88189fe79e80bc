package simulate

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/fleetspec"
)

// fleetOf returns the spec of a fleet with 4 vCPUs and 8 GiB for 0.20 an hour, and the
// same for 0.06 as spot.
func fleetOf(changes ...func(*fleetspec.Spec)) fleetspec.Spec {
	spec := fleetspec.Default("test")
	spec.InstanceTypes = []fleetspec.InstanceType{
		{Name: "four", ProviderType: "four", VCPUs: 4, Memory: 8 << 30, Price: 0.20, Architecture: "amd64"},
		{Name: "four-spot", ProviderType: "four", VCPUs: 4, Memory: 8 << 30, Price: 0.06, Preemptible: true, Architecture: "amd64"},
	}
	spec.Limits.CreateConcurrency, spec.Limits.MaxPriceFactor = 100, 4
	for _, change := range changes {
		change(&spec)
	}
	return spec
}

// aCloud answers in 2 s, boots in 58 s, and takes 10 s to shut an instance down.
func aCloud(changes ...func(*Options)) Options {
	o := Options{Create: 2 * time.Second, Boot: Span{58 * time.Second, 58 * time.Second}, Shutdown: 10 * time.Second, Seed: 1}
	for _, change := range changes {
		change(&o)
	}
	return o
}

// containers returns n equal ones, the first submitted at a time, the others every so
// often.
func containers(n int, first, every, runTime time.Duration, changes ...func(*Container)) []Container {
	cs := make([]Container, n)
	for i := range cs {
		cs[i] = Container{ID: fmt.Sprintf("%v-%v-%d", first, runTime, i), Submit: first + time.Duration(i)*every, RunTime: runTime,
			VCPUs: 1, Memory: 1 << 30, Attempts: 3}
		for _, change := range changes {
			change(&cs[i])
		}
	}
	return cs
}

func run(t testing.TB, spec fleetspec.Spec, o Options, cs []Container) Result {
	t.Helper()
	r, err := Run(context.Background(), spec, Workload{Containers: cs}, o)
	require.NoError(t, err)
	return r
}

func BenchmarkMonth(b *testing.B) {
	spec := fleetOf(func(s *fleetspec.Spec) { s.Limits.MaxInstances = 300 })
	const n = 100000
	month := 30 * 24 * time.Hour
	cs := containers(n, 0, month/n, 4*time.Hour)
	for i := range cs {
		cs[i].RunTime = time.Hour + time.Duration(i*7919%7200)*time.Second
		cs[i].VCPUs = float64(1 + i%4)
		cs[i].Preemptible = i%2 == 0
	}
	for b.Loop() {
		r := run(b, spec, aCloud(func(o *Options) { o.SpotInterruptions = 0.05 }), cs)
		b.ReportMetric(float64(r.Instances.Peak), "peak")
		b.ReportMetric(r.Waits[0].P95, "p95wait")
	}
}

func TestX(t *testing.T) {
	r := run(t, fleetOf(), aCloud(), containers(40, 0, 0, 10*time.Minute))
	fmt.Printf("%+v %+v %+v %+v %v\n", r.Containers, r.Money, r.Instances, r.VCPUHours, r.Makespan)
	assert.Equal(t, 40, r.Containers.Finished)
}
