package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"

	"drover/internal/api"
	"drover/workflows"
)

// after returns an attempt that begins when another one ends.
func after(id, other string) api.Assignment {
	a := assignment(id)
	a.After = []string{other}
	return a
}

func TestAnInstanceRevokesWhatWasSentAhead(t *testing.T) {
	w := newWorld(t)
	w.order(5*time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1"), after("c-2", "c-1")}})
	w.order(10*time.Second, 2, api.Orders{Revoke: []string{"c-2", "c-3"}})
	w.order(11*time.Second, 3, api.Orders{Revoke: []string{"c-2"}})
	w.finish(12*time.Second, "c-2", api.RunContainerResult{How: api.Revoked})
	w.finish(20*time.Second, "c-1", api.RunContainerResult{How: api.Exited})
	w.live()
	assert.Contains(t, w.ended(), api.Ended{Container: "c-2", Attempt: 1, How: api.Revoked})
	require.Len(t, w.revoked, 1, "once, and only what is there")
	assert.Equal(t, "c-2", w.revoked[0].Assignment.Container)
	assert.Empty(t, w.outcomes["container/c-2"])
}

func TestARevocationOutlivesTheRunOfItsInstance(t *testing.T) {
	w := newWorld(t)
	w.revoke = func() error { return activity.ErrResultPending }
	w.order(5*time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1"), after("c-2", "c-1")}})
	w.order(10*time.Second, 2, api.Orders{Revoke: []string{"c-2"}})
	w.after(20*time.Second, func() {
		w.env.SetContinueAsNewSuggested(true)
		w.env.SignalWorkflow(api.SignalOrders, api.Orders{Seq: 3, Greet: true})
	})
	w.env.ExecuteWorkflow(workflows.Instance, instanceInput())
	in := next[api.InstanceInput](w)
	require.Len(t, w.revoked, 1)

	w = newWorld(t)
	w.finish(10*time.Second, "c-2", api.RunContainerResult{How: api.Revoked})
	w.finish(20*time.Second, "c-1", api.RunContainerResult{How: api.Exited})
	w.liveWith(in)
	require.Len(t, w.revoked, 1)
	assert.Equal(t, "c-2", w.revoked[0].Assignment.Container)
}

func TestAFoundInstanceRevokesOnceItCanBeReached(t *testing.T) {
	w := newWorld(t)
	w.order(time.Millisecond, 1, api.Orders{Resume: []api.Assignment{assignment("c-1"), after("c-2", "c-1")}, Revoke: []string{"c-2"}})
	w.signal(time.Minute, api.SignalDestroy, nil)
	w.foundInstance(api.Run)
	require.Len(t, w.revoked, 1)
	assert.Equal(t, "/runner", w.revoked[0].Machine.Runner)
}

// What was to begin after a container that has never been started would wait for ever.
func TestWhatWasToFollowOneThatNeverBeganIsRevoked(t *testing.T) {
	for _, how := range []api.EndKind{api.Unwanted, api.StartFailed, api.Lost, api.Revoked} {
		w := newWorld(t)
		w.order(5*time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1"), after("c-2", "c-1"), after("c-3", "c-0")}})
		w.finish(10*time.Second, "c-1", api.RunContainerResult{How: how})
		w.finish(20*time.Second, "c-2", api.RunContainerResult{How: api.Revoked})
		w.finish(20*time.Second, "c-3", api.RunContainerResult{How: api.Exited})
		w.live()
		require.Len(t, w.revoked, 1, how)
		assert.Equal(t, "c-2", w.revoked[0].Assignment.Container)
	}
}

func TestWhatWasToFollowOneThatIsRefusedIsRevoked(t *testing.T) {
	w := newWorld(t)
	second := assignment("c-1")
	second.Attempt = 2
	w.order(5*time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.order(6*time.Second, 2, api.Orders{Run: []api.Assignment{second, after("c-2", "c-1~2")}})
	w.finish(10*time.Second, "c-2", api.RunContainerResult{How: api.Revoked})
	w.finish(20*time.Second, "c-1", api.RunContainerResult{How: api.Exited})
	w.live()
	require.Len(t, w.revoked, 1)
	assert.Equal(t, "c-2", w.revoked[0].Assignment.Container)
}

func TestAnAdoptedInstanceIsToldAgainWhatToRevoke(t *testing.T) {
	w := ahead(t)
	w.after(28*time.Second, func() {
		require.Equal(t, []string{"c-3"}, w.revokes())
		found := api.SyncResult{Found: []api.Found{{Name: w.started[0].Name, CloudID: "i-0", Type: "small", Behavior: api.Run}}}
		require.NoError(t, w.env.CompleteActivity(w.tokens["sync"], found, nil))
	})
	w.after(29*time.Second, func() {
		assert.Equal(t, []string{"c-3", "c-3"}, w.revokes())
	})
	w.reportFrom(30*time.Second, 0, 400, api.Report{State: api.StateRunning, CloudID: "i-0", Listed: true, Running: []string{"c-2", "c-3"}})
	w.ends(40*time.Second, 0, 401, "c-2")
	w.ends(50*time.Second, 0, 402, "c-3")
	w.deleted(time.Minute)
	w.manage(oneInstance)
}
