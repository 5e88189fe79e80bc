package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
)

// refused returns the refused attempts of all reports.
func (w *world) refused() (names []string) {
	for _, r := range w.reports {
		names = append(names, r.Refused...)
	}
	return names
}

func TestAnAttemptThatHasEndedHereIsRefusedWhenItIsToRunAgain(t *testing.T) {
	w := newWorld(t)
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.finish(10*time.Second, "c-1", api.RunContainerResult{How: api.Lost})
	// A fleet that was created anew does not know of the first attempt.
	w.order(20*time.Second, 1, api.Orders{Fleet: "created anew", Run: []api.Assignment{assignment("c-1")}})
	w.after(30*time.Second, func() { assert.Equal(t, []string{"c-1"}, w.refused(), "or the fleet waits for it") })
	w.live()
	assert.Len(t, w.ended(), 1)
}

func TestAnAttemptIsRefusedWhileAnEarlierOneIsHere(t *testing.T) {
	w := newWorld(t)
	second := assignment("c-1")
	second.Attempt = 2
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.order(10*time.Second, 2, api.Orders{Run: []api.Assignment{second}})
	w.after(20*time.Second, func() { assert.Equal(t, []string{"c-1~2"}, w.refused(), "or the fleet waits for it") })
	w.finish(30*time.Second, "c-1", api.RunContainerResult{How: api.Unwanted})
	w.live()
}

func TestAContainerOfWhichAnotherAttemptRunsIsClaimedWhenTheNextIsRefused(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.up(2*time.Second, 0)
	w.reportFrom(3*time.Second, 0, 2, api.Report{State: api.StateIdle, CloudID: "i-0", Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Lost}}})
	// The instance has found it again, and refuses the second attempt.
	w.reportFrom(4*time.Second, 0, 3, api.Report{State: api.StateRunning, CloudID: "i-0", Running: []string{"c-1"}, Refused: []string{"c-1~2"}})
	w.after(10*time.Second, func() {
		assert.Equal(t, []string{"c-1#1", "c-1#2"}, w.ordered(), "not again and again")
		assert.Equal(t, 1, w.containers()[0].Attempt)
	})
	w.reportFrom(20*time.Second, 0, 4, api.Report{State: api.StateIdle, CloudID: "i-0", Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}}})
	w.deleted(30 * time.Second)
	assert.EqualValues(t, 1, w.manage(nil).Totals.Exited)
}

func TestAnInstanceThatIsKeptWithoutNeedIsLetGo(t *testing.T) {
	w := newWorld(t)
	w.found = []api.Found{{Name: "default-old", CloudID: "i-old", Type: "small", Behavior: api.Run}}
	// Its earlier fleet, or a workflow task of this one that failed, has told it to stay.
	w.reportFrom(time.Second, 0, 1, api.Report{State: api.StateIdle, CloudID: "i-old", BootOutcome: api.BootSuccess, Listed: true, Kept: true})
	w.deleted(20 * time.Second)
	w.manage(nil)
	require.Len(t, w.orders, 3)
	require.NotNil(t, w.orders[1].Keep, "or it stays for ever, and is paid for")
	assert.False(t, *w.orders[1].Keep)
}

func TestAnInstanceSaysWhetherItIsKept(t *testing.T) {
	w := newWorld(t)
	kept := true
	w.order(time.Second, 1, api.Orders{Keep: &kept})
	w.after(2*time.Second, func() { assert.True(t, w.reports[len(w.reports)-1].Kept) })
	w.signal(10*time.Minute, api.SignalDestroy, nil)
	w.live()
}
