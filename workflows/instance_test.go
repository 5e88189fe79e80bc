package workflows_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"drover/internal/api"
)

func TestAnInstanceBootsRunsAContainerAndGoesWhenIdle(t *testing.T) {
	w := newWorld(t)
	w.run = exits(7)
	w.order(10*time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	state := w.live()

	assert.Equal(t, []string{"create", "boot probe 10.0.0.1:22", "copy runner", "run probe", "run c-1", "destroy"}, w.did)
	assert.Equal(t, api.BootSuccess, state.BootOutcome)
	assert.Equal(t, "idle for 1m0s", state.Reason)
	assert.Equal(t, "c-1", state.LastContainer)
	require.Len(t, w.outcomes["container/c-1"], 1)
	result := w.outcomes["container/c-1"][0].Result
	assert.Equal(t, 7, result.ExitCode)
	assert.Equal(t, "i-1", result.CloudID)
	assert.InDelta(t, state.Price/2, result.Cost, 1e-9, "half of the instance for an hour")
	assert.Equal(t, []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}}, w.ended())
	assert.InDelta(t, 70, state.GoneAt.Sub(state.CreatedAt.Time).Seconds(), 3, "10 s until busy, 1 m idle")
}

func TestTheIdleTimeoutStartsAnewAfterEachContainer(t *testing.T) {
	w := newWorld(t)
	w.run = exits(0)
	for k := range 5 {
		next := assignment("c-1")
		next.Attempt = k + 1
		w.order(time.Duration(k)*50*time.Second+time.Second, int64(k+1), api.Orders{Run: []api.Assignment{next}})
	}
	state := w.live()
	assert.InDelta(t, 4*50+1+60, state.GoneAt.Sub(state.CreatedAt.Time).Seconds(), 3)
}

func TestABootThatTakesTooLongIsAFailureThatExplainsItself(t *testing.T) {
	w := newWorld(t)
	w.bootProbe = func() error { return errNotYet }
	state := w.live()
	assert.Equal(t, api.BootFailure, state.BootOutcome)
	assert.InDelta(t, 600, state.GoneAt.Sub(state.CreatedAt.Time).Seconds(), 5)
	assert.Equal(t, "boot timeout 10m0s at boot probe of i-1 at 10.0.0.1:22: tried 7 times; last error: connection refused", state.Reason)
	assert.Equal(t, 1, w.destroyed)
}

func TestAnInstanceThatDiesWhileBootingIsNoticedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.address = func() error {
		return temporal.NewNonRetryableApplicationError("default-abc is terminated: no capacity", api.ErrorGone, nil)
	}
	state := w.live()
	assert.Equal(t, api.BootDisappeared, state.BootOutcome)
	assert.Equal(t, "disappeared: default-abc is terminated: no capacity", state.Reason)
	assert.Less(t, state.GoneAt.Sub(state.CreatedAt.Time), 2*time.Second)
}

func TestARefusedCreationEndsTheInstanceAndIsReported(t *testing.T) {
	w := newWorld(t)
	w.create = func(api.CreateInput) error {
		return temporal.NewNonRetryableApplicationError("quota: 3 instances", api.ErrorRefused, nil,
			api.CreateRefusal{Class: "quota", Message: "quota: 3 instances"})
	}
	state := w.live()
	assert.Equal(t, "not created: quota: 3 instances", state.Reason)
	assert.Zero(t, w.destroyed, "nothing exists that could be destroyed")
	assert.Equal(t, "quota", w.reports[len(w.reports)-1].Refusal.Class)
	assert.Zero(t, state.Cost)
}

func TestDrainingABootingInstanceShutsItDownAtOnce(t *testing.T) {
	w := newWorld(t)
	w.bootProbe = func() error { return errNotYet }
	w.signal(5*time.Second, api.SignalSetIdleBehavior, "drain")
	state := w.live()
	assert.Equal(t, api.BootAborted, state.BootOutcome)
	assert.Less(t, state.GoneAt.Sub(state.CreatedAt.Time), 10*time.Second)
}

func TestHoldOverridesTheIdleTimeoutUntilItIsLifted(t *testing.T) {
	w := newWorld(t)
	w.signal(5*time.Second, api.SignalSetIdleBehavior, map[string]string{"behavior": "hold", "reason": "debugging", "by": "ann"})
	w.after(time.Hour, func() {
		state := query[api.InstanceState](w)
		assert.Equal(t, api.StateIdle, state.State)
		assert.Equal(t, api.Hold, state.IdleBehavior)
		assert.Equal(t, "debugging", state.BehaviorReason)
		assert.Equal(t, "ann", state.BehaviorBy)
	})
	w.signal(2*time.Hour, api.SignalSetIdleBehavior, "run")
	state := w.live()
	assert.InDelta(t, 2*3600+60, state.GoneAt.Sub(state.CreatedAt.Time).Seconds(), 5)
	assert.Equal(t, []string{"hold", "run"}, w.tags)
}

func TestHoldOverridesTheBootTimeout(t *testing.T) {
	w := newWorld(t)
	w.bootProbe = func() error { return errNotYet }
	w.signal(time.Minute, api.SignalSetIdleBehavior, "hold")
	w.after(30*time.Minute, func() { assert.Equal(t, api.StateBooting, query[api.InstanceState](w).State) })
	w.signal(time.Hour, api.SignalDestroy, "enough")
	state := w.live()
	assert.Equal(t, "destroyed: enough", state.Reason)
	assert.Equal(t, 1, w.destroyed)
}

func TestAHeldInstanceTakesNoContainers(t *testing.T) {
	w := newWorld(t)
	w.signal(5*time.Second, api.SignalSetIdleBehavior, "hold")
	w.order(10*time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.signal(time.Minute, api.SignalDestroy, nil)
	w.live()
	assert.NotContains(t, w.did, "run c-1")
	assert.True(t, slices.ContainsFunc(w.reports, func(r api.Report) bool { return slices.Contains(r.Refused, "c-1") }))
}

func TestDrainWaitsForTheContainersAndThenGoes(t *testing.T) {
	w := newWorld(t)
	w.order(5*time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.signal(10*time.Second, api.SignalSetIdleBehavior, "drain")
	w.after(20*time.Second, func() {
		assert.Equal(t, api.StateRunning, query[api.InstanceState](w).State)
	})
	w.finish(30*time.Second, "c-1", api.RunContainerResult{How: api.Exited})
	state := w.live()
	assert.Equal(t, "drained", state.Reason)
	assert.Equal(t, []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}}, w.ended())
}

func TestGoingBackFromDrainToRunWorksWhileSomethingRuns(t *testing.T) {
	w := newWorld(t)
	w.run = func(ctx context.Context, in api.RunContainerInput) (api.RunContainerResult, error) {
		if in.Assignment.Container == "c-2" {
			return exits(0)(ctx, in)
		}
		return w.runsOn(ctx, in)
	}
	w.order(5*time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.signal(10*time.Second, api.SignalSetIdleBehavior, "drain")
	w.signal(20*time.Second, api.SignalSetIdleBehavior, "run")
	w.order(30*time.Second, 2, api.Orders{Run: []api.Assignment{assignment("c-2")}})
	w.signal(40*time.Second, api.SignalDestroy, "test over")
	w.live()
	assert.Contains(t, w.did, "run c-2")
}

func TestDestroyReportsContainersLostOnlyWhenTheInstanceIsGone(t *testing.T) {
	w := newWorld(t)
	tries := 0
	w.destroy = func() error {
		assert.Empty(t, w.ended(), "fencing: nothing is lost while the instance may exist")
		if tries++; tries < 9 {
			return temporal.NewApplicationErrorWithOptions("throttled", "again", temporal.ApplicationErrorOptions{NextRetryDelay: 10 * time.Second})
		}
		return nil
	}
	w.order(5*time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.signal(10*time.Second, api.SignalDestroy, map[string]string{"reason": "on fire", "by": "ann"})
	state := w.live()
	assert.Equal(t, "destroyed: on fire (by ann)", state.Reason)
	require.Len(t, w.ended(), 1)
	assert.Equal(t, api.Lost, w.ended()[0].How)
	assert.Equal(t, 9, tries)
}

func TestAnInstanceThatDisappearsLosesItsContainers(t *testing.T) {
	w := newWorld(t)
	w.watch = func(ctx context.Context, _ api.WatchInput) (api.WatchResult, error) {
		return api.WatchResult{Gone: "default-abc is terminated: spot"}, nil
	}
	state := w.live()
	assert.Equal(t, api.BootSuccess, state.BootOutcome)
	assert.Equal(t, "disappeared: default-abc is terminated: spot", state.Reason)
}

func TestOrdersThatComeAgainAreCarriedOutOnceAndWhatIsNewInThemToo(t *testing.T) {
	w := newWorld(t)
	w.run = exits(0)
	w.order(5*time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.order(6*time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1"), assignment("c-2")}})
	w.live()
	assert.Equal(t, []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}, {Container: "c-2", Attempt: 1, How: api.Exited}}, w.ended())
	assert.Len(t, w.outcomes["container/c-1"], 1)
}

func TestInvalidSignalsAreIgnoredAndSaid(t *testing.T) {
	w := newWorld(t)
	w.signal(5*time.Second, api.SignalSetIdleBehavior, "sleep")
	w.signal(6*time.Second, api.SignalSetIdleBehavior, 17)
	w.signal(7*time.Second, api.SignalSetIdleBehavior, []byte{1, 2})
	w.signal(8*time.Second, api.SignalDestroy, []int{1})
	w.after(9*time.Second, func() {
		state := query[api.InstanceState](w)
		assert.Equal(t, api.Run, state.IdleBehavior)
		require.Len(t, state.Notes, 4)
		assert.Contains(t, state.Notes[0], `ignored signal set-idle-behavior: idle behavior "sleep" is not allowed: run, hold or drain`)
	})
	assert.Equal(t, "idle for 1m0s", w.live().Reason)
}

func TestUpdatesRefuseNonsenseToWhoSentIt(t *testing.T) {
	w := newWorld(t)
	var refused, accepted error = nil, errUnexpected
	w.after(5*time.Second, func() {
		w.env.UpdateWorkflow(api.UpdateIdleBehavior, "1", &updates{reject: func(err error) { refused = err }}, map[string]string{"behavior": "sleep"})
		w.env.UpdateWorkflow(api.UpdateIdleBehavior, "2", &updates{reject: func(err error) { refused = err }, complete: func(err error) { accepted = err }},
			api.SetIdleBehavior{Behavior: api.Drain, Reason: "patching", By: "ann"})
	})
	state := w.live()
	require.ErrorContains(t, refused, `idle behavior "sleep" is not allowed: run, hold or drain`)
	require.NoError(t, accepted)
	assert.Equal(t, "drained: patching", state.Reason)
}

func TestACancelledWorkflowDestroysItsInstance(t *testing.T) {
	w := newWorld(t)
	w.after(10*time.Second, w.env.CancelWorkflow)
	state := w.live()
	assert.Equal(t, "destroyed: the workflow was cancelled", state.Reason)
	assert.Equal(t, 1, w.destroyed)
}

func TestAContainerThatCannotBeKilledDrainsItsInstance(t *testing.T) {
	w := newWorld(t)
	w.kill = func(api.KillInput) (bool, error) { return false, nil }
	w.order(5*time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.order(10*time.Second, 2, api.Orders{Kill: []string{"c-1"}})
	state := w.live()
	assert.Equal(t, "drained: container c-1 can't be killed", state.Reason)
	require.Len(t, w.ended(), 1)
	assert.Equal(t, api.Unkillable, w.ended()[0].How)
}

func TestUnreachableForTheProbeTimeoutShutsDownButNotOnHold(t *testing.T) {
	w := newWorld(t)
	calls := 0
	w.watch = func(ctx context.Context, in api.WatchInput) (api.WatchResult, error) {
		if calls++; calls == 1 {
			return api.WatchResult{Unreachable: "i/o timeout"}, nil
		}
		assert.True(t, in.Unreachable, "the next watch knows")
		return api.WatchResult{}, activity.ErrResultPending
	}
	w.signal(0, api.SignalSetIdleBehavior, "hold")
	w.after(time.Hour, func() { assert.Equal(t, api.StateIdle, query[api.InstanceState](w).State) })
	w.signal(2*time.Hour, api.SignalSetIdleBehavior, "run")
	state := w.live()
	assert.Equal(t, "unreachable: i/o timeout", state.Reason)
	assert.InDelta(t, 2*3600, state.GoneAt.Sub(state.CreatedAt.Time).Seconds(), 5)
}

// updates collects what becomes of an update.
type updates struct {
	reject   func(error)
	complete func(error)
}

func (u *updates) Accept() {}
func (u *updates) Reject(err error) {
	u.reject(err)
}
func (u *updates) Complete(_ any, err error) {
	if u.complete != nil {
		u.complete(err)
	}
}

// found runs an instance that was found in the cloud's list.
func (w *world) foundInstance(behavior api.Behavior) api.InstanceState {
	in := instanceInput()
	in.Found = &api.Found{Name: in.Name, CloudID: "i-9", Type: in.Type.Name, Behavior: behavior, CreatedAt: time.Now()}
	return w.liveWith(in)
}

func TestAFoundInstanceIsAdoptedWithWhatRunsOnIt(t *testing.T) {
	w := newWorld(t)
	w.lists = []string{"c-1"}
	w.after(10*time.Second, func() {
		state := query[api.InstanceState](w)
		assert.Equal(t, api.StateRunning, state.State)
		assert.Equal(t, []string{"c-1"}, state.Running)
	})
	w.finish(20*time.Second, "c-1", api.RunContainerResult{How: api.Exited, ExitCode: 3})
	state := w.foundInstance(api.Run)
	assert.NotContains(t, w.did, "create")
	assert.Equal(t, "idle for 1m0s", state.Reason)
	assert.Equal(t, 3, w.outcomes["container/c-1"][0].Result.ExitCode)
}

func TestAFoundInstanceStaysUnknownWhileItsBootProbeFailsAndContainersRun(t *testing.T) {
	w := newWorld(t)
	w.lists = []string{"c-1"}
	w.bootProbe = func() error { return errNotYet }
	w.after(time.Hour, func() {
		state := query[api.InstanceState](w)
		assert.Equal(t, api.StateUnknown, state.State, "late, but it runs something")
		assert.Equal(t, []string{"c-1"}, state.Running)
	})
	w.after(2*time.Hour-time.Second, func() { w.lists = nil })
	w.finish(2*time.Hour, "c-1", api.RunContainerResult{How: api.Exited})
	began := time.Time{}
	w.after(0, func() { began = w.env.Now() })
	state := w.foundInstance(api.Run)
	assert.Equal(t, api.BootFailure, state.BootOutcome)
	assert.InDelta(t, 2*3600+600, state.GoneAt.Sub(began).Seconds(), 5, "the boot timeout counts from when it was last seen to run something")
}

func TestAFoundInstanceKeepsTheIdleBehaviorOfItsTag(t *testing.T) {
	w := newWorld(t)
	w.after(time.Hour, func() { assert.Equal(t, api.StateIdle, query[api.InstanceState](w).State) })
	w.signal(2*time.Hour, api.SignalDestroy, nil)
	w.foundInstance(api.Hold)
	assert.Empty(t, w.tags, "the tag did not differ")
}
