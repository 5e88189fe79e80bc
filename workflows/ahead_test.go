package workflows_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

func oneInstance(spec *fleetspec.Spec) { spec.Limits.MaxInstances = 1 }

// ahead has three containers, each of which takes the whole instance. The first is short,
// so that the third is sent ahead when the second starts, at 21 s.
func ahead(t *testing.T) *world {
	w := newWorld(t)
	for k := range 3 {
		w.signal(time.Duration(1+k)*time.Millisecond, api.SignalRequest, whole(fmt.Sprint("c-", k+1)))
	}
	w.up(20*time.Second, 0)
	w.ends(21*time.Second, 0, 2, "c-1")
	return w
}

// tells has the instance report how an attempt has ended, while others run.
func (w *world) tells(d time.Duration, seq int64, e api.Ended, running ...string) {
	w.reportFrom(d, 0, seq, api.Report{State: api.StateRunning, CloudID: "i-0", Running: running, Ended: []api.Ended{e}})
}

// runOrders are the orders to run containers, in the order in which they were given, with
// what has to end before.
func (w *world) runOrders() (all []string) {
	for _, o := range w.orders {
		for _, a := range o.Run {
			all = append(all, fmt.Sprintf("%s count %d after %v", a.OnInstance(), a.Count, a.After))
		}
	}
	return all
}

func (w *world) revokes() (all []string) {
	for _, o := range w.orders {
		all = append(all, o.Revoke...)
	}
	return all
}

func (w *world) container(t *testing.T, id string) api.ContainerState {
	all := w.containers()
	at := slices.IndexFunc(all, func(c api.ContainerState) bool { return c.ID == id })
	require.GreaterOrEqual(t, at, 0, "%s is not in the fleet", id)
	return all[at]
}

func TestTheNextOneIsSentAhead(t *testing.T) {
	w := ahead(t)
	w.after(22*time.Second, func() {
		next := w.container(t, "c-3")
		assert.Equal(t, api.ContainerAssigned, next.State)
		assert.Equal(t, []string{"c-2"}, next.After)
		assert.True(t, next.StartedAt.IsZero())
		assert.Equal(t, fmt.Sprintf("next on %s: begins when c-2 ends", w.started[0].Name), next.Status)
		state := query[api.FleetState](w)
		assert.Equal(t, []int{0, 1, 1}, []int{state.Queued, state.Assigned, state.Running})
	})
	w.ends(23*time.Second, 0, 3, "c-2")
	w.after(24*time.Second, func() {
		assert.Equal(t, api.ContainerRunning, w.container(t, "c-3").State)
	})
	w.ends(60*time.Second, 0, 4, "c-3")
	w.deleted(2 * time.Minute)
	state := w.manage(oneInstance)
	assert.EqualValues(t, 3, state.Totals.Exited)
	assert.Equal(t, []string{"c-1 count 1 after []", "c-2 count 1 after []", "c-3 count 1 after [c-2]"}, w.runOrders())
	assert.Empty(t, w.revokes())
}

func TestWhatWasSentAheadIsCalledBackAndKeepsItsAttempts(t *testing.T) {
	w := ahead(t)
	w.after(25*time.Second, func() { assert.Empty(t, w.revokes()) })
	w.after(27*time.Second, func() { assert.Equal(t, []string{"c-3"}, w.revokes(), "once") })
	w.tells(28*time.Second, 3, api.Ended{Container: "c-3", Attempt: 1, How: api.Revoked}, "c-2")
	w.after(29*time.Second, func() {
		c := w.container(t, "c-3")
		assert.Equal(t, api.ContainerQueued, c.State)
		assert.Empty(t, c.After)
		assert.Equal(t, "queue position 1: fleet is at its limit of 1 instance (max_instances)", c.Status)
	})
	w.ends(40*time.Second, 0, 4, "c-2")
	w.ends(time.Minute, 0, 5, "c-3")
	w.tells(61*time.Second, 6, api.Ended{Container: "c-3", Attempt: 2, How: api.Exited})
	w.deleted(2 * time.Minute)
	state := w.manage(oneInstance)
	assert.Equal(t, []string{"c-1 count 1 after []", "c-2 count 1 after []", "c-3 count 1 after [c-2]", "c-3~2 count 1 after []"}, w.runOrders())
	assert.EqualValues(t, 3, state.Totals.Exited)
	assert.Zero(t, state.Totals.Retried)
}

func TestWhatWasSentAheadIsCancelled(t *testing.T) {
	w := ahead(t)
	w.signal(22*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-3"})
	w.after(23*time.Second, func() {
		assert.Equal(t, []string{"c-3"}, w.orders[len(w.orders)-1].Kill)
		assert.Equal(t, "being killed on "+w.started[0].Name, w.container(t, "c-3").Status)
	})
	w.tells(24*time.Second, 3, api.Ended{Container: "c-3", Attempt: 1, How: api.Revoked}, "c-2")
	w.ends(40*time.Second, 0, 4, "c-2")
	w.deleted(time.Minute)
	state := w.manage(oneInstance)
	assert.EqualValues(t, 1, state.Totals.Cancelled)
	assert.Equal(t, []api.Outcome{{Cancelled: true}}, w.outcomes["container/c-3"])
}

// When the one before it has not exited by itself, the instance may not have begun it, and
// may have: it is revoked, and takes its room until that is known.
func TestWhatWasSentAheadIsCalledBackWhenItIsNotKnownWhetherItsPlaceIsFree(t *testing.T) {
	for how, begun := range map[string]bool{"it has not begun": false, "it has begun": true} {
		t.Run(how, func(t *testing.T) {
			w := ahead(t)
			w.tells(22*time.Second, 3, api.Ended{Container: "c-2", Attempt: 1, How: api.StartFailed, Detail: "no such image"}, "c-3")
			w.after(23*time.Second, func() {
				assert.Equal(t, []string{"c-3"}, w.revokes())
				assert.Equal(t, api.ContainerRunning, w.container(t, "c-3").State)
				assert.Equal(t, api.ContainerQueued, w.container(t, "c-2").State)
			})
			if begun {
				w.ends(30*time.Second, 0, 4, "c-3")
				w.tells(40*time.Second, 5, api.Ended{Container: "c-2", Attempt: 2, How: api.Exited})
			} else {
				w.tells(24*time.Second, 4, api.Ended{Container: "c-3", Attempt: 1, How: api.Revoked})
				w.tells(40*time.Second, 5, api.Ended{Container: "c-2", Attempt: 2, How: api.Exited})
				w.tells(50*time.Second, 6, api.Ended{Container: "c-3", Attempt: 2, How: api.Exited})
			}
			w.deleted(2 * time.Minute)
			state := w.manage(oneInstance)
			assert.EqualValues(t, 3, state.Totals.Exited)
			assert.EqualValues(t, 1, state.Totals.Retried)
		})
	}
}

// The order to end a container that was sent ahead may find it has ended already, and the
// instance may tell of that before it tells of the one before it.
func TestWhatWasSentAheadMayBeToldOfFirst(t *testing.T) {
	w := ahead(t)
	w.tells(22*time.Second, 3, api.Ended{Container: "c-3", Attempt: 1, How: api.Exited}, "c-2")
	w.signal(23*time.Second, api.SignalRequest, whole("c-4"))
	w.after(24*time.Second, func() { assert.Equal(t, api.ContainerQueued, w.container(t, "c-4").State) })
	w.ends(25*time.Second, 0, 4, "c-2")
	w.after(26*time.Second, func() { assert.Equal(t, api.ContainerRunning, w.container(t, "c-4").State) })
	w.ends(27*time.Second, 0, 5, "c-4")
	w.deleted(time.Minute)
	assert.EqualValues(t, 4, w.manage(oneInstance).Totals.Exited)
}

// Another runner than our own can't begin a container by itself.
func TestNothingIsSentAheadToAnotherRunner(t *testing.T) {
	w := ahead(t)
	w.ends(23*time.Second, 0, 3, "c-2")
	w.ends(25*time.Second, 0, 4, "c-3")
	w.deleted(time.Minute)
	w.manage(func(spec *fleetspec.Spec) {
		oneInstance(spec)
		spec.Runner.Source = "/usr/local/bin/runner"
	})
	assert.Equal(t, []string{"c-1 count 1 after []", "c-2 count 1 after []", "c-3 count 1 after []"}, w.runOrders())
}
