package devserver_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"
)

// benchmark runs f against a server whose data is in a file, as `drover dev`
// has it, and with a worker.
func benchmark(b *testing.B, f func(b *testing.B, c client.Client)) {
	c := dial(b, start(b, "--headless", "--db-file="+filepath.Join(b.TempDir(), "bench.db")))
	serve(b, c)
	f(b, c)
}

// BenchmarkUpdate is one update of a quiet workflow: a workflow task and back.
func BenchmarkUpdate(b *testing.B) {
	benchmark(b, func(b *testing.B, c client.Client) {
		ctx := b.Context()
		run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "echo", TaskQueue: taskQueue}, echo)
		require.NoError(b, err)
		for b.Loop() {
			update, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
				WorkflowID: run.GetID(), UpdateName: "echo", Args: []any{"x"}, WaitForStage: client.WorkflowUpdateStageCompleted,
			})
			require.NoError(b, err)
			require.NoError(b, update.Get(ctx, nil))
		}
	})
}

// BenchmarkSignal is the time from a signal to the workflow task that it causes.
func BenchmarkSignal(b *testing.B) {
	benchmark(b, func(b *testing.B, c client.Client) {
		ctx := b.Context()
		run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "bell", TaskQueue: taskQueue}, bell)
		require.NoError(b, err)
		var total time.Duration
		for b.Loop() {
			begun := time.Now()
			require.NoError(b, c.SignalWorkflow(ctx, run.GetID(), "", "ring", nil))
			total += (<-rung).Sub(begun)
		}
		b.ReportMetric(float64(total.Microseconds())/float64(b.N)/1000, "ms/signal")
	})
}

// BenchmarkWorkflows is many workflows at a time, each with a signal and an activity.
func BenchmarkWorkflows(b *testing.B) {
	benchmark(b, func(b *testing.B, c client.Client) {
		var group errgroup.Group
		group.SetLimit(50)
		begun := time.Now()
		for i := range b.N {
			group.Go(func() error {
				run, err := c.SignalWithStartWorkflow(b.Context(), fmt.Sprint("bench-", i), "name", "x",
					client.StartWorkflowOptions{TaskQueue: taskQueue}, greet)
				if err != nil {
					return err
				}
				return run.Get(b.Context(), nil)
			})
		}
		require.NoError(b, group.Wait())
		b.ReportMetric(float64(b.N)/time.Since(begun).Seconds(), "workflows/s")
	})
}
