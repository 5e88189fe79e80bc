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
	"go.temporal.io/sdk/client"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// BenchmarkWatched measures what a worker needs for each instance that it watches, over
// real SSH: what it has more of with many than with a few.
func BenchmarkWatched(b *testing.B) {
	const few, many = 10, 60
	s := newServer(b)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	address := free.Addr().String()
	require.NoError(b, free.Close())
	s.startWorker("--metrics", address)
	spec := fleetspec.Default("default")
	spec.Limits.MinIdle, spec.Limits.MaxInstances = few, many
	spec.Intervals.Probe = fleetspec.Duration(time.Second)
	s.apply(func(f *fleetspec.Spec) { *f = spec })
	for b.Loop() {
		before := s.watching(address, few)
		spec.Limits.MinIdle = many
		update, err := s.client.UpdateWorkflow(b.Context(), client.UpdateWorkflowOptions{
			WorkflowID: api.FleetWorkflowID("default"), UpdateName: api.UpdateApply, Args: []any{spec},
			WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		require.NoError(b, err)
		require.NoError(b, update.Get(b.Context(), nil))
		after := s.watching(address, many)
		b.ReportMetric((after["go_memstats_heap_inuse_bytes"]-before["go_memstats_heap_inuse_bytes"])/(many-few)/1024, "KiB-heap/instance")
		b.ReportMetric((after["go_memstats_stack_inuse_bytes"]-before["go_memstats_stack_inuse_bytes"])/(many-few)/1024, "KiB-stack/instance")
		b.ReportMetric((after["go_goroutines"]-before["go_goroutines"])/(many-few), "goroutines/instance")
	}
	b.ReportMetric(0, "ns/op")
}

// watching returns a worker's own metrics when so many instances have been watched for a
// while.
func (s *system) watching(address string, n int) map[string]float64 {
	s.eventually(5*time.Minute, func() bool {
		idle := 0
		for _, i := range s.fleet().Instances {
			if i.State == api.StateIdle {
				idle++
			}
		}
		return idle == n
	}, "%d instances are idle", n)
	collections := s.metrics(address)["go_gc_duration_seconds_count"]
	var now map[string]float64
	s.eventually(5*time.Minute, func() bool {
		now = s.metrics(address)
		return now["go_gc_duration_seconds_count"] >= collections+2
	}, "what their boots took has been freed")
	return now
}

// metrics reads those metrics of a worker that have no labels.
func (s *system) metrics(address string) map[string]float64 {
	answer, err := http.Get("http://" + address + "/metrics")
	require.NoError(s, err)
	defer answer.Body.Close()
	values := map[string]float64{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		var value float64
		if _, err := fmt.Sscan(text, &value); err == nil {
			values[name] = value
		}
	}
	return values
}
