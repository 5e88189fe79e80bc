package simulate

import (
	"context"
	"fmt"
	"testing"
	"time"

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
