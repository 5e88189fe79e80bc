package workflows_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"drover/internal/api"
	"drover/internal/fleetspec"
	"drover/workflows"
)

// sees has the first watch say something, once, when so much time has passed.
func (w *world) sees(d time.Duration, result func() api.WatchResult) {
	var token []byte
	w.watch = func(ctx context.Context, _ api.WatchInput) (api.WatchResult, error) {
		if token == nil {
			token = activity.GetInfo(ctx).TaskToken
		}
		return api.WatchResult{}, activity.ErrResultPending
	}
	w.after(d, func() { require.NoError(w.t, w.env.CompleteActivity(token, result(), nil)) })
}

func TestANoticeDrainsTheInstanceAndEndsItsContainersInTheTimeThatIsLeft(t *testing.T) {
	w := newWorld(t)
	var killed api.KillInput
	w.kill = func(in api.KillInput) (bool, error) { killed = in; return true, nil }
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1"), assignment("c-2")}})
	w.sees(10*time.Second, func() api.WatchResult { return api.WatchResult{Notice: w.env.Now().Add(2 * time.Minute)} })
	w.after(20*time.Second, func() {
		state := query[api.InstanceState](w)
		assert.Equal(t, api.Drain, state.IdleBehavior)
		assert.Contains(t, state.BehaviorReason, "the provider takes it at ")
		assert.Equal(t, api.Drain, w.reports[len(w.reports)-1].Behavior, "the fleet hears of it before the machine is gone")
		assert.InDelta(t, 120, killed.Timeout.D().Seconds(), 2)
	})
	w.finish(30*time.Second, "c-1", api.RunContainerResult{How: api.Exited, ExitCode: 143})
	w.finish(40*time.Second, "c-2", api.RunContainerResult{How: api.Exited, ExitCode: 0})
	state := w.live()
	assert.Less(t, state.GoneAt.Sub(state.CreatedAt.Time), time.Minute)
	require.Len(t, w.ended(), 2)
	assert.Equal(t, api.Preempted, w.ended()[0].How)
	assert.Empty(t, w.outcomes["container/c-1"], "it is tried elsewhere")
	assert.Equal(t, api.Exited, w.ended()[1].How, "what ends well has its result")
	assert.Len(t, w.outcomes["container/c-2"], 1)
}

func TestANoticeOnHoldEndsTheContainersAndKeepsTheHold(t *testing.T) {
	w := newWorld(t)
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.signal(5*time.Second, api.SignalSetIdleBehavior, "hold")
	w.sees(10*time.Second, func() api.WatchResult { return api.WatchResult{Notice: w.env.Now().Add(2 * time.Minute)} })
	w.finish(20*time.Second, "c-1", api.RunContainerResult{How: api.Exited, ExitCode: 143})
	w.after(30*time.Second, func() {
		assert.Equal(t, api.Hold, query[api.InstanceState](w).IdleBehavior)
		assert.Contains(t, w.did, "kill c-1")
	})
	w.signal(time.Minute, api.SignalSetIdleBehavior, "run")
	state := w.live()
	assert.Contains(t, state.Reason, "drained: the provider takes it at ")
}

func TestWhatIsStaleForTooLongIsEndedUnlessOnHold(t *testing.T) {
	for behavior, kills := range map[string]bool{"run": true, "drain": true, "hold": false} {
		t.Run(behavior, func(t *testing.T) {
			w := newWorld(t)
			w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
			w.signal(5*time.Second, api.SignalSetIdleBehavior, behavior)
			w.sees(10*time.Second, func() api.WatchResult {
				return api.WatchResult{Listing: &api.Listing{Containers: []string{"c-1"}, Stale: []string{"c-1"}, Broken: true}}
			})
			w.after(15*time.Second, func() {
				assert.Equal(t, kills, strings.Contains(strings.Join(w.did, " "), "kill c-1"))
				assert.Contains(t, strings.Join(query[api.InstanceState](w).Notes, " "), "can't run containers", "it is said")
			})
			w.signal(20*time.Second, api.SignalSetIdleBehavior, "run")
			w.finish(30*time.Second, "c-1", api.RunContainerResult{How: api.Lost, Detail: "its supervisor is gone"})
			state := w.live()
			assert.Contains(t, w.did, "kill c-1", "also once the hold is over")
			assert.Equal(t, "drained: the instance says that it can't run containers", state.Reason)
		})
	}
}

func TestTheMaximumAgeDrainsOnceTheHoldIsOver(t *testing.T) {
	in := instanceInput()
	in.Spec.Timeouts.MaxAge = fleetspec.Duration(2 * time.Hour)
	w := newWorld(t)
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.after(2*time.Hour+time.Second, func() { assert.Equal(t, api.Drain, query[api.InstanceState](w).IdleBehavior) })
	w.finish(3*time.Hour, "c-1", api.RunContainerResult{How: api.Exited})
	assert.Equal(t, "drained: has lived for 2h0m0s", w.liveWith(in).Reason)

	w = newWorld(t)
	w.signal(time.Second, api.SignalSetIdleBehavior, "hold")
	w.after(3*time.Hour, func() {
		state := query[api.InstanceState](w)
		assert.Equal(t, api.StateIdle, state.State)
		assert.Contains(t, strings.Join(state.Notes, " "), "has lived for 2h0m0s")
	})
	w.signal(4*time.Hour, api.SignalSetIdleBehavior, "run")
	state := w.liveWith(in)
	assert.InDelta(t, 4*3600, state.GoneAt.Sub(state.CreatedAt.Time).Seconds(), 5)
}

func TestAnUnkillableContainerOnHoldIsOnlySaid(t *testing.T) {
	w := newWorld(t)
	w.kill = func(api.KillInput) (bool, error) { return false, nil }
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.signal(2*time.Second, api.SignalSetIdleBehavior, "hold")
	w.order(10*time.Second, 2, api.Orders{Kill: []string{"c-1"}})
	w.after(time.Hour, func() {
		state := query[api.InstanceState](w)
		assert.Equal(t, api.Hold, state.IdleBehavior)
		assert.Equal(t, api.StateRunning, state.State)
		assert.Contains(t, strings.Join(state.Notes, " "), "container c-1 can't be killed")
	})
	w.signal(2*time.Hour, api.SignalSetIdleBehavior, "run")
	state := w.live()
	assert.Equal(t, "drained: container c-1 can't be killed", state.Reason)
	assert.Equal(t, api.Unkillable, w.ended()[0].How)
}

func TestWhatTheInstanceNoLongerListsIsLostWhenItHasNoResult(t *testing.T) {
	w := newWorld(t)
	w.run = func(ctx context.Context, in api.RunContainerInput) (api.RunContainerResult, error) {
		if in.Unlisted {
			return api.RunContainerResult{How: api.Lost, Detail: "no result"}, nil
		}
		return w.runsOn(ctx, in)
	}
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1"), assignment("c-2")}})
	w.sees(10*time.Second, func() api.WatchResult { return api.WatchResult{Listing: &api.Listing{}, Unlisted: []string{"c-1"}} })
	w.after(15*time.Second, func() { assert.Equal(t, []string{"c-2"}, query[api.InstanceState](w).Running) })
	w.finish(20*time.Second, "c-2", api.RunContainerResult{How: api.Exited})
	w.live()
	require.Len(t, w.ended(), 2)
	assert.Equal(t, api.Ended{Container: "c-1", Attempt: 1, How: api.Lost, Detail: "no result"}, w.ended()[0])
}

func TestAnInstanceThatIsFoundGoesOnWithWhatItWasGiven(t *testing.T) {
	w := newWorld(t)
	w.order(time.Second, 1, api.Orders{Resume: []api.Assignment{assignment("c-1")}})
	w.after(4*time.Second, func() {
		assert.NotContains(t, w.did, "run c-1", "it can't be reached yet")
		assert.Equal(t, []string{"c-1"}, query[api.InstanceState](w).Running)
	})
	w.after(20*time.Second, func() { assert.Contains(t, w.did, "run c-1", "although it is not listed: it may have ended") })
	w.finish(30*time.Second, "c-1", api.RunContainerResult{How: api.Exited, ExitCode: 3})
	w.foundInstance(api.Drain)
	assert.Equal(t, 3, w.outcomes["container/c-1"][0].Result.ExitCode)
}

func TestAFoundInstanceThatNeverAnswersGoesWithWhatItWasGiven(t *testing.T) {
	w := newWorld(t)
	w.bootProbe = func() error { return errNotYet }
	w.copies = func(context.Context) error { return errNotYet }
	lastTries := 0
	w.copies = func(context.Context) error {
		if lastTries++; lastTries > 1 {
			return errRefused
		}
		return errNotYet
	}
	w.order(time.Second, 1, api.Orders{Resume: []api.Assignment{assignment("c-1")}})
	state := w.foundInstance(api.Run)
	assert.Equal(t, "unreachable: boot timeout 10m0s: connection refused", state.Reason)
	assert.Equal(t, api.BootFailure, state.BootOutcome)
	assert.Equal(t, api.Lost, w.ended()[0].How)
	assert.Equal(t, 1, w.destroyed)
}

func TestAnInstanceThatCameUpWhileNoWorkerLookedIsKept(t *testing.T) {
	w := newWorld(t)
	probes := 0
	w.bootProbe = func() error {
		if probes++; probes == 1 {
			return errNotYet // its worker died, and no other took over
		}
		return nil
	}
	w.after(11*time.Minute, func() { assert.Equal(t, api.StateIdle, query[api.InstanceState](w).State) })
	w.signal(12*time.Minute, api.SignalDestroy, nil)
	in := instanceInput()
	in.Spec.Timeouts.Idle = fleetspec.Duration(time.Hour)
	assert.Equal(t, api.BootSuccess, w.liveWith(in).BootOutcome)
}

func TestOutcomesSayHowItWent(t *testing.T) {
	w := newWorld(t)
	w.address = func() error {
		return temporal.NewNonRetryableApplicationError("it is terminated: no capacity", api.ErrorGone, nil, api.CreateRefusal{Class: "capacity", Scope: "type", Message: "no capacity"})
	}
	assert.Equal(t, api.OutcomeDisappeared, w.live().Outcome)
	refusals := 0
	for _, r := range w.reports {
		if r.Refusal != nil {
			refusals++
			assert.Equal(t, "capacity", r.Refusal.Class, "the fleet buys another type")
		}
	}
	assert.Equal(t, 1, refusals)

	w = newWorld(t)
	w.create = func(api.CreateInput) error {
		return temporal.NewNonRetryableApplicationError("no", api.ErrorRefused, nil, api.CreateRefusal{Class: "rate-limit", Message: "no"})
	}
	assert.Equal(t, "rate-limit", w.live().Outcome)
	assert.Equal(t, api.OutcomeDestroyed, newWorld(t).live().Outcome)
}

func TestAFleetLooksOnceMoreBeforeItEnds(t *testing.T) {
	w := newWorld(t)
	w.leftOver = []api.Found{{Name: "default-late", CloudID: "i-late", Type: "small", Behavior: api.Run}}
	w.deleted(time.Second)
	w.reportFrom(time.Minute, 0, 1, api.Report{State: api.StateGone, Gone: true})
	w.manage(nil)
	require.Len(t, w.started, 1, "a creation that had been given up succeeded after all")
	assert.Equal(t, "default-late", w.started[0].Name)
	require.NotNil(t, w.started[0].Found)
}

func TestAContainerContinuesAsNewWithItsPriorityAndItsCancellation(t *testing.T) {
	w := newWorld(t)
	for k := range 100 {
		w.signal(time.Second, api.SignalSetPriority, k+1)
	}
	w.signal(2*time.Second, api.SignalSetPriority, 7)
	w.after(10*time.Second, func() { w.env.SetContinueAsNewSuggested(true) })
	w.env.SetStartWorkflowOptions(startOptions("container/c-1"))
	spec := json.RawMessage(`{"command": ["true"], "priority": 3}`)
	w.env.ExecuteWorkflow(workflows.Container, spec, nil)
	assert.JSONEq(t, string(spec), string(next[json.RawMessage](w)), "its input stays what it was: the spec is read from there")
	last := w.requests[len(w.requests)-1]
	assert.Equal(t, api.Prioritize, last.Kind)
	assert.Equal(t, 7, last.Priority)

	w = newWorld(t)
	w.env.SetStartWorkflowOptions(startOptions("container/c-1"))
	carried := api.ContainerCarried{State: api.ContainerState{ID: "c-1", Priority: 7, State: api.ContainerRunning}, Passed: 7, Cancelled: true}
	w.signal(time.Second, api.SignalOutcome, api.Outcome{Cancelled: true})
	w.env.ExecuteWorkflow(workflows.Container, spec, &carried)
	require.True(t, temporal.IsCanceledError(w.env.GetWorkflowError()))
	assert.Empty(t, w.requests, "it is submitted and cancelled once")
}

func startOptions(id string) client.StartWorkflowOptions { return client.StartWorkflowOptions{ID: id} }

func TestABehaviorIsRefusedOnceTheInstanceIsShutDown(t *testing.T) {
	w := newWorld(t)
	var token []byte
	w.destroys = func(ctx context.Context) error {
		token = activity.GetInfo(ctx).TaskToken
		return activity.ErrResultPending
	}
	w.signal(time.Second, api.SignalDestroy, nil)
	var refusals []error
	for k, behavior := range []api.Behavior{api.Run, api.Hold, api.Drain} {
		w.after(5*time.Second, func() {
			w.env.UpdateWorkflow(api.UpdateIdleBehavior, fmt.Sprint(k), &updates{reject: func(err error) { refusals = append(refusals, err) }}, api.SetIdleBehavior{Behavior: behavior})
		})
	}
	w.after(10*time.Second, func() { require.NoError(t, w.env.CompleteActivity(token, nil, nil)) })
	w.live()
	require.Len(t, refusals, 3)
	for _, refused := range refusals {
		assert.ErrorContains(t, refused, "its idle behavior can no longer change: it is in state shutdown")
	}
}

func TestReportsOfAnEarlierWorkflowOfAnInstanceAreOutOfDate(t *testing.T) {
	w := newWorld(t)
	w.found = []api.Found{{Name: "default-old", CloudID: "i-old", Type: "small", Behavior: api.Run}}
	report := func(d time.Duration, r api.Report) {
		r.Instance, r.Type, r.CloudID = "default-old", "small", "i-old"
		w.signal(d, api.SignalReport, r)
	}
	report(0, api.Report{Incarnation: 1, Seq: 40, State: api.StateRunning}) // from before, and underway until now
	report(10*time.Second, api.Report{Incarnation: 2, Seq: 1, State: api.StateUnknown})
	report(20*time.Second, api.Report{Incarnation: 1, Seq: 41, State: api.StateShutdown})
	w.after(30*time.Second, func() {
		require.Len(t, w.started, 1, "who is only heard of is adopted, for its workflow may have been terminated")
		require.NotNil(t, w.started[0].Found)
		assert.Equal(t, api.StateUnknown, query[api.FleetState](w).Instances[0].State)
	})
	w.deleted(time.Minute)
	report(2*time.Minute, api.Report{Incarnation: 2, Seq: 2, State: api.StateGone, Gone: true})
	w.manage(nil)
}

func TestReportsThatComeAgainAreTakenInOnceAndWhatIsNewInThemToo(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"c-1", "c-2"} {
		w.signal(time.Second, api.SignalRequest, request(id))
	}
	w.up(2*time.Second, 0)
	running := []string{"c-1", "c-2"}
	// The workflow task that sent this has failed, and its next try knew more.
	w.reportFrom(10*time.Second, 0, 5, api.Report{State: api.StateRunning, CloudID: "i-0", Running: running, Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Lost}}})
	w.reportFrom(11*time.Second, 0, 6, api.Report{State: api.StateIdle, CloudID: "i-0"})
	w.reportFrom(12*time.Second, 0, 5, api.Report{
		State: api.StateRunning, CloudID: "i-0", Running: running,
		Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Lost}, {Container: "c-2", Attempt: 1, How: api.Exited}},
	})
	w.after(20*time.Second, func() {
		state := query[api.FleetState](w)
		assert.EqualValues(t, 1, state.Totals.Retried, "c-1 is lost once")
		assert.EqualValues(t, 1, state.Totals.Exited, "that c-2 has ended came with a number that had been seen")
		assert.Equal(t, api.StateIdle, state.Instances[0].State, "where it stands is what the latest said")
		assert.Equal(t, []string{"c-1#1", "c-2#1", "c-1#2"}, w.ordered())
	})
	w.reportFrom(30*time.Second, 0, 7, api.Report{State: api.StateIdle, CloudID: "i-0", Ended: []api.Ended{{Container: "c-1", Attempt: 2, How: api.Exited}}})
	w.deleted(time.Minute)
	w.manage(nil)
}

func TestAnAttemptThatWasRefusedOnceIsNotTakenBackTwice(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.up(2*time.Second, 0)
	for k, d := range []time.Duration{10 * time.Second, 20 * time.Second} { // the second comes late, again
		w.reportFrom(d, 0, int64(k+2), api.Report{State: api.StateIdle, CloudID: "i-0", Refused: []string{"c-1"}})
	}
	w.after(30*time.Second, func() {
		assert.Equal(t, []string{"c-1#1", "c-1#2"}, w.ordered())
		assert.Equal(t, 1, w.orders[len(w.orders)-1].Run[0].Count, "no attempt was used up")
		assert.Equal(t, api.ContainerRunning, w.containers()[0].State)
		assert.Equal(t, 2, w.containers()[0].Attempt)
	})
	w.reportFrom(40*time.Second, 0, 4, api.Report{State: api.StateIdle, CloudID: "i-0", Ended: []api.Ended{{Container: "c-1", Attempt: 2, How: api.Exited}}})
	w.deleted(time.Minute)
	w.manage(nil)
}

func TestAFleetThatIsCreatedAnewHasItsContainersSubmitThemselvesAgain(t *testing.T) {
	w := newWorld(t)
	w.recallNext = []byte("second")
	w.deleted(time.Minute)
	w.manage(nil)
	assert.Equal(t, []string{"recall ", "recall second"}, w.did, "page by page")

	w = newWorld(t)
	w.signal(time.Hour, api.SignalSubmitAgain, nil)
	w.signal(2*time.Hour, api.SignalOutcome, api.Outcome{Result: &api.ContainerResult{}})
	_, err := w.contain("container/c-1", `{"command": ["true"]}`)
	require.NoError(t, err)
	require.Len(t, w.requests, 2)
	again := w.requests[0]
	again.Again = true
	assert.Equal(t, again, w.requests[1])
}

func TestWhatWasSubmittedJustBeforeItsFleetWasCreatedAnewMayRunAlready(t *testing.T) {
	w := newWorld(t)
	w.found = []api.Found{{Name: "default-old", CloudID: "i-old", Type: "small", Behavior: api.Run}}
	w.after(time.Second, func() {
		fresh := request("c-1")
		fresh.QueuedAt = w.env.Now().Add(-1300 * time.Millisecond)
		w.env.SignalWorkflow(api.SignalRequest, fresh)
	})
	w.after(30*time.Second, func() {
		assert.Empty(t, w.ordered())
		assert.Len(t, w.started, 1, "nothing is bought for it")
	})
	w.reportFrom(time.Minute, 0, 1, api.Report{State: api.StateUnknown, CloudID: "i-old", Listed: true, Running: []string{"c-1"}})
	w.reportFrom(2*time.Minute, 0, 2, api.Report{State: api.StateIdle, CloudID: "i-old", Listed: true, Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}}})
	w.deleted(3 * time.Minute)
	assert.EqualValues(t, 1, w.manage(nil).Totals.Exited)
}

func TestWhatAnInstanceSaidBeforeItsWorkflowWasTerminatedIsNoListing(t *testing.T) {
	w := newWorld(t)
	w.found = []api.Found{{Name: "default-old", CloudID: "i-old", Type: "small", Behavior: api.Run}}
	report := func(d time.Duration, r api.Report) {
		r.Instance, r.Type, r.CloudID, r.Listed = "default-old", "small", "i-old", true
		w.signal(d, api.SignalReport, r)
	}
	report(0, api.Report{Incarnation: 1, Seq: 4, State: api.StateIdle}) // then c-1 was started, and its workflow terminated
	again := request("c-1")
	again.QueuedAt = time.Now().Add(-time.Hour)
	w.signal(time.Second, api.SignalRequest, again)
	w.after(10*time.Second, func() {
		assert.Empty(t, w.ordered())
		assert.Len(t, w.started, 1, "nothing is bought for it")
	})
	report(20*time.Second, api.Report{Incarnation: 2, Seq: 1, State: api.StateUnknown, Running: []string{"c-1"}})
	report(time.Minute, api.Report{Incarnation: 2, Seq: 2, State: api.StateIdle, Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}}})
	w.deleted(2 * time.Minute)
	report(3*time.Minute, api.Report{Incarnation: 2, Seq: 3, State: api.StateGone, Gone: true})
	assert.EqualValues(t, 1, w.manage(nil).Totals.Exited)
}
