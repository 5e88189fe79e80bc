package workflows_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"drover/internal/api"
)

// destroyedAt has the cloud confirm so late that the instance is gone.
func (w *world) destroyedAt(d time.Duration) {
	var token []byte
	w.destroys = func(ctx context.Context) error {
		token = activity.GetInfo(ctx).TaskToken
		return activity.ErrResultPending
	}
	w.after(d, func() { require.NoError(w.t, w.env.CompleteActivity(token, nil, nil)) })
}

func TestWhatAnInstanceEndsByItsOwnEndIsLostAndNoResult(t *testing.T) {
	const leaves = 10 * time.Second
	for name, c := range map[string]struct {
		code     int
		finished time.Duration
		how      api.EndKind
	}{
		"ended by the end of its machine":       {143, leaves + time.Second, api.Lost},
		"the same, by a clock that is slow":     {143, leaves - 500*time.Millisecond, api.Lost},
		"done in time":                          {0, leaves + time.Second, api.Exited},
		"failed by itself, and known only then": {3, leaves - 5*time.Second, api.Exited},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
			w.signal(leaves, api.SignalDestroy, "on fire")
			var began time.Time
			w.after(0, func() { began = w.env.Now() })
			w.after(leaves+2*time.Second, func() {
				r := api.RunContainerResult{How: api.Exited, ExitCode: c.code, StartedAt: began.Add(2 * time.Second), FinishedAt: began.Add(c.finished)}
				require.NoError(t, w.env.CompleteActivity(w.tokens["c-1"], r, nil))
			})
			w.after(leaves+20*time.Second, func() {
				assert.Len(t, w.ended(), 1, "it runs nowhere, although the instance may still exist: it may for ever")
			})
			w.destroyedAt(leaves + 30*time.Second)
			w.live()
			require.Len(t, w.ended(), 1)
			assert.Equal(t, c.how, w.ended()[0].How)
			if c.how == api.Exited {
				require.Len(t, w.outcomes["container/c-1"], 1)
				assert.Equal(t, c.code, w.outcomes["container/c-1"][0].Result.ExitCode)
				return
			}
			assert.Equal(t, "its instance is being destroyed; exit code 143", w.ended()[0].Detail)
			assert.Empty(t, w.outcomes["container/c-1"])
		})
	}
}

func TestAnOrderToDestroyWhatLeavesAlreadyDoesNotChangeWhyItLeaves(t *testing.T) {
	w := newWorld(t)
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.sees(10*time.Second, func() api.WatchResult { return api.WatchResult{Unreachable: "i/o timeout"} })
	accepted := errUnexpected
	w.after(20*time.Second, func() {
		w.env.UpdateWorkflow(api.UpdateDestroy, "tidy", &updates{
			reject: func(err error) { t.Errorf("refused: %v", err) }, complete: func(err error) { accepted = err },
		}, api.Destroy{Reason: "tidy", By: "ann"})
		w.env.SignalWorkflow(api.SignalDestroy, "tidy")
		w.env.CancelWorkflow()
	})
	w.destroyedAt(30 * time.Second)
	state := w.live()
	require.NoError(t, accepted, "it is what is being done")
	assert.Equal(t, "unreachable: i/o timeout", state.Reason)
	assert.Equal(t, "instance i-1: unreachable: i/o timeout", w.ended()[0].Detail)
}

func TestWhatIsToBeDestroyedOnceItsCreationIsOverCanNotBeHeld(t *testing.T) {
	w := newWorld(t)
	w.create = func(api.CreateInput) error { return errNotYet }
	var refused error
	w.after(time.Second, func() {
		w.env.SignalWorkflow(api.SignalDestroy, "on fire")
		w.env.UpdateWorkflow(api.UpdateIdleBehavior, "1", &updates{
			reject: func(err error) { refused = err }, complete: func(error) { t.Error("it is accepted") },
		}, api.SetIdleBehavior{Behavior: api.Hold})
		w.env.SignalWorkflow(api.SignalSetIdleBehavior, "hold")
	})
	state := w.live()
	const says = "its idle behavior can no longer change: it is about to leave (destroyed: on fire)"
	require.EqualError(t, refused, says)
	assert.Contains(t, state.Notes[0], "ignored signal set-idle-behavior: "+says)
	assert.Equal(t, api.Run, state.IdleBehavior)
	assert.Equal(t, "destroyed: on fire", state.Reason)
}

func TestOnlyBootsOfWhatTheCloudHasCreatedAreCounted(t *testing.T) {
	for name, refuse := range map[string]error{
		"refused": temporal.NewNonRetryableApplicationError("quota", api.ErrorRefused, nil, api.CreateRefusal{Class: "quota", Message: "quota"}),
		"failed":  temporal.NewNonRetryableApplicationError("no key", api.ErrorInvalid, nil),
	} {
		w := newWorld(t)
		w.create = func(api.CreateInput) error { return refuse }
		assert.Equal(t, api.BootFailure, w.live().BootOutcome, "each has one outcome")
		assert.Empty(t, w.counts, name)
		assert.Equal(t, name == "refused", strings.Contains(w.details(), "an hour; costs nothing"), w.details())
	}
	w := newWorld(t)
	w.bootProbe = func() error { return errNotYet }
	w.live()
	assert.Equal(t, map[string]int{"drover_boots failure": 1, "drover_boot_duration": 1, "drover_destroy_duration": 1}, w.counts)
	w = newWorld(t)
	w.foundInstance(api.Run)
	assert.Empty(t, w.counts, "the workflow that created it has")
}

func TestABootThatAPersonEndsIsAbortedHoweverLateItIs(t *testing.T) {
	w := newWorld(t)
	w.bootProbe = func() error { return errNotYet }
	w.signal(time.Minute, api.SignalSetIdleBehavior, "hold")
	w.signal(time.Hour, api.SignalDestroy, "seen enough")
	state := w.live()
	assert.Equal(t, "destroyed: seen enough", state.Reason)
	assert.Equal(t, api.BootAborted, state.BootOutcome)
}
