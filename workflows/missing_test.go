package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
)

// unanswered has the orders to start a container reach no workflow.
func unanswered(t *testing.T, doubtful bool) *world {
	w := newWorld(t)
	w.doubtful = doubtful
	lost := true
	w.missing = func(m api.Message) bool { return m.Signal == api.SignalOrders && lost }
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.up(2*time.Second, 0)
	w.after(3*time.Second, func() { lost = false })
	return w
}

// isPlaced asserts where the container is, and how many instances have been started.
func (w *world) isPlaced(d time.Duration, state string, started int) {
	w.after(d, func() {
		all := w.containers()
		require.Len(w.t, all, 1)
		assert.Equal(w.t, state, all[0].State, "%s: %s", d, all[0].Status)
		assert.Len(w.t, w.started, started, "%s", d)
	})
}

func TestOrdersToAnInstanceThatIsGoneAreTakenBack(t *testing.T) {
	w := unanswered(t, false)
	w.isPlaced(3*time.Second, api.ContainerAssigned, 2)
	w.up(10*time.Second, 1)
	w.reportFrom(15*time.Second, 1, 2, api.Report{State: api.StateIdle, CloudID: "i-1", Ended: []api.Ended{{Container: "c-1", Attempt: 2, How: api.Exited}}})
	w.deleted(time.Minute)
	w.manage(nil)
	assert.Equal(t, []string{"c-1#2"}, w.ordered())
	assert.Equal(t, 1, w.orders[0].Run[0].Count, "no attempt was used up")
}

// The workflow was terminated, and may have carried out what could not be delivered again.
func TestOrdersThatMayHaveBeenCarriedOutStayWhereTheyAre(t *testing.T) {
	for name, c := range map[string]struct {
		cancelled bool
		sync      func(name string) api.SyncResult
		report    api.Report // of the instance, if it is found
		outcome   func(t *testing.T, w *world)
	}{
		"it is found, and the container has ended": {
			sync: foundAgain, report: api.Report{State: api.StateIdle, Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}}},
			outcome: func(t *testing.T, w *world) {
				require.Len(t, w.orders, 1)
				require.Len(t, w.orders[0].Resume, 1)
				assert.Equal(t, 1, w.orders[0].Resume[0].Attempt, "the attempt that may run there")
				assert.Empty(t, w.orders[0].Kill)
				assert.Empty(t, w.ordered(), "it is started nowhere else")
			},
		},
		"it is found, and the container has been cancelled": {
			cancelled: true,
			sync:      foundAgain, report: api.Report{State: api.StateIdle, Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}}},
			outcome: func(t *testing.T, w *world) {
				assert.Equal(t, []string{"c-1"}, w.orders[len(w.orders)-1].Kill)
				assert.Empty(t, w.outcomes["container/c-1"], "its instance tells its end")
			},
		},
		"it is found, and goes": {
			sync: foundAgain, report: api.Report{State: api.StateGone, Gone: true, Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Lost}}},
			outcome: func(t *testing.T, w *world) { assert.Equal(t, []string{"c-1#2"}, w.ordered()) },
		},
		"it has vanished": {
			sync:    func(name string) api.SyncResult { return api.SyncResult{Vanished: []string{name}} },
			outcome: func(t *testing.T, w *world) { assert.Equal(t, []string{"c-1#2"}, w.ordered()) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := unanswered(t, true)
			w.isPlaced(3*time.Second, api.ContainerRunning, 1)
			if c.cancelled {
				w.signal(4*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-1"})
			}
			w.isPlaced(time.Hour, api.ContainerRunning, 1)
			w.after(time.Hour+time.Second, func() {
				require.NoError(t, w.env.CompleteActivity(w.tokens["sync"], c.sync(w.started[0].Name), nil))
			})
			if c.report.State != "" {
				c.report.CloudID, c.report.Listed = "i-0", true
				w.reportFrom(time.Hour+2*time.Second, 0, 100, c.report)
			}
			w.after(time.Hour+3*time.Second, func() {
				if last := len(w.started) - 1; w.started[last].Found == nil {
					w.up(time.Second, last)
				}
			})
			w.after(time.Hour+5*time.Second, func() {
				c.outcome(t, w)
				w.env.SignalWorkflow(api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-1"})
			})
			w.deleted(2 * time.Hour)
			w.manage(nil)
		})
	}
}

// foundAgain is what a sync says of an instance that is there, but for its workflow.
func foundAgain(name string) api.SyncResult {
	return api.SyncResult{Found: []api.Found{{Name: name, CloudID: "i-0", Type: "small", Behavior: api.Run}}}
}

// firstName returns the name of the first instance of a fleet.
func firstName(t *testing.T) string {
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.signal(2*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-1"})
	w.deleted(10 * time.Second)
	w.manage(nil)
	require.Len(t, w.started, 1)
	return w.started[0].Name
}

// A workflow task has started an instance, and has failed. Its next try starts none.
func TestTheNameOfAnInstanceThatHasReportedIsNotDrawnAgain(t *testing.T) {
	name := firstName(t)
	w := newWorld(t)
	w.signal(0, api.SignalReport, api.Report{
		Instance: name, Type: "small", Seq: 1, Incarnation: 1, State: api.StateIdle, Behavior: api.Run, CloudID: "i-0", BootOutcome: api.BootSuccess, Listed: true,
	})
	w.signal(time.Second, api.SignalRequest, whole("c-1"))
	w.signal(2*time.Second, api.SignalRequest, whole("c-2"))
	w.after(5*time.Second, func() {
		require.Len(t, w.started, 1, "the second container needs another one")
		assert.NotEqual(t, name, w.started[0].Name)
		state := query[api.FleetState](w)
		require.Len(t, state.Instances, 2)
		assert.NotEqual(t, state.Instances[0].Name, state.Instances[1].Name)
		w.env.SignalWorkflow(api.SignalReport, api.Report{Instance: name, Type: "small", Seq: 9, Incarnation: 1, State: api.StateGone, Gone: true})
	})
	w.after(6*time.Second, func() {
		assert.Len(t, query[api.FleetState](w).Instances, 2, "another one is bought for the first container")
		for _, id := range []string{"c-1", "c-2"} {
			w.env.SignalWorkflow(api.SignalRequest, api.Request{Kind: api.Cancel, ID: id})
		}
	})
	w.deleted(10 * time.Second)
	w.manage(smallOnly)
}

// A workflow task has started an instance, and has failed. When it is tried again the
// instance has gone.
func TestAnInstanceThatHasComeAndGoneIsForgottenAtOnce(t *testing.T) {
	w := newWorld(t)
	first := true
	w.missing = func(m api.Message) bool {
		defer func() { first = false }()
		return m.Signal == "" && first
	}
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.after(2*time.Second, func() {
		require.Len(t, w.started, 1)
		state := query[api.FleetState](w)
		require.Len(t, state.Instances, 1)
		assert.Equal(t, w.started[0].Name, state.Instances[0].Name)
	})
	w.up(3*time.Second, 0)
	w.ends(4*time.Second, 0, 2, "c-1")
	w.deleted(10 * time.Second)
	w.manage(nil)
	assert.Equal(t, []string{"c-1#1"}, w.ordered())
}

// What the server refuses is not tried again and again under ever other names.
func TestAnInstanceWhoseStartIsInDoubtIsLeftToTheSync(t *testing.T) {
	w := newWorld(t)
	starts := 0
	w.doubtful = true
	w.missing = func(m api.Message) bool {
		if m.Signal == "" {
			starts++
		}
		return m.Signal == ""
	}
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.after(time.Hour, func() {
		assert.Equal(t, 1, starts)
		name := query[api.FleetState](w).Instances[0].Name
		require.NoError(t, w.env.CompleteActivity(w.tokens["sync"], api.SyncResult{Vanished: []string{name}}, nil))
	})
	w.after(time.Hour+time.Second, func() { assert.Equal(t, 2, starts) })
	w.signal(time.Hour+2*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-1"})
	w.deleted(2 * time.Hour)
	w.manage(nil)
}
