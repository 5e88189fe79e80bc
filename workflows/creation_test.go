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

// count returns how often something was done.
func (w *world) count(what string) int {
	n := 0
	for _, did := range w.did {
		if did == what {
			n++
		}
	}
	return n
}

// refusal returns the only refusal of all reports, and after how many reports it came.
func (w *world) refusal() (refusal api.CreateRefusal, before int) {
	w.t.Helper()
	found := 0
	for k, r := range w.reports {
		if r.Refusal != nil {
			refusal, before = *r.Refusal, k
			found++
		}
	}
	require.Equal(w.t, 1, found, "refusals")
	return refusal, before
}

func TestACreationThatFailsIsReportedAfterAFewTriesAndWhatThereMayBeIsDestroyed(t *testing.T) {
	w := newWorld(t)
	w.create = func(api.CreateInput) error { return temporal.NewApplicationError("create instance: InternalError", "") }
	var destroying []byte
	w.destroys = func(ctx context.Context) error {
		destroying = activity.GetInfo(ctx).TaskToken
		return activity.ErrResultPending
	}
	w.after(time.Minute, func() {
		refusal, _ := w.refusal()
		assert.Equal(t, api.CreateRefusal{Class: api.RefusedFailed, Message: "create instance: InternalError", Doubtful: true}, refusal,
			"the fleet is told before it is known that there is none")
		assert.False(t, w.reports[len(w.reports)-1].Gone)
		require.NoError(t, w.env.CompleteActivity(destroying, nil, nil))
	})
	state := w.live()
	assert.Equal(t, 3, w.count("create"), "each for the same instance")
	assert.Equal(t, "not created: create instance: InternalError", state.Reason)
	assert.Equal(t, api.RefusedFailed, state.Outcome)
	assert.Equal(t, api.BootFailure, state.BootOutcome)
	assert.Less(t, state.LeftAt.Sub(state.CreatedAt.Time), 10*time.Second, "and not at the boot timeout")
}

func TestACreationWhoseAnswersAreLostIsFoundByTheNextTry(t *testing.T) {
	w := newWorld(t)
	w.create = func(api.CreateInput) error {
		if w.count("create") < 3 {
			return temporal.NewApplicationError("the answer was lost", "")
		}
		return nil
	}
	state := w.live()
	assert.Equal(t, api.BootSuccess, state.BootOutcome)
	assert.Equal(t, api.OutcomeDestroyed, state.Outcome)
	for _, r := range w.reports {
		assert.Nil(t, r.Refusal)
	}
}

func TestAnErrorThatCanNotGetBetterIsReportedAtOnceAndNotTriedAgain(t *testing.T) {
	for _, c := range []struct {
		name      string
		err       error
		class     string
		destroyed int
	}{
		{"wrong credentials", temporal.NewNonRetryableApplicationError("AuthFailure", api.ErrorRefused, nil, api.CreateRefusal{Class: "denied", Message: "AuthFailure"}), "denied", 0},
		{"unknown image", temporal.NewNonRetryableApplicationError("NoImage", api.ErrorRefused, nil, api.CreateRefusal{Class: "invalid", Message: "NoImage"}), "invalid", 0},
		{"a worker without the key", temporal.NewNonRetryableApplicationError("no key", api.ErrorInvalid, nil), "invalid", 1},
		{"in doubt whether there is one", temporal.NewNonRetryableApplicationError("AuthFailure", api.ErrorRefused, nil, api.CreateRefusal{Class: "denied", Message: "AuthFailure", Doubtful: true}), "denied", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.create = func(api.CreateInput) error { return c.err }
			state := w.live()
			assert.Equal(t, 1, w.count("create"))
			refusal, before := w.refusal()
			assert.Equal(t, c.class, refusal.Class)
			assert.Zero(t, before, "in the first report")
			assert.Equal(t, c.class, state.Outcome)
			assert.Equal(t, c.destroyed, w.destroyed)
			assert.Less(t, state.GoneAt.Sub(state.CreatedAt.Time), 2*time.Second)
		})
	}
}

func TestARefusalAfterTriesThatFailedOnHoldStillDestroysWhatThereMayBe(t *testing.T) {
	w := newWorld(t)
	w.create = func(api.CreateInput) error {
		if w.count("create") <= 3 {
			return temporal.NewApplicationError("the answer was lost", "")
		}
		return temporal.NewNonRetryableApplicationError("AuthFailure", api.ErrorRefused, nil, api.CreateRefusal{Class: "denied", Message: "AuthFailure"})
	}
	w.signal(time.Second, api.SignalSetIdleBehavior, "hold")
	assert.Equal(t, "denied", w.live().Outcome)
	assert.Equal(t, 1, w.destroyed)
}

func TestAnInstanceOnHoldGoesOnAskingToBeCreated(t *testing.T) {
	w := newWorld(t)
	w.create = func(api.CreateInput) error {
		if w.count("create") < 8 {
			return temporal.NewApplicationError("InternalError", "")
		}
		return nil
	}
	w.signal(time.Second, api.SignalSetIdleBehavior, "hold")
	w.after(10*time.Second, func() {
		refusal, _ := w.refusal()
		assert.Equal(t, api.RefusedFailed, refusal.Class, "the fleet is told meanwhile")
		assert.Equal(t, api.StateBooting, query[api.InstanceState](w).State)
	})
	w.after(5*time.Minute, func() {
		state := query[api.InstanceState](w)
		assert.Equal(t, api.StateIdle, state.State)
		assert.Equal(t, "i-1", state.CloudID)
	})
	w.signal(10*time.Minute, api.SignalSetIdleBehavior, "run")
	state := w.live()
	assert.Equal(t, api.OutcomeDestroyed, state.Outcome)
	assert.Equal(t, api.BootSuccess, state.BootOutcome)
	assert.Equal(t, 8, w.count("create"))
}

func TestAnInstanceOnHoldThatCanNotBeCreatedWaitsForTheHoldToEnd(t *testing.T) {
	w := newWorld(t)
	w.create = func(api.CreateInput) error {
		if w.count("create") < 3 {
			return temporal.NewApplicationError("InternalError", "")
		}
		return temporal.NewNonRetryableApplicationError("no key", api.ErrorInvalid, nil)
	}
	w.signal(time.Second, api.SignalSetIdleBehavior, "hold")
	w.signal(time.Hour, api.SignalSetIdleBehavior, "run")
	state := w.live()
	assert.Equal(t, 3, w.count("create"))
	assert.InDelta(t, 3600, state.LeftAt.Sub(state.CreatedAt.Time).Seconds(), 5)
	assert.Equal(t, "invalid", state.Outcome)
	assert.Equal(t, 1, w.destroyed)
}

func TestAnInstanceIsAskedForWithTheSameTagsEveryTime(t *testing.T) {
	w := newWorld(t)
	var asked []api.Behavior
	w.create = func(in api.CreateInput) error {
		if asked = append(asked, in.Behavior); len(asked) < 7 {
			return temporal.NewApplicationError("the answer was lost", "")
		}
		return nil
	}
	w.signal(time.Second, api.SignalSetIdleBehavior, "hold")
	w.after(time.Hour, func() { assert.Equal(t, api.StateIdle, query[api.InstanceState](w).State) })
	w.signal(2*time.Hour, api.SignalDestroy, nil)
	w.live()
	assert.Equal(t, slices.Repeat([]api.Behavior{api.Run}, 7), asked, "an earlier try may have been heard")
	assert.Equal(t, []string{"hold"}, w.tags, "and what has changed since is written then")
}
