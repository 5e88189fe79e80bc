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
	"drover/internal/fleetspec"
	"drover/workflows"
)

// instanceContinues has an instance continue as new, and returns the input of the next run
// and a world for it in which time goes on.
func (w *world) instanceContinues(d time.Duration, in api.InstanceInput) (api.InstanceInput, *world) {
	w.after(d, func() {
		w.env.SetContinueAsNewSuggested(true)
		w.env.SignalWorkflow(api.SignalOrders, api.Orders{Seq: 99, Greet: true})
	})
	w.env.ExecuteWorkflow(workflows.Instance, in)
	next := next[api.InstanceInput](w)
	assert.Zero(w.t, w.destroyed)
	w2 := newWorld(w.t)
	w2.env.SetStartTime(w.env.Now())
	return next, w2
}

func TestTheTimeToEndAContainerGoesOnInTheNextRun(t *testing.T) {
	for name, c := range map[string]struct {
		kill func(w *world)
		left time.Duration
	}{
		"the term timeout": {
			kill: func(w *world) { w.order(2*time.Second, 2, api.Orders{Kill: []string{"c-1"}}) },
			left: 22 * time.Second,
		},
		"a notice": {
			kill: func(w *world) {
				w.sees(2*time.Second, func() api.WatchResult { return api.WatchResult{Notice: w.env.Now().Add(110 * time.Second)} })
			},
			left: 12 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.kill = func(api.KillInput) (bool, error) { return false, activity.ErrResultPending }
			w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
			c.kill(w)
			in, w2 := w.instanceContinues(100*time.Second, instanceInput())
			var left time.Duration
			w2.kill = func(in api.KillInput) (bool, error) { left = in.Timeout.D(); return false, nil }
			w2.liveWith(in)
			assert.InDelta(t, c.left.Seconds(), left.Seconds(), 1)
			assert.Equal(t, api.Unkillable, w2.ended()[0].How, "it is given up when its time is over")
		})
	}
}

func TestWhatAWatchHasSeenSinceItsLastNewsIsKnownToTheNextRun(t *testing.T) {
	w := newWorld(t)
	var calls int
	w.watch = func(context.Context, api.WatchInput) (api.WatchResult, error) {
		if calls++; calls == 1 {
			return api.WatchResult{LastProbe: w.env.Now(), Listing: &api.Listing{Containers: []string{"c-1"}, Stale: []string{"c-1"}, Broken: true}}, nil
		}
		return api.WatchResult{}, activity.ErrResultPending
	}
	var seen api.Watched
	w.lastSeen = func() (api.Watched, error) {
		probed := w.env.Now().Add(-5 * time.Second)
		seen = api.Watched{LastProbe: probed, Listed: []string{"c-1", "c-2"}, StaleSince: map[string]time.Time{"c-1": probed}}
		return seen, nil
	}
	in, w2 := w.instanceContinues(time.Hour, instanceInput())

	var got api.WatchInput
	w2.watch = func(_ context.Context, in api.WatchInput) (api.WatchResult, error) {
		got = in
		return api.WatchResult{}, activity.ErrResultPending
	}
	w2.signal(time.Minute, api.SignalDestroy, nil)
	w2.liveWith(in)
	assert.WithinDuration(t, seen.LastProbe, got.LastProbe, 0, "or three failed probes are enough to destroy it")
	assert.Equal(t, seen.Listed, got.Listed)
	assert.WithinDuration(t, seen.LastProbe, got.StaleSince["c-1"], 0)
	assert.Equal(t, []string{"c-1"}, got.Stale)
}

func TestSinceWhenAContainerIsStaleIsKnownAfterOtherNews(t *testing.T) {
	w := newWorld(t)
	var got []api.WatchInput
	w.watch = func(_ context.Context, in api.WatchInput) (api.WatchResult, error) {
		if got = append(got, in); len(got) == 1 {
			now := w.env.Now()
			listing := api.Listing{Containers: []string{"c-1"}, Stale: []string{"c-1"}} // it is adopted
			return api.WatchResult{LastProbe: now.Add(time.Second), StaleSince: map[string]time.Time{"c-1": now}, Listing: &listing}, nil
		}
		return api.WatchResult{}, activity.ErrResultPending
	}
	w.signal(time.Minute, api.SignalDestroy, nil)
	w.live()
	require.Len(t, got, 2)
	assert.Contains(t, got[1].StaleSince, "c-1")
}

func TestAnInstanceContinuesAlsoWhenWhatItsWatchHasSeenCanNotBeHad(t *testing.T) {
	w := newWorld(t)
	w.lastSeen = func() (api.Watched, error) {
		return api.Watched{}, temporal.NewNonRetryableApplicationError("not authorized", "denied", nil)
	}
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	in, _ := w.instanceContinues(time.Hour, instanceInput())
	assert.Contains(t, in.Carried.State.Notes[0], "not authorized")
	assert.False(t, in.Carried.Watched.LastProbe.IsZero(), "it is known when it came up")
}

func TestWhatOneProbeDidNotListIsStillMissedAfterOtherNews(t *testing.T) {
	w := newWorld(t)
	var watched []api.WatchInput
	w.watch = func(_ context.Context, in api.WatchInput) (api.WatchResult, error) {
		switch watched = append(watched, in); len(watched) {
		case 1:
			return api.WatchResult{Listing: &api.Listing{Containers: []string{"c-1", "c-2"}}}, nil
		case 2:
			return api.WatchResult{Listing: &api.Listing{Containers: []string{"c-2", "c-3"}}}, nil
		case 3:
			return api.WatchResult{Listing: &api.Listing{Containers: []string{"c-2", "c-3"}}, Unlisted: []string{"c-1"}}, nil
		}
		return api.WatchResult{}, activity.ErrResultPending
	}
	w.signal(time.Minute, api.SignalDestroy, nil)
	w.live()
	require.Len(t, watched, 4)
	assert.Equal(t, []string{"c-2", "c-3", "c-1"}, watched[2].Listed)
	assert.Equal(t, []string{"c-2", "c-3"}, watched[3].Listed, "its result is fetched")
}

func TestAContainerThatIsNoLongerListedIsNotStartedByTheNextRun(t *testing.T) {
	w := newWorld(t)
	w.sees(10*time.Second, func() api.WatchResult { return api.WatchResult{Listing: &api.Listing{}, Unlisted: []string{"c-1"}} })
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	in, w2 := w.instanceContinues(20*time.Second, instanceInput())
	var got api.RunContainerInput
	w2.run = func(_ context.Context, in api.RunContainerInput) (api.RunContainerResult, error) {
		got = in
		return api.RunContainerResult{How: api.Lost}, nil
	}
	w2.liveWith(in)
	assert.True(t, got.Unlisted)
}

func TestAnInstanceDrainsOnceForItsAge(t *testing.T) {
	in := instanceInput()
	in.Spec.Timeouts.MaxAge = fleetspec.Duration(2 * time.Hour)
	w := newWorld(t)
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.after(2*time.Hour+time.Second, func() { assert.Equal(t, api.Drain, query[api.InstanceState](w).IdleBehavior) })
	w.signal(2*time.Hour+time.Minute, api.SignalSetIdleBehavior, "run")
	in, w2 := w.instanceContinues(3*time.Hour, in)
	w2.after(time.Minute, func() {
		assert.Equal(t, api.Run, query[api.InstanceState](w2).IdleBehavior, "its operator has taken the drain back")
	})
	w2.finish(time.Hour, "c-1", api.RunContainerResult{How: api.Exited})
	assert.Equal(t, "idle for 1m0s", w2.liveWith(in).Reason)
}

func TestABootGoesOnInTheNextRun(t *testing.T) {
	w := newWorld(t)
	w.bootProbe = func() error { return errNotYet }
	w.lastSeen = func() (api.Watched, error) {
		t.Error("nothing watches it")
		return api.Watched{}, nil
	}
	w.signal(time.Minute, api.SignalSetIdleBehavior, "hold")
	in, w2 := w.instanceContinues(5*time.Minute, instanceInput())

	w2.bootProbe = func() error { return errNotYet }
	w2.signal(time.Minute, api.SignalSetIdleBehavior, "run")
	state := w2.liveWith(in)
	assert.Equal(t, []string{"boot probe 10.0.0.1:22", "boot probe 10.0.0.1:22", "destroy"}, w2.did, "it is not created again")
	assert.InDelta(t, 600, state.GoneAt.Sub(state.CreatedAt.Time).Seconds(), 5, "the boot timeout goes on")
	assert.Contains(t, state.Reason, "connection refused")
}

func TestWhyAHeldInstanceDidNotBootIsKnownToTheNextRun(t *testing.T) {
	w := newWorld(t)
	w.bootProbe = func() error { return errNotYet }
	w.explainsUntil(10*time.Minute + 20*time.Second)
	w.signal(10*time.Minute+10*time.Second, api.SignalSetIdleBehavior, "hold")
	in, w2 := w.instanceContinues(10*time.Minute+15*time.Second, instanceInput())

	w2.bootProbe = func() error { return errNotYet }
	w2.signal(time.Minute, api.SignalSetIdleBehavior, "run")
	state := w2.liveWith(in)
	assert.InDelta(t, 11*60+20, state.LeftAt.Sub(state.CreatedAt.Time).Seconds(), 1, "it has had its time")
	assert.Equal(t, "boot timeout 10m0s at boot probe of i-1 at 10.0.0.1:22: no route to host; at last: connection refused", state.Reason)
}

func TestWhenAnInstanceFirstAnsweredIsKnownToTheNextRun(t *testing.T) {
	w := newWorld(t)
	w.copies = func(context.Context) error { return errNotYet }
	in, w2 := w.instanceContinues(5*time.Minute, instanceInput())
	state := w2.liveWith(in)
	assert.Equal(t, api.BootSuccess, state.BootOutcome)
	assert.Equal(t, in.Carried.State.SSHAt, state.SSHAt)
	assert.Less(t, state.SSHAt.Sub(state.CreatedAt.Time), time.Minute)
}

func TestAnInstanceThatIsBeingCreatedDoesNotContinueAsNew(t *testing.T) {
	w := newWorld(t)
	var token []byte
	w.creates = func(ctx context.Context) error {
		token = activity.GetInfo(ctx).TaskToken
		return activity.ErrResultPending
	}
	w.after(time.Minute, func() {
		assert.Equal(t, api.StateBooting, query[api.InstanceState](w).State)
		machine := api.Machine{CloudID: "i-1", Address: "10.0.0.1:22"}
		require.NoError(t, w.env.CompleteActivity(token, machine, nil))
	})
	in, w2 := w.instanceContinues(time.Second, instanceInput())
	assert.Equal(t, "i-1", in.Carried.Machine.CloudID, "an answer that is still out would be an instance that nobody knows")
	assert.Equal(t, "idle for 1m0s", w2.liveWith(in).Reason)
}

func TestAnInstanceThatWasFoundStaysUnknownInTheNextRun(t *testing.T) {
	w := newWorld(t)
	w.bootProbe = func() error { return errNotYet }
	w.lists = []string{"c-1"}
	in := instanceInput()
	in.Found = &api.Found{Name: in.Name, CloudID: "i-9", Type: in.Type.Name, Behavior: api.Run, CreatedAt: time.Now()}
	in, w2 := w.instanceContinues(time.Hour, in)

	w2.bootProbe = func() error { return errNotYet }
	w2.order(time.Second, 2, api.Orders{Resume: []api.Assignment{assignment("c-1")}}) // it is known
	w2.after(time.Minute, func() {
		state := query[api.InstanceState](w2)
		assert.Equal(t, api.StateUnknown, state.State)
		assert.Equal(t, []string{"c-1"}, state.Running)
		assert.NotContains(t, w2.did, "run probe", "what is on it is known")
	})
	w2.sees(2*time.Minute, func() api.WatchResult {
		return api.WatchResult{Listing: &api.Listing{Containers: []string{"c-1", "c-2"}}}
	})
	w2.after(3*time.Minute, func() { assert.Equal(t, []string{"c-1", "c-2"}, query[api.InstanceState](w2).Running, "it is watched") })
	w2.finish(4*time.Minute, "c-1", api.RunContainerResult{How: api.Exited})
	w2.finish(4*time.Minute, "c-2", api.RunContainerResult{How: api.Exited})
	began := w2.env.Now()
	state := w2.liveWith(in)
	assert.Len(t, w2.ended(), 2)
	assert.InDelta(t, 240+600, state.GoneAt.Sub(began).Seconds(), 5, "the boot timeout counts from the end of what ran last")
}

func TestAnInstanceThatCanNotBeDestroyedGoesOnTryingInTheNextRun(t *testing.T) {
	w := newWorld(t)
	w.destroys = func(context.Context) error { return errNotYet }
	w.tagFails = true
	w.signal(5*time.Second, api.SignalSetIdleBehavior, "drain")
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.signal(10*time.Second, api.SignalDestroy, map[string]string{"reason": "on fire", "by": "ann"})
	in, w2 := w.instanceContinues(time.Hour, instanceInput())
	assert.Empty(t, w.ended(), "what is on it is not lost yet")

	var token []byte
	w2.destroys = func(ctx context.Context) error {
		token = activity.GetInfo(ctx).TaskToken
		return activity.ErrResultPending
	}
	w2.run = func(_ context.Context, in api.RunContainerInput) (api.RunContainerResult, error) {
		assert.True(t, in.Unlisted, "what was on it is not started, either")
		return api.RunContainerResult{}, activity.ErrResultPending
	}
	w2.order(time.Second, 2, api.Orders{Run: []api.Assignment{assignment("c-2")}})
	w2.after(time.Minute, func() { require.NoError(t, w2.env.CompleteActivity(token, nil, nil)) })
	state := w2.liveWith(in)
	assert.Equal(t, "destroyed: on fire (by ann)", state.Reason)
	assert.Equal(t, in.Carried.State.LeftAt, state.LeftAt, "its destruction began then")
	assert.Equal(t, api.OutcomeDestroyed, state.Outcome)
	assert.NotContains(t, w2.did, "run c-2", "nothing is started on it")
	assert.Empty(t, w2.tags)
	require.Len(t, w2.ended(), 1)
	assert.Equal(t, api.Lost, w2.ended()[0].How)
}

func TestAnOrderToDestroyThatComesWithTheLastSignalOfARunIsCarriedOut(t *testing.T) {
	w := newWorld(t)
	w.destroys = func(context.Context) error { return errNotYet }
	w.after(20*time.Second, func() {
		w.env.SetContinueAsNewSuggested(true)
		w.env.SignalWorkflow(api.SignalOrders, api.Orders{Seq: 1})
		w.env.SignalWorkflow(api.SignalDestroy, "enough")
	})
	w.env.ExecuteWorkflow(workflows.Instance, instanceInput())
	in := next[api.InstanceInput](w)
	assert.Equal(t, api.StateShutdown, in.Carried.State.State)
	assert.Equal(t, "destroyed: enough", newWorld(t).liveWith(in).Reason)
}
