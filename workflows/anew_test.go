package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"drover/internal/api"
)

func TestACancelledContainerStaysCancelledWhenItsFleetIsCreatedAnew(t *testing.T) {
	w := newWorld(t)
	w.after(time.Second, w.env.CancelWorkflow)
	w.after(2*time.Second, func() { w.unknown = true })
	w.signal(5*time.Minute, api.SignalOutcome, api.Outcome{Cancelled: true})
	_, err := w.contain("container/c-1", `{"command": ["true"]}`)
	require.True(t, temporal.IsCanceledError(err))
	var kinds []api.RequestKind
	for _, r := range w.requests {
		kinds = append(kinds, r.Kind)
	}
	assert.Equal(t, []api.RequestKind{api.Submit, api.Cancel, api.Submit, api.Cancel}, kinds[:4])
}

func TestAContainerWhoseFleetIsGoneSaysSoAndAsksEverLessOften(t *testing.T) {
	w := newWorld(t)
	w.after(time.Second, func() { w.unknown, w.fleetless = true, true })
	w.after(23*time.Hour, func() {
		assert.Equal(t, `fleet "default" does not exist; fleets: default`, query[api.ContainerState](w).Status)
	})
	w.signal(24*time.Hour, api.SignalOutcome, api.Outcome{Cancelled: true})
	_, err := w.contain("container/c-1", `{"command": ["true"]}`)
	require.True(t, temporal.IsCanceledError(err))
	assert.Less(t, w.asked, 200)
}

func TestAFleetThatCouldWorkGoesOnWhileTheCloudDoesNotAnswer(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.up(2*time.Second, 0)
	in := w.continues(10 * time.Second)

	w2 := newWorld(t)
	w2.prepares = func() error { return temporal.NewApplicationError("503 service unavailable", "") }
	w2.signal(time.Minute, api.SignalRequest, request("c-2"))
	w2.after(2*time.Minute, func() { assert.Equal(t, []string{"c-2#1"}, w2.ordered(), "there is an instance that has room") })
	w2.deleted(3 * time.Minute)
	w2.leftOver = []api.Found{{Name: "default-late", CloudID: "i-late", Type: "small", Behavior: api.Run}}
	for k, id := range []string{"c-1", "c-2"} {
		w2.signal(150*time.Second, api.SignalReport, api.Report{
			Instance: w.started[0].Name, Type: "small", Seq: int64(10 + k), State: api.StateIdle, CloudID: "i-0",
			Behavior: api.Run, Ended: []api.Ended{{Container: id, Attempt: 1, How: api.Exited}},
		})
	}
	w2.reportFrom(6*time.Minute, 0, 1, api.Report{State: api.StateGone, Gone: true})
	w2.runFleet(in)
	assert.Len(t, w2.started, 1, "it looks whether the cloud still has instances")
}

// A fleet that has adopted an instance waits for what it says, also if that has said it
// before.
func TestAnInstanceAnswersEveryGreeting(t *testing.T) {
	w := newWorld(t)
	keep := true
	w.order(5*time.Second, 1, api.Orders{Fleet: "anew", Keep: &keep})
	before := 0
	w.after(9*time.Second, func() { before = len(w.reports) })
	w.order(10*time.Second, 2, api.Orders{Fleet: "anew", Greet: true})
	w.after(20*time.Second, func() { assert.Len(t, w.reports, before+1) })
	w.signal(time.Minute, api.SignalDestroy, nil)
	w.live()
}

// The cloud's list may be older than what an instance has said since.
func TestAFleetThatContinuesAsNewAdoptsNothingOnTheEvidenceOfOneListing(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.up(2*time.Second, 0)
	in := w.continues(10 * time.Second)
	gone := w.started[0].Name
	in.Mail = append(in.Mail, api.Mail{Reports: []api.Report{{
		Instance: gone, Type: "small", Seq: 50, State: api.StateGone, Gone: true, Ended: []api.Ended{{Container: "c-1", Attempt: 1, How: api.Exited}},
	}}})
	w2 := newWorld(t)
	w2.found = []api.Found{{Name: gone, CloudID: "i-0", Type: "small", Behavior: api.Run}}
	w2.after(30*time.Second, func() { assert.Empty(t, query[api.FleetState](w2).Instances) })
	w2.deleted(time.Minute)
	w2.runFleet(in)
	assert.Empty(t, w2.started)
}
