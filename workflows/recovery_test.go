package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"drover/internal/api"
)

func TestAFoundInstanceWhoseBootProbeSucceedsLateKeepsWhatRunsOnIt(t *testing.T) {
	w := newWorld(t)
	w.lists = []string{"c-1"}
	var token []byte
	w.bootProbes = func(ctx context.Context) error {
		token = activity.GetInfo(ctx).TaskToken
		return activity.ErrResultPending
	}
	w.after(20*time.Minute, func() { require.NoError(t, w.env.CompleteActivity(token, nil, nil)) })
	w.after(30*time.Minute, func() { assert.Equal(t, api.StateRunning, query[api.InstanceState](w).State) })
	w.finish(time.Hour, "c-1", api.RunContainerResult{How: api.Exited, ExitCode: 4})
	state := w.foundInstance(api.Run)
	assert.Equal(t, api.BootSuccess, state.BootOutcome)
	assert.Equal(t, 4, w.outcomes["container/c-1"][0].Result.ExitCode)
	assert.Len(t, w.ended(), 1)
}

func TestWhatEndedWhileTheBootProbeFailedIsNotAdoptedTwice(t *testing.T) {
	w := newWorld(t)
	w.lists = []string{"c-1"}
	var token []byte
	w.bootProbes = func(ctx context.Context) error {
		token = activity.GetInfo(ctx).TaskToken
		return activity.ErrResultPending
	}
	w.finish(time.Minute, "c-1", api.RunContainerResult{How: api.Exited})
	w.after(2*time.Minute, func() { require.NoError(t, w.env.CompleteActivity(token, nil, nil)) })
	state := w.foundInstance(api.Run)
	assert.Equal(t, "idle for 1m0s", state.Reason)
	assert.Len(t, w.ended(), 1)
}

func TestABrokenInstanceThatWasHeldDrainsWhenItIsToRunAgain(t *testing.T) {
	w := newWorld(t)
	calls := 0
	w.watch = func(context.Context, api.WatchInput) (api.WatchResult, error) {
		if calls++; calls == 1 {
			return api.WatchResult{Listing: &api.Listing{Broken: true}}, nil
		}
		return api.WatchResult{}, activity.ErrResultPending
	}
	w.signal(0, api.SignalSetIdleBehavior, "hold")
	w.after(time.Hour, func() {
		state := query[api.InstanceState](w)
		assert.Equal(t, api.Hold, state.IdleBehavior, "it is only said")
		assert.Contains(t, state.Notes[len(state.Notes)-1], "can't run containers")
	})
	w.signal(2*time.Hour, api.SignalSetIdleBehavior, "run")
	state := w.live()
	assert.Equal(t, api.Drain, state.IdleBehavior)
}

func TestBusyCostCountsUntilTheInstanceIsDestroyed(t *testing.T) {
	w := newWorld(t)
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.signal(time.Hour+time.Second, api.SignalDestroy, nil)
	state := w.live()
	assert.InDelta(t, state.Price, state.BusyCost, state.Price/100)
	assert.LessOrEqual(t, state.BusyCost, state.Cost)
}

func TestAStartThatFailsBecauseTheInstanceIsDestroyedIsALostContainer(t *testing.T) {
	w := newWorld(t)
	var destroys []byte
	w.destroys = func(ctx context.Context) error {
		destroys = activity.GetInfo(ctx).TaskToken
		return activity.ErrResultPending
	}
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.signal(2*time.Second, api.SignalDestroy, "on fire")
	w.after(3*time.Second, func() {
		failed := temporal.NewNonRetryableApplicationError("the supervisor ended", api.ErrorInvalid, nil)
		require.NoError(t, w.env.CompleteActivity(w.tokens["c-1"], nil, failed))
	})
	w.after(4*time.Second, func() {
		assert.Empty(t, w.ended(), "it is lost when the instance is gone, no sooner")
		require.NoError(t, w.env.CompleteActivity(destroys, nil, nil))
	})
	w.live()
	require.Len(t, w.ended(), 1)
	assert.Equal(t, api.Lost, w.ended()[0].How)
	assert.Contains(t, w.ended()[0].Detail, "destroyed: on fire")
}

func TestAnOrderToRunWhatRunsAlreadyStartsNothing(t *testing.T) {
	w := newWorld(t)
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.order(2*time.Second, 1, api.Orders{Fleet: "created anew", Run: []api.Assignment{assignment("c-1")}})
	w.finish(time.Minute, "c-1", api.RunContainerResult{How: api.Exited})
	w.live()
	assert.Len(t, w.ended(), 1)
	assert.Len(t, w.outcomes["container/c-1"], 1)
}

func TestACancelledContainerThatItsInstanceRefusesIsNotStartedElsewhere(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.up(2*time.Second, 0)
	w.signal(3*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-1"})
	w.reportFrom(4*time.Second, 0, 2, api.Report{State: api.StateIdle, CloudID: "i-0", Behavior: api.Drain, Refused: []string{"c-1"}})
	w.after(10*time.Second, func() {
		assert.Empty(t, w.containers())
		require.Len(t, w.outcomes["container/c-1"], 1)
		assert.True(t, w.outcomes["container/c-1"][0].Cancelled)
	})
	w.deleted(time.Minute)
	w.manage(nil)
	assert.Equal(t, []string{"c-1#1"}, w.ordered())
}

func TestWhatMayRunOnAnUnknownInstanceIsNotPlacedElsewhere(t *testing.T) {
	w := newWorld(t)
	w.found = []api.Found{{Name: "default-old", CloudID: "i-old", Type: "small", Behavior: api.Run}}
	old := request("c-1")
	old.QueuedAt = time.Now().Add(-24 * time.Hour)
	w.signal(time.Second, api.SignalRequest, old)
	w.after(time.Minute, func() {
		assert.Equal(t, "waiting until every instance found in the cloud's list has said what runs on it", w.containers()[0].Status)
		assert.Empty(t, w.ordered())
		assert.Len(t, w.started, 1, "nothing is bought for it")
	})
	w.reportFrom(2*time.Minute, 0, 1, api.Report{State: api.StateUnknown, CloudID: "i-old", Running: []string{"c-1~2"}})
	w.after(3*time.Minute, func() { assert.Equal(t, api.ContainerRunning, w.containers()[0].State) })
	w.reportFrom(4*time.Minute, 0, 2, api.Report{State: api.StateIdle, CloudID: "i-old", Ended: []api.Ended{{Container: "c-1", Attempt: 2, How: api.Exited}}})
	w.deleted(5 * time.Minute)
	state := w.manage(nil)
	assert.EqualValues(t, 1, state.Totals.Exited)
	assert.Empty(t, w.ordered())
}

func TestACancelledFleetIsDeletedWhenItsContainersHaveEnded(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.up(2*time.Second, 0)
	w.after(3*time.Second, w.env.CancelWorkflow)
	w.signal(4*time.Second, api.SignalRequest, request("c-2"))
	w.reportFrom(time.Minute, 0, 2, api.Report{State: api.StateIdle, CloudID: "i-0", Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}}})
	w.after(2*time.Minute, func() {
		assert.Equal(t, "the fleet is being deleted", w.orders[len(w.orders)-1].Drain)
	})
	w.reportFrom(3*time.Minute, 0, 3, api.Report{State: api.StateGone, Gone: true})
	state := w.manage(nil)
	assert.EqualValues(t, 1, state.Totals.Exited)
	assert.Equal(t, "fleet default is being deleted", w.outcomes["container/c-2"][0].Refused)
}

func TestAReportThatNamesNoInstanceIsIgnored(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalReport, map[string]int{"foo": 1})
	w.after(2*time.Second, func() { assert.Empty(t, query[api.FleetState](w).Instances) })
	w.deleted(5 * time.Second)
	w.manage(nil)
}

func TestAnImageNeedsAnEngine(t *testing.T) {
	w := newWorld(t)
	r := request("c-1")
	r.Image = true
	w.signal(time.Second, api.SignalRequest, r)
	w.deleted(5 * time.Second)
	w.manage(nil)
	assert.Contains(t, w.outcomes["container/c-1"][0].Refused, "fleet default runs no images: its engine is process")
}

func TestThatItWasBrokenWhileOnHoldDrainsNobodyOnceItHasPassed(t *testing.T) {
	w := newWorld(t)
	calls := 0
	w.watch = func(context.Context, api.WatchInput) (api.WatchResult, error) {
		switch calls++; calls {
		case 1:
			return api.WatchResult{Listing: &api.Listing{Broken: true}}, nil
		case 2:
			return api.WatchResult{Listing: &api.Listing{}}, nil
		}
		return api.WatchResult{}, activity.ErrResultPending
	}
	w.signal(0, api.SignalSetIdleBehavior, "hold")
	w.signal(time.Hour, api.SignalSetIdleBehavior, "run")
	state := w.live()
	assert.Equal(t, "idle for 1m0s", state.Reason)
	assert.Equal(t, api.Run, state.IdleBehavior)
}

func TestWhatKeepsAnInstanceFromRunningAgainIsNotForgottenWithWhatHasPassed(t *testing.T) {
	w := newWorld(t)
	w.kill = func(api.KillInput) (bool, error) { return false, nil }
	calls := 0
	w.watch = func(ctx context.Context, _ api.WatchInput) (api.WatchResult, error) {
		switch calls++; calls {
		case 1:
			w.tokens["watch"] = activity.GetInfo(ctx).TaskToken
		case 2:
			return api.WatchResult{Listing: &api.Listing{}}, nil
		}
		return api.WatchResult{}, activity.ErrResultPending
	}
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.signal(2*time.Second, api.SignalSetIdleBehavior, "hold")
	w.order(3*time.Second, 2, api.Orders{Kill: []string{"c-1"}})
	w.after(time.Minute, func() {
		require.NoError(t, w.env.CompleteActivity(w.tokens["watch"], api.WatchResult{Listing: &api.Listing{Broken: true}}, nil))
	})
	w.signal(time.Hour, api.SignalSetIdleBehavior, "run")
	assert.Equal(t, "drained: container c-1 can't be killed", w.live().Reason)
}

func TestAnAdoptedContainerCostsWhatItsFleetSays(t *testing.T) {
	w := newWorld(t)
	w.lists = []string{"c-1~2"}
	w.order(10*time.Second, 1, api.Orders{Resume: []api.Assignment{{Container: "c-1", WorkflowID: "orders/7", Attempt: 2, Count: 1, Label: "sleep", Share: 0.5}}})
	now := time.Now()
	w.finish(20*time.Second, "c-1", api.RunContainerResult{How: api.Exited, WorkflowID: "orders/7", StartedAt: now, FinishedAt: now.Add(time.Hour)})
	state := w.foundInstance(api.Run)
	assert.Equal(t, 1, w.count("run c-1"), "it is adopted, and not started")
	require.Len(t, w.outcomes["orders/7"], 1)
	result := w.outcomes["orders/7"][0].Result
	assert.InDelta(t, state.Price/2, result.Cost, 1e-9, "half of the instance for an hour")
	assert.Equal(t, 2, result.Attempts)
}
