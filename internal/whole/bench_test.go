package whole

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// many is how many workflows or containers a throughput benchmark runs.
const many = 300

// BenchmarkThroughput runs trivial containers through the whole system, side by side
// with what the bare engine does on the same server: workflows with one activity.
func BenchmarkThroughput(b *testing.B) {
	s := newSystem(b, func(spec *fleetspec.Spec) {
		spec.Timeouts.Idle = fleetspec.Duration(10 * time.Minute)
		spec.InstanceTypes = []fleetspec.InstanceType{{Name: "big", ProviderType: "big", VCPUs: 16, Memory: 64 << 30, Price: 1, Architecture: "amd64"}}
		spec.Limits.MaxInstances = 2
	})
	w := worker.New(s.client, "bare", worker.Options{MaxConcurrentActivityTaskPollers: 8, MaxConcurrentWorkflowTaskPollers: 8})
	w.RegisterWorkflowWithOptions(bare, workflow.RegisterOptions{Name: "Bare"})
	w.RegisterActivity(nothing)
	require.NoError(b, w.Start())
	b.Cleanup(w.Stop)
	s.warm()

	var engine, drover []float64
	for round := 0; b.Loop(); round++ {
		engine = append(engine, s.perSecond(b, func(k int) (client.WorkflowRun, error) {
			return s.client.ExecuteWorkflow(b.Context(), client.StartWorkflowOptions{ID: fmt.Sprintf("bare-%d-%d", round, k), TaskQueue: "bare"}, "Bare")
		}))
		drover = append(drover, s.perSecond(b, func(k int) (client.WorkflowRun, error) {
			return s.client.ExecuteWorkflow(b.Context(), client.StartWorkflowOptions{
				ID: api.ContainerWorkflowID(fmt.Sprintf("c-%d-%d", round, k)), TaskQueue: api.DefaultTaskQueue,
				// As drover run does it.
				TypedSearchAttributes: temporal.NewSearchAttributes(
					api.AttributeFleet.ValueSet("default"), api.AttributeState.ValueSet(api.ContainerQueued)),
			}, api.ContainerWorkflow, map[string]any{"command": []string{"true"}})
		}))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(engine), "engine-workflows/s")
	b.ReportMetric(median(drover), "containers/s")
	b.ReportMetric(median(drover)/median(engine), "of-engine")
	b.ReportMetric(s.eventsPerContainer(b), "events/container")
}

// warm runs a container, so that an instance is up.
func (s *system) warm() {
	_, err := s.result(s.submit("warm-up", map[string]any{"command": []string{"true"}}))
	require.NoError(s, err)
}

func bare(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	return workflow.ExecuteActivity(ctx, nothing).Get(ctx, nil)
}

func nothing(context.Context) error { return nil }

// perSecond starts many workflows, 32 at a time, and waits for all of them.
func (s *system) perSecond(b *testing.B, start func(k int) (client.WorkflowRun, error)) float64 {
	runs := make([]client.WorkflowRun, many)
	began := time.Now()
	var all sync.WaitGroup
	slots := make(chan struct{}, 32)
	for k := range runs {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			run, err := start(k)
			if err != nil {
				b.Errorf("start: %v", err)
				return
			}
			runs[k] = run
		})
	}
	all.Wait()
	for _, run := range runs {
		require.NoError(b, run.Get(b.Context(), nil))
	}
	return many / time.Since(began).Seconds()
}

// eventsPerContainer counts the events of all histories of the fleet, and divides them
// by the number of containers that have ended.
func (s *system) eventsPerContainer(b *testing.B) float64 {
	state := s.fleet()
	events := 0
	for id, length := range s.histories(b) {
		if id != "" {
			events += length
		}
	}
	return float64(events) / float64(state.Totals.Exited)
}

// histories returns the history lengths of all executions of drover's workflows.
func (s *system) histories(b *testing.B) map[string]int {
	lengths := map[string]int{}
	var token []byte
	for {
		page, err := s.client.ListWorkflow(b.Context(), listRequest(
			fmt.Sprintf("WorkflowType IN (%q, %q, %q)", api.FleetWorkflow, api.InstanceWorkflow, api.ContainerWorkflow), token))
		require.NoError(b, err)
		for _, e := range page.GetExecutions() {
			run := e.GetExecution()
			length := int(e.GetHistoryLength())
			if length == 0 { // of a running one visibility does not know it
				described, err := s.client.DescribeWorkflowExecution(b.Context(), run.GetWorkflowId(), run.GetRunId())
				require.NoError(b, err)
				length = int(described.GetWorkflowExecutionInfo().GetHistoryLength())
			}
			lengths[run.GetWorkflowId()+"/"+run.GetRunId()] = length
		}
		if token = page.GetNextPageToken(); len(token) == 0 {
			return lengths
		}
	}
}

// BenchmarkTurnaround measures, on one instance with room for one container and with a
// queue of them, the time from one container's end to the next one's start, by the
// instance's clock: of trivial ones, and of such that last a little longer than it takes to
// send the next one ahead.
func BenchmarkTurnaround(b *testing.B) {
	b.Run("trivial", func(b *testing.B) { benchmarkTurnaround(b, "true") })
	b.Run("fifth-of-a-second", func(b *testing.B) { benchmarkTurnaround(b, "sleep", "0.2") })
}

func benchmarkTurnaround(b *testing.B, command ...string) {
	s := newSystem(b, func(spec *fleetspec.Spec) {
		spec.Timeouts.Idle = fleetspec.Duration(10 * time.Minute)
		spec.Limits.MaxInstances, spec.Limits.MaxContainersPerInstance = 1, 1
	})
	s.warm()
	var gaps []float64
	for round := 0; b.Loop(); round++ {
		queued := filepath.Join(s.dir, fmt.Sprintf("queued-%d", round))
		first := s.submit(fmt.Sprintf("t-%d", round), map[string]any{
			"command": []string{"sh", "-c", "until [ -e $QUEUED ]; do sleep 0.05; done"}, "env": map[string]string{"QUEUED": queued},
		})
		s.eventually(30*time.Second, func() bool { return s.fleet().Running == 1 }, "the first one runs, and none overtakes it")
		runs := []client.WorkflowRun{first}
		for k := range 60 {
			runs = append(runs, s.submit(fmt.Sprintf("t-%d-%d", round, k), map[string]any{"command": command}))
		}
		s.eventually(30*time.Second, func() bool { f := s.fleet(); return f.Queued+f.Assigned == 60 }, "all are queued")
		require.NoError(b, os.WriteFile(queued, nil, 0o600))
		results := make([]api.ContainerResult, len(runs))
		for k, run := range runs {
			require.NoError(b, run.Get(b.Context(), &results[k]))
		}
		slices.SortFunc(results, func(a, b api.ContainerResult) int { return a.StartedAt.Compare(b.StartedAt.Time) })
		for k := 1; k < len(results); k++ {
			gaps = append(gaps, float64(results[k].StartedAt.Sub(results[k-1].FinishedAt.Time).Microseconds())/1000)
		}
	}
	slices.Sort(gaps)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(gaps[len(gaps)/2], "ms-median")
	b.ReportMetric(gaps[len(gaps)*95/100], "ms-p95")
}

// BenchmarkFirstContainer measures the time from an instance's SSH answering to its
// first container's start.
func BenchmarkFirstContainer(b *testing.B) {
	s := newSystem(b, func(spec *fleetspec.Spec) { spec.Local.BootDelay = fleetspec.Duration(700 * time.Millisecond) })
	var waits []float64
	for round := 0; b.Loop(); round++ {
		for k := range 5 {
			run := s.submit(fmt.Sprintf("f-%d-%d", round, k), map[string]any{"command": []string{"sleep", "1"}, "vcpus": 8})
			var result api.ContainerResult
			var answered os.FileInfo
			s.eventually(30*time.Second, func() bool { // the file is gone with the instance
				i := s.fleet().Instances
				if len(i) == 0 {
					return false
				}
				var err error
				answered, err = os.Stat(filepath.Join(s.dir, "instances", "default", i[len(i)-1].Name, "address"))
				return err == nil
			}, "the instance answers")
			require.NoError(b, run.Get(b.Context(), &result))
			waits = append(waits, float64(result.StartedAt.Sub(answered.ModTime()).Microseconds())/1000)
			require.NoError(b, s.client.SignalWorkflow(b.Context(), api.InstanceWorkflowID("default", result.Instance), "", api.SignalDestroy, nil))
			s.eventually(30*time.Second, func() bool { return len(s.fleet().Instances) == 0 }, "the instance goes")
		}
	}
	slices.Sort(waits)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(waits[len(waits)/2], "ms-median")
	b.ReportMetric(waits[len(waits)*95/100], "ms-p95")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
