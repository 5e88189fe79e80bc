package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
	"drover/workflows"
)

// next returns the input with which the workflow continued as new.
func next[T any](w *world) T {
	require.True(w.t, w.env.IsWorkflowCompleted())
	var again *workflow.ContinueAsNewError
	require.ErrorAs(w.t, w.env.GetWorkflowError(), &again)
	var input T
	require.NoError(w.t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &input))
	return input
}

func TestAnInstanceContinuesAsNewWhileAContainerRunsAndLosesNothing(t *testing.T) {
	w := newWorld(t)
	w.order(5*time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.signal(6*time.Second, api.SignalSetIdleBehavior, map[string]string{"behavior": "drain", "by": "ann"})
	w.after(20*time.Second, func() {
		w.env.SetContinueAsNewSuggested(true)
		w.env.SignalWorkflow(api.SignalSetIdleBehavior, "drain")
	})
	w.env.ExecuteWorkflow(workflows.Instance, instanceInput())
	in := next[api.InstanceInput](w)
	assert.Equal(t, 0, w.destroyed)
	require.NotNil(t, in.Carried)
	assert.Equal(t, []api.CarriedAttempt{{Assignment: assignment("c-1")}}, in.Carried.Containers)

	w2 := newWorld(t)
	w2.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}}) // seen in the last run
	w2.finish(time.Hour, "c-1", api.RunContainerResult{How: api.Exited, ExitCode: 5})
	state := w2.liveWith(in)
	assert.Equal(t, []string{"run c-1", "destroy"}, w2.did, "it is neither created nor booted again")
	assert.Equal(t, 5, w2.outcomes["container/c-1"][0].Result.ExitCode)
	assert.Equal(t, api.Drain, state.IdleBehavior)
	assert.Greater(t, w2.reports[0].Seq, w.reports[len(w.reports)-1].Seq)
}

func TestAFleetContinuesAsNewWithItsQueueAndWhatIsUnderWay(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.up(2*time.Second, 0)
	held := request("c-2")
	held.Priority = -1
	w.signal(5*time.Second, api.SignalRequest, held)
	w.signal(9*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-1"})
	w.after(10*time.Second, func() {
		w.env.SetContinueAsNewSuggested(true)
		w.env.SignalWorkflow(api.SignalRequest, request("c-2"))
	})
	w.startFleet(nil)
	in := next[api.FleetInput](w)
	require.Len(t, in.Carried.Queue, 2)

	w2 := newWorld(t)
	w2.after(time.Second, func() {
		waiting := w2.containers()
		require.Len(t, waiting, 2)
		assert.Equal(t, api.ContainerRunning, waiting[0].State)
		assert.Equal(t, "being killed on "+w.started[0].Name, waiting[0].Status)
		assert.Equal(t, "on hold: priority is negative", waiting[1].Status)
	})
	w2.signal(2*time.Second, api.SignalReport, api.Report{
		Instance: w.started[0].Name, Type: "small", Seq: 10, State: api.StateIdle, CloudID: "i-0",
		Behavior: api.Run, Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}},
	})
	w2.signal(5*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-2"})
	w2.deleted(time.Minute)
	state := w2.runFleet(in)
	assert.EqualValues(t, 2, state.Totals.Submitted)
	assert.EqualValues(t, 1, state.Totals.Exited)
}
