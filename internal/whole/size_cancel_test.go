package whole

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"drover/internal/api"
)

// BenchmarkCancelHeld submits an array that is on hold, and cancels it: neither is to keep
// people waiting, nor their questions.
func BenchmarkCancelHeld(b *testing.B) {
	const elements = 2000
	s := newSystem(b, nil)
	for b.Loop() {
		began := time.Now()
		s.must("run", "--array", fmt.Sprintf("0-%d", elements-1), "--priority", "-1", "--detach", "--name", "held", "--", "true")
		s.eventually(5*time.Minute, func() bool { return s.fleet().Queued == elements }, "all are queued")
		b.ReportMetric(time.Since(began).Seconds(), "s-submitted")
		began = time.Now()
		s.must("cancel", "held")
		b.ReportMetric(time.Since(began).Seconds(), "s-asked")
		var took []time.Duration
		s.eventually(10*time.Minute, func() bool {
			asked := time.Now()
			left := s.fleet().Queued
			took = append(took, time.Since(asked))
			return left == 0
		}, "none is queued")
		s.eventually(10*time.Minute, func() bool {
			count, err := s.client.CountWorkflow(b.Context(), countRequest(fmt.Sprintf("WorkflowType = %q AND ExecutionStatus = 'Running'", api.ContainerWorkflow)))
			require.NoError(b, err)
			return count.GetCount() == 0
		}, "all have ended")
		b.ReportMetric(time.Since(began).Seconds(), "s-ended")
		slices.Sort(took)
		b.ReportMetric(float64(share(took, 95).Milliseconds()), "ms-query-p95")
	}
	b.ReportMetric(0, "ns/op")
}
