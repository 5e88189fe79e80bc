package whole

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// manySignals is more than one run of a workflow takes.
const manySignals = 4000

// collected is what a stand-in for a fleet's workflow has been told.
type collected struct {
	Refused  map[string]int `json:"refused"` // how often each container was
	Priority int            `json:"priority"`
}

// collect is a workflow that takes a fleet's mail and remembers it.
func collect(ctx workflow.Context) error {
	got := collected{Refused: map[string]int{}}
	if err := workflow.SetQueryHandler(ctx, api.QueryState, func() (collected, error) { return got, nil }); err != nil {
		return err
	}
	requests, reports := workflow.GetSignalChannel(ctx, api.SignalRequest), workflow.GetSignalChannel(ctx, api.SignalReport)
	mail := workflow.NewSelector(ctx)
	mail.AddReceive(requests, func(c workflow.ReceiveChannel, _ bool) {
		var request api.Request
		c.Receive(ctx, &request)
		got.Priority = request.Priority
	})
	mail.AddReceive(reports, func(c workflow.ReceiveChannel, _ bool) {
		var report api.Report
		c.Receive(ctx, &report)
		for _, id := range report.Refused {
			got.Refused[id]++
		}
	})
	for ctx.Err() == nil {
		mail.Select(ctx)
	}
	return ctx.Err()
}

// collector starts the stand-in for the fleet of that name.
func (s *system) collector(fleet string) {
	w := worker.New(s.client, "collector", worker.Options{})
	w.RegisterWorkflowWithOptions(collect, workflow.RegisterOptions{Name: "collect"})
	require.NoError(s, w.Start())
	s.Cleanup(w.Stop)
	_, err := s.client.ExecuteWorkflow(s.Context(), client.StartWorkflowOptions{
		ID: api.FleetWorkflowID(fleet), TaskQueue: "collector", WorkflowTaskTimeout: time.Minute,
	}, "collect")
	require.NoError(s, err)
}

// continuedRuns counts the runs of a workflow that continued as new.
func (s *system) continuedRuns(workflowID string) int {
	answer, err := s.client.CountWorkflow(s.Context(), countRequest(fmt.Sprintf("WorkflowId = %q AND ExecutionStatus = 'ContinuedAsNew'", workflowID)))
	require.NoError(s, err)
	return int(answer.GetCount())
}

func (s *system) send(workflowID, signal string, payload any) {
	require.NoError(s, s.client.SignalWorkflow(s.Context(), workflowID, "", signal, payload))
}

func TestNoSignalToAnInstanceIsLostWhileItContinuesAsNew(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.startWorker()
	s.collector("collector")
	spec := fleetspec.Default("collector")
	spec.Output.Store = "file://" + t.TempDir()
	spec.Intervals.Probe, spec.Intervals.Heartbeat = fleetspec.Duration(time.Second), fleetspec.Duration(2*time.Second)
	in := api.InstanceInput{Name: "collector-1", Type: spec.InstanceTypes[0], Spec: api.InstanceSpecOf(spec)}
	id := api.InstanceWorkflowID("collector", in.Name)
	_, err := s.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: api.DefaultTaskQueue}, api.InstanceWorkflow, in)
	require.NoError(t, err)
	s.send(id, api.SignalSetIdleBehavior, "hold") // it refuses all containers
	var state api.InstanceState
	s.eventually(20*time.Second, func() bool { s.query(id, &state); return state.State == api.StateIdle }, "it comes up")
	s.eventually(time.Minute, func() bool { return s.lastSeen(id).LastProbe.After(state.UpAt.Time) }, "it is watched")
	var all sync.WaitGroup
	all.Go(func() {
		for k := range manySignals / 4 {
			s.send(id, api.SignalSetIdleBehavior, []string{"hold", "sideways"}[k%2])
		}
	})
	for k := range manySignals {
		orders := api.Orders{Fleet: "collector", Seq: int64(k + 1), Run: []api.Assignment{{Container: fmt.Sprintf("c-%d", k), Attempt: 1}}}
		s.send(id, api.SignalOrders, orders)
	}
	all.Wait()
	var got collected
	s.eventually(time.Minute, func() bool { s.query(api.FleetWorkflowID("collector"), &got); return len(got.Refused) == manySignals }, "all orders are answered")
	s.send(id, api.SignalDestroy, "the test is over")
	state = s.gone(api.InstanceState{WorkflowID: id})
	assert.Equal(t, "destroyed: the test is over", state.Reason)
	assert.NotZero(t, s.continuedRuns(id))
	assert.True(t, state.LastProbe.After(state.UpAt.Time), "what only a heartbeat has said goes from run to run")
}

// lastSeen returns what the activity that watches an instance has said with its heartbeats.
func (s *system) lastSeen(workflowID string) (seen api.Watched) {
	described, err := s.client.DescribeWorkflowExecution(s.Context(), workflowID, "")
	require.NoError(s, err)
	for _, pending := range described.GetPendingActivities() {
		if pending.GetActivityType().GetName() == api.WatchActivity && pending.GetHeartbeatDetails() != nil {
			require.NoError(s, converter.GetDefaultDataConverter().FromPayloads(pending.GetHeartbeatDetails(), &seen))
		}
	}
	return seen
}

func TestNoSignalToAContainerIsLostWhileItContinuesAsNew(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.startWorker()
	s.collector("collector")
	run := s.submit("prioritized", map[string]any{"command": []string{"true"}, "fleet": "collector"})
	for k := range manySignals {
		s.send(run.GetID(), api.SignalSetPriority, k+1)
	}
	var got collected
	s.eventually(time.Minute, func() bool {
		s.query(api.FleetWorkflowID("collector"), &got)
		return got.Priority == manySignals
	}, "the last one is passed on")
	s.send(run.GetID(), api.SignalOutcome, api.Outcome{Result: &api.ContainerResult{ExitCode: 9}})
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Equal(t, 9, result.ExitCode)
	assert.NotZero(t, s.continuedRuns(run.GetID()))
}

func TestNoSignalToAFleetIsLostWhileItContinuesAsNew(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	id := api.FleetWorkflowID("default")
	each := func(request func(k int) api.Request) {
		var all sync.WaitGroup
		for part := range slices.Chunk(slices.Collect(count(manySignals)), manySignals/4) {
			all.Go(func() {
				for _, k := range part {
					s.send(id, api.SignalRequest, request(k))
				}
			})
		}
		all.Wait()
	}
	each(func(k int) api.Request {
		return api.Request{Kind: api.Submit, ID: fmt.Sprintf("c-%d", k), Priority: -1, VCPUs: 1, Attempts: 1, QueuedAt: time.Now()}
	})
	s.eventually(time.Minute, func() bool { return s.fleet().Queued == manySignals }, "all are queued")
	each(func(k int) api.Request { return api.Request{Kind: api.Cancel, ID: fmt.Sprintf("c-%d", k)} })
	s.eventually(time.Minute, func() bool { return s.fleet().Queued == 0 }, "all are cancelled")
	totals := s.fleet().Totals
	assert.EqualValues(t, manySignals, totals.Submitted)
	assert.EqualValues(t, manySignals, totals.Cancelled)
	assert.NotZero(t, s.continuedRuns(id))
}

// count yields the numbers from 0 on.
func count(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for k := range n {
			if !yield(k) {
				return
			}
		}
	}
}
