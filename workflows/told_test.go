package workflows_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"

	"drover/internal/api"
)

const (
	reportToFleet = "instance-report to fleet/default"
	outcomeToC1   = "outcome to container/c-1"
)

func TestTheFleetHearsOfAnExitBeforeTheContainerDoes(t *testing.T) {
	w := newWorld(t)
	w.order(5*time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.finish(20*time.Second, "c-1", api.RunContainerResult{How: api.Exited})
	w.live()
	at := slices.Index(w.sent, outcomeToC1)
	require.Positive(t, at)
	told := 0
	for _, sent := range w.sent[:at] {
		if sent == reportToFleet {
			told++
		}
	}
	assert.Equal(t, "c-1", w.reports[told-1].Ended[0].Container, "it is in the report before")
}

// The exit comes in while a report is sent, and so does the news that the instance is
// gone: both are told at once.
func TestAContainerHearsOfItsExitBeforeTheFleetForgetsTheInstance(t *testing.T) {
	w := newWorld(t)
	w.order(5*time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.signal(20*time.Second, api.SignalDestroy, api.Destroy{})
	w.destroys = func(ctx context.Context) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.tokens["destroy"] = activity.GetInfo(ctx).TaskToken
		return activity.ErrResultPending
	}
	w.order(30*time.Second, 2, api.Orders{Run: []api.Assignment{assignment("c-2")}})
	w.missing = func(m api.Message) bool {
		if len(w.reports) > 0 && w.reports[len(w.reports)-1].State == api.StateShutdown && w.tokens["destroy"] != nil {
			require.NoError(t, w.env.CompleteActivity(w.tokens["c-1"], api.RunContainerResult{How: api.Exited}, nil))
			require.NoError(t, w.env.CompleteActivity(w.tokens["destroy"], nil, nil))
			w.tokens["destroy"] = nil
		}
		return false
	}
	w.live()
	require.Equal(t, "c-1", w.reports[len(w.reports)-1].Ended[0].Container)
	assert.Equal(t, []string{outcomeToC1, reportToFleet}, w.sent[len(w.sent)-2:])
}

// outcomeUnderWay has a container end of which its instance has told the fleet, and
// itself nothing yet.
func (w *world) outcomeUnderWay() {
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.up(2*time.Second, 0)
	w.reportFrom(10*time.Second, 0, 2, api.Report{State: api.StateIdle, CloudID: "i-0", Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}}})
}

func again(id string) api.Request {
	r := request(id)
	r.Again = true
	return r
}

func TestWhatHasEndedIsNotRunAgainWhileItsOutcomeIsUnderWay(t *testing.T) {
	w := newWorld(t)
	w.outcomeUnderWay()
	w.signal(11*time.Second, api.SignalRequest, again("c-1"))
	w.signal(12*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-1"})
	w.after(20*time.Second, func() {
		assert.Empty(t, w.containers())
		assert.Empty(t, w.outcomes["container/c-1"], "its instance tells it")
	})
	w.signal(30*time.Second, api.SignalRequest, request("c-1")) // a new one, of the same name
	w.after(31*time.Second, func() { assert.Len(t, w.ordered(), 2) })
	w.reportFrom(40*time.Second, 0, 3, api.Report{State: api.StateIdle, CloudID: "i-0", Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}}})
	w.deleted(time.Minute)
	state := w.manage(nil)
	assert.EqualValues(t, 2, state.Totals.Exited)
}

func TestWhatHasEndedIsRunAgainWhenItsOutcomeIsLost(t *testing.T) {
	w := newWorld(t)
	w.outcomeUnderWay()
	w.reportFrom(15*time.Second, 0, 2, api.Report{State: api.StateIdle, CloudID: "i-0"}) // the same again: it was not sent to its end
	w.signal(20*time.Second, api.SignalRequest, again("c-1"))
	w.after(21*time.Second, func() { assert.Len(t, w.ordered(), 1) })
	w.reportFrom(30*time.Second, 0, 1, api.Report{Incarnation: 5, State: api.StateIdle, CloudID: "i-0"}) // its workflow was terminated
	w.signal(40*time.Second, api.SignalRequest, again("c-1"))
	w.after(41*time.Second, func() { assert.Equal(t, []string{"c-1#1", "c-1#1"}, w.ordered()) })
	w.reportFrom(50*time.Second, 0, 2, api.Report{Incarnation: 5, State: api.StateIdle, CloudID: "i-0", Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}}})
	w.reportFrom(55*time.Second, 0, 3, api.Report{Incarnation: 5, State: api.StateIdle, CloudID: "i-0"}) // it has been told
	w.signal(58*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-1"})
	w.after(59*time.Second, func() { assert.True(t, w.outcomes["container/c-1"][0].Cancelled) })
	w.after(time.Minute, func() {
		u := &updates{reject: func(err error) { t.Errorf("delete was refused: %v", err) }}
		w.env.UpdateWorkflow(api.UpdateDelete, "delete", u, api.DeleteFleet{Drain: true})
	})
	w.reportFrom(2*time.Minute, 0, 4, api.Report{Incarnation: 5, State: api.StateGone, Gone: true})
	w.manage(nil)
}

func TestTheNextRunKnowsWhoseOutcomesAreUnderWay(t *testing.T) {
	w := newWorld(t)
	w.outcomeUnderWay()
	in := w.continues(20 * time.Second)

	w2 := newWorld(t)
	w2.signal(time.Second, api.SignalRequest, again("c-1"))
	w2.after(2*time.Second, func() { assert.Empty(t, w2.containers()) })
	w2.deleted(time.Minute)
	w2.runFleet(in)
	assert.Empty(t, w2.ordered())
}
