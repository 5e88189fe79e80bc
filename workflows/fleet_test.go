package workflows_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"drover/internal/api"
	"drover/internal/fleetspec"
	"drover/workflows"
)

// manage runs the Fleet workflow; scripts must delete the fleet in the end.
func (w *world) manage(change func(*fleetspec.Spec)) api.FleetState {
	w.startFleet(change)
	return w.fleetEnd()
}

func (w *world) startFleet(change func(*fleetspec.Spec)) {
	spec := fleetspec.Default("default")
	if change != nil {
		change(&spec)
	}
	w.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: "fleet/default"})
	w.env.ExecuteWorkflow(workflows.Fleet, api.FleetInput{Spec: spec}, nil)
}

// runFleet runs the Fleet workflow from a given input.
func (w *world) runFleet(in api.FleetInput) api.FleetState {
	w.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: "fleet/default"})
	w.env.ExecuteWorkflow(workflows.Fleet, in, nil)
	return w.fleetEnd()
}

func (w *world) fleetEnd() api.FleetState {
	require.True(w.t, w.env.IsWorkflowCompleted(), "the workflow did not end")
	require.NoError(w.t, w.env.GetWorkflowError())
	var state api.FleetState
	require.NoError(w.t, w.env.GetWorkflowResult(&state))
	return state
}

func request(id string) api.Request {
	return api.Request{Kind: api.Submit, ID: id, VCPUs: 1, Memory: 512 << 20, Attempts: 3, Label: "true"}
}

// reportFrom sends a report of the k-th instance that the fleet has started.
func (w *world) reportFrom(d time.Duration, k int, seq int64, r api.Report) {
	w.after(d, func() {
		w.mu.Lock()
		in := w.started[k]
		w.mu.Unlock()
		r.Instance, r.Type, r.Seq = in.Name, in.Type.Name, seq
		if r.Behavior == "" {
			r.Behavior = api.Run
		}
		w.env.SignalWorkflow(api.SignalReport, r)
	})
}

// up has the k-th instance report that it is usable.
func (w *world) up(d time.Duration, k int) {
	w.reportFrom(d, k, 1, api.Report{State: api.StateIdle, CloudID: fmt.Sprintf("i-%d", k), BootOutcome: api.BootSuccess})
}

// deleted deletes the fleet, and has its instances go.
func (w *world) deleted(d time.Duration) {
	w.after(d, func() {
		u := &updates{reject: func(err error) { w.t.Errorf("delete was refused: %v", err) }}
		w.env.UpdateWorkflow(api.UpdateDelete, "delete", u, api.DeleteFleet{Drain: true})
	})
	w.after(d+time.Minute, func() {
		for _, m := range query[api.FleetState](w).Instances {
			w.env.SignalWorkflow(api.SignalReport, api.Report{Instance: m.Name, Type: m.Type, Seq: 1000, Incarnation: math.MaxInt64, State: api.StateGone, Gone: true})
		}
	})
}

func (w *world) containers() []api.ContainerState {
	answer, err := w.env.QueryWorkflow(api.QueryContainers, api.ContainersQuery{})
	require.NoError(w.t, err)
	var page api.ContainersPage
	require.NoError(w.t, answer.Get(&page))
	return page.Containers
}

// running returns what was ordered to run, in order.
func (w *world) ordered() (ids []string) {
	for _, o := range w.orders {
		for _, a := range o.Run {
			ids = append(ids, fmt.Sprintf("%s#%d", a.Container, a.Attempt))
		}
	}
	return ids
}

func TestAFleetBuysTheCheapestTypeThatFitsAndPlacesTheContainer(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.after(2*time.Second, func() {
		require.Len(t, w.started, 1)
		assert.Equal(t, "small", w.started[0].Type.Name)
		assert.Equal(t, "file:///output", w.started[0].Spec.Output.Store)
		waiting := w.containers()
		require.Len(t, waiting, 1)
		assert.Equal(t, api.ContainerAssigned, waiting[0].State)
		assert.Equal(t, "waiting for a small instance to boot", waiting[0].Status)
	})
	w.up(5*time.Second, 0)
	w.after(6*time.Second, func() {
		assert.Equal(t, []string{"c-1#1"}, w.ordered())
		assert.Equal(t, api.ContainerRunning, w.containers()[0].State)
	})
	w.reportFrom(10*time.Second, 0, 2, api.Report{State: api.StateIdle, Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}}})
	w.deleted(20 * time.Second)
	state := w.manage(nil)
	assert.EqualValues(t, 1, state.Totals.Exited)
	assert.Empty(t, w.outcomes, "the instance has told the container itself")
}

func TestPriorityGoesBeforeOrder(t *testing.T) {
	w := newWorld(t)
	low, high := request("low"), request("high")
	low.VCPUs, high.VCPUs, high.Priority = 8, 8, 5
	w.signal(time.Second, api.SignalRequest, low)
	w.signal(time.Second, api.SignalRequest, high)
	w.up(5*time.Second, 0)
	w.reportFrom(10*time.Second, 0, 2, api.Report{State: api.StateIdle, Ended: []api.Ended{{Container: "high", Attempt: 1, How: api.Exited}}})
	w.reportFrom(15*time.Second, 0, 3, api.Report{State: api.StateIdle, Ended: []api.Ended{{Container: "low", Attempt: 1, How: api.Exited}}})
	w.deleted(20 * time.Second)
	w.manage(func(s *fleetspec.Spec) { s.Limits.MaxInstances = 1 })
	assert.Equal(t, []string{"high#1", "low#1"}, w.ordered())
}

func TestALostContainerIsTriedAgainAndFailsWithItsStory(t *testing.T) {
	w := newWorld(t)
	r := request("c-1")
	r.Attempts = 2
	w.signal(time.Second, api.SignalRequest, r)
	for k := range 2 {
		at := time.Duration(k+1) * 10 * time.Second
		w.up(at, k)
		w.reportFrom(at+5*time.Second, k, 2, api.Report{
			State: api.StateGone, Gone: true, CloudID: "i",
			Ended: []api.Ended{{Container: "c-1", Attempt: k + 1, How: api.Lost, Detail: "power cut"}},
		})
	}
	w.deleted(time.Minute)
	state := w.manage(nil)
	assert.Equal(t, []string{"c-1#1", "c-1#2"}, w.ordered())
	require.Len(t, w.outcomes["container/c-1"], 1)
	failed := w.outcomes["container/c-1"][0].Failed
	assert.Contains(t, failed, "attempt 1 on "+w.started[0].Name+": lost: power cut; attempt 2 on "+w.started[1].Name+": lost: power cut")
	assert.EqualValues(t, 1, state.Totals.Retried)
}

func TestTheSameSubmissionTwiceIsOneContainer(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		w.signal(time.Second, api.SignalRequest, request("c-1"))
	}
	other := request("c-1")
	other.WorkflowID = "c-1"
	w.signal(2*time.Second, api.SignalRequest, other)
	w.after(3*time.Second, func() {
		assert.Len(t, w.containers(), 1)
		require.Len(t, w.outcomes["c-1"], 1)
		assert.Equal(t, "container ID c-1 is in use by workflow container/c-1", w.outcomes["c-1"][0].Refused)
	})
	w.signal(5*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-1"})
	w.deleted(20 * time.Second)
	w.manage(nil)
}

func TestAQueuedContainerIsCancelledAtOnceAndARunningOneIsKilled(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.signal(2*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-1"})
	w.after(3*time.Second, func() { assert.True(t, w.outcomes["container/c-1"][0].Cancelled) })
	w.signal(4*time.Second, api.SignalRequest, request("c-2"))
	w.up(5*time.Second, 0)
	w.signal(6*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-2"})
	w.after(7*time.Second, func() {
		assert.Equal(t, []string{"c-2"}, w.orders[len(w.orders)-1].Kill)
		assert.Empty(t, w.outcomes["container/c-2"], "it has not ended")
	})
	w.reportFrom(10*time.Second, 0, 2, api.Report{State: api.StateIdle, Ended: []api.Ended{{Container: "c-2", Attempt: 1, How: api.Exited}}})
	w.deleted(20 * time.Second)
	w.manage(nil)
}

func TestWhatNoTypeCanEverRunIsRefused(t *testing.T) {
	w := newWorld(t)
	r := request("c-1")
	r.VCPUs = 64
	w.signal(time.Second, api.SignalRequest, r)
	w.deleted(5 * time.Second)
	w.manage(nil)
	assert.Contains(t, w.outcomes["container/c-1"][0].Refused, "fleet default can't run it: ")
}

func TestARefusedQuotaIsLearntAndSaid(t *testing.T) {
	w := newWorld(t)
	big := request("c-1")
	big.VCPUs = 2
	w.signal(time.Second, api.SignalRequest, big)
	w.up(2*time.Second, 0)
	next := request("c-2")
	next.VCPUs = 2
	w.signal(5*time.Second, api.SignalRequest, next)
	w.reportFrom(7*time.Second, 1, 1, api.Report{State: api.StateGone, Gone: true, Refusal: &api.CreateRefusal{Class: "quota", Message: "no more"}})
	w.after(10*time.Second, func() {
		assert.Len(t, w.started, 2, "nothing is bought while the quota is met")
		assert.Contains(t, w.containers()[1].Status, "quota of 1 instance")
	})
	w.reportFrom(20*time.Second, 0, 2, api.Report{State: api.StateIdle, CloudID: "i-0", Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}}})
	w.reportFrom(30*time.Second, 0, 3, api.Report{State: api.StateIdle, CloudID: "i-0", Ended: []api.Ended{{Container: "c-2", Attempt: 1, How: api.Exited}}})
	w.deleted(time.Minute)
	w.manage(nil)
	assert.Equal(t, []string{"c-1#1", "c-2#1"}, w.ordered())
}

func TestASpecIsRefusedOrAppliedWhole(t *testing.T) {
	w := newWorld(t)
	var refused error
	w.after(time.Second, func() {
		bad := fleetspec.Default("default")
		bad.InstanceTypes[0].VCPUs = -1
		w.env.UpdateWorkflow(api.UpdateApply, "bad", &updates{reject: func(err error) { refused = err }}, bad)
		good := fleetspec.Default("default")
		good.Limits.MaxInstances = 3
		w.env.UpdateWorkflow(api.UpdateApply, "good", &updates{reject: func(err error) { t.Errorf("refused: %v", err) }}, good)
	})
	w.after(2*time.Second, func() { assert.Equal(t, 3, query[api.FleetState](w).Spec.Limits.MaxInstances) })
	w.deleted(5 * time.Second)
	w.manage(nil)
	require.ErrorContains(t, refused, "vcpus")
}

func TestAFreshFleetAdoptsWhatTheCloudHas(t *testing.T) {
	w := newWorld(t)
	w.found = []api.Found{
		{Name: "default-old", CloudID: "i-old", Type: "small", Behavior: api.Hold},
		{Name: "default-odd", CloudID: "i-odd", Type: "bygone", Behavior: api.Run},
	}
	w.after(time.Second, func() {
		require.Len(t, w.started, 2)
		assert.Equal(t, "i-old", w.started[0].Found.CloudID)
		assert.Equal(t, "small", w.started[0].Type.Name)
		require.Len(t, w.orders, 2)
		assert.True(t, w.orders[0].Greet)
		assert.Equal(t, `type "bygone" is not in the fleet's spec`, w.orders[1].Drain)
	})
	// The container was running there before the fleet lost its memory.
	w.reportFrom(2*time.Second, 0, 7, api.Report{State: api.StateUnknown, CloudID: "i-old", Running: []string{"c-1"}})
	w.signal(3*time.Second, api.SignalRequest, request("c-1"))
	w.reportFrom(4*time.Second, 0, 8, api.Report{State: api.StateRunning, CloudID: "i-old", Running: []string{"c-1"}})
	w.after(5*time.Second, func() {
		require.Len(t, w.containers(), 1)
		assert.Equal(t, api.ContainerRunning, w.containers()[0].State)
		assert.Equal(t, "default-old", w.containers()[0].Instance)
		assert.Empty(t, w.ordered(), "it is not started a second time")
		last := w.orders[len(w.orders)-1]
		require.Len(t, last.Resume, 1, "the instance that has found it learns what it costs")
		assert.Equal(t, "c-1", last.Resume[0].OnInstance())
		assert.InDelta(t, 0.5, last.Resume[0].Share, 1e-9)
	})
	w.reportFrom(6*time.Second, 0, 9, api.Report{State: api.StateIdle, CloudID: "i-old", Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}}})
	w.deleted(time.Minute)
	state := w.manage(nil)
	assert.EqualValues(t, 1, state.Totals.Exited)
}

func TestAFoundInstanceWithoutATypeDrainsAndWhatRunsThereIsKnown(t *testing.T) {
	w := newWorld(t)
	w.found = []api.Found{{Name: "default-odd", CloudID: "i-odd", Behavior: api.Run}}
	w.after(time.Second, func() {
		require.Len(t, w.orders, 1)
		assert.Equal(t, "it has no tag that says its type", w.orders[0].Drain)
	})
	old := request("c-2")
	old.QueuedAt = time.Now().Add(-24 * time.Hour)
	w.signal(2*time.Second, api.SignalRequest, old)
	w.after(time.Minute, func() { assert.Contains(t, w.containers()[0].Status, "waiting until every instance found") })
	w.reportFrom(time.Minute, 0, 1, api.Report{State: api.StateUnknown, CloudID: "i-odd", Behavior: api.Drain, Running: []string{"c-1"}, Listed: true})
	w.after(2*time.Minute, func() {
		assert.Len(t, w.started, 2, "one is bought for what does not run there")
		w.env.SignalWorkflow(api.SignalRequest, request("c-1"))
		w.env.SignalWorkflow(api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-2"})
	})
	w.after(3*time.Minute, func() { assert.Equal(t, "default-odd", w.container(t, "c-1").Instance) })
	w.reportFrom(4*time.Minute, 0, 2, api.Report{State: api.StateGone, Gone: true, Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}}})
	w.deleted(5 * time.Minute)
	state := w.manage(nil)
	assert.EqualValues(t, 1, state.Totals.Exited)
}

func TestAFoundInstanceThatHasLostItsTagIsOfTheTypeThatTheFleetKnows(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.up(2*time.Second, 0)
	w.after(3*time.Second, func() {
		found := api.SyncResult{Found: []api.Found{{Name: w.started[0].Name, CloudID: "i-0", Behavior: api.Run}}}
		require.NoError(t, w.env.CompleteActivity(w.tokens["sync"], found, nil))
	})
	w.after(4*time.Second, func() {
		require.Len(t, w.started, 2)
		assert.Equal(t, w.started[0].Type, w.started[1].Type)
		assert.Empty(t, w.orders[len(w.orders)-1].Drain)
	})
	w.ends(5*time.Second, 0, 100, "c-1")
	w.deleted(time.Minute)
	w.manage(nil)
}

func TestAnInstanceWithoutAWorkflowIsAdoptedAndAVanishedOneLosesItsContainers(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.up(2*time.Second, 0)
	w.after(5*time.Second, func() {
		result := api.SyncResult{
			Found:    []api.Found{{Name: "default-leak", CloudID: "i-leak", Type: "small", Behavior: api.Run}},
			Vanished: []string{w.started[0].Name},
		}
		require.NoError(t, w.env.CompleteActivity(w.tokens["sync"], result, nil))
	})
	w.after(6*time.Second, func() {
		assert.Equal(t, "i-leak", w.started[1].Found.CloudID)
		assert.Contains(t, w.containers()[0].Status, "the instance and its workflow are gone", "its first attempt is lost")
	})
	w.signal(7*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-1"})
	w.deleted(time.Minute)
	w.manage(nil)
}
