package whole

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// BenchmarkWatchedInstance measures what one more instance that is watched over SSH, and
// does nothing, takes of a worker's memory: heap and stacks.
func BenchmarkWatchedInstance(b *testing.B) {
	const few, many = 5, 45
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	metrics := listener.Addr().String()
	require.NoError(b, listener.Close())
	s := newServer(b)
	s.startWorker("--metrics", metrics)
	s.apply(func(spec *fleetspec.Spec) {
		spec.Limits.MinIdle, spec.Limits.CreateConcurrency = few, many
		spec.Intervals.Probe = fleetspec.Duration(time.Second)
	})
	for b.Loop() {
		before := s.memoryWith(few, metrics)
		s.change(func(spec *fleetspec.Spec) { spec.Limits.MinIdle = many })
		after := s.memoryWith(many, metrics)
		b.ReportMetric((after-before)/(many-few)/1024, "KiB/instance")
		b.ReportMetric(after/(1<<20), "MiB-worker")
		s.change(func(spec *fleetspec.Spec) { spec.Limits.MinIdle = few })
	}
	b.ReportMetric(0, "ns/op")
}

// memoryWith returns the bytes that the worker uses when so many instances are idle: the
// least of a while, after collections of garbage.
func (s *system) memoryWith(instances int, metrics string) float64 {
	s.eventually(3*time.Minute, func() bool {
		idle := 0
		for _, i := range s.fleet().Instances {
			if i.State == api.StateIdle {
				idle++
			}
		}
		return idle == instances
	}, "%d instances are idle", instances)
	least := 0.0
	collected := collections(s, metrics)
	s.eventually(5*time.Minute, func() bool {
		if used := sample(s, metrics, "go_memstats_heap_inuse_bytes") + sample(s, metrics, "go_memstats_stack_inuse_bytes"); least == 0 || used < least {
			least = used
		}
		return collections(s, metrics) >= collected+3
	}, "garbage is collected")
	return least
}

func collections(s *system, metrics string) float64 {
	return sample(s, metrics, "go_gc_duration_seconds_count")
}

// sample returns the value of a metric.
func sample(s *system, address, name string) (value float64) {
	answer, err := http.Get("http://" + address + "/metrics")
	require.NoError(s, err)
	defer func() { require.NoError(s, answer.Body.Close()) }()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if text, found := strings.CutPrefix(lines.Text(), name+" "); found {
			_, err := fmt.Sscan(text, &value)
			require.NoError(s, err)
			return value
		}
	}
	s.Fatalf("no metric %s", name)
	return 0
}
