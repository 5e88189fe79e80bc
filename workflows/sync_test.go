package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
	"drover/internal/fleetspec"
	"drover/workflows"
)

// looks has a look at the cloud's list find something.
func (w *world) looks(d time.Duration, result api.SyncResult) {
	w.after(d, func() {
		w.mu.Lock()
		token := w.tokens["sync"]
		w.mu.Unlock()
		require.NoError(w.t, w.env.CompleteActivity(token, result, nil))
	})
}

// A fleet whose runs are shorter than its sync interval looks once an interval, and acts when
// two looks agree.
func TestAFleetThatOftenContinuesAsNewLooksAtTheCloudsListAllTheSame(t *testing.T) {
	const run = 25 * time.Second
	leak := api.Found{Name: "default-leak", CloudID: "i-leak", Type: "small", Behavior: api.Run}
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	in := api.FleetInput{Spec: fleetspec.Default("default")}
	looked, started := []time.Duration{}, 0
	for began := time.Duration(0); began < 150*time.Second; began += run {
		w := newWorld(t)
		w.env.SetStartTime(start.Add(began))
		w.after(run, func() {
			w.env.SetContinueAsNewSuggested(true)
			w.env.SignalWorkflow(api.SignalRequest, api.Request{Kind: api.Prioritize, ID: "nobody"})
		})
		w.after(time.Second, func() { // what the activity does
			require.Len(t, w.syncs, 1)
			sync := w.syncs[0]
			assert.True(t, sync.Report)
			if sync.Wait.D() > run-5*time.Second {
				return // it will not come to that
			}
			result := api.SyncResult{Suspected: api.Suspicion{Found: []string{leak.Name}}}
			if !sync.Suspected.IsZero() {
				assert.Equal(t, result.Suspected, sync.Suspected)
				result = api.SyncResult{Found: []api.Found{leak}}
			}
			w.looks(sync.Wait.D(), result)
			w.after(sync.Wait.D()+time.Millisecond, func() {
				looked = append(looked, w.env.Now().Sub(start).Round(time.Second))
				require.Len(t, w.syncs, 2)
				assert.False(t, w.syncs[1].Report, "it stays, and costs nothing")
				assert.Equal(t, time.Minute, w.syncs[1].Wait.D())
			})
		})
		w.env.SetStartWorkflowOptions(startOptions("fleet/default"))
		w.env.ExecuteWorkflow(workflows.Fleet, in, nil)
		in = next[api.FleetInput](w)
		started += len(w.started)
	}
	assert.Equal(t, 1, started, "it is adopted once")
	require.Len(t, looked, 2)
	for k, at := range looked {
		assert.InDelta(t, float64(k+1), at.Minutes(), 0.2, "when it looks")
	}
}

// The activity is told to begin anew when the interval changes, and goes on from the last look.
func TestAnotherSyncIntervalCountsFromTheLastLook(t *testing.T) {
	w := newWorld(t)
	suspected := api.Suspicion{Vanished: []string{"default-a"}}
	w.looks(time.Minute, api.SyncResult{Suspected: suspected})
	w.after(70*time.Second, func() {
		spec := fleetspec.Default("default")
		spec.Intervals.Sync = fleetspec.Duration(30 * time.Second)
		w.env.UpdateWorkflow(api.UpdateApply, "apply", &updates{reject: func(err error) { t.Errorf("refused: %v", err) }}, spec)
	})
	w.deleted(2 * time.Minute)
	w.manage(nil)
	require.Len(t, w.syncs, 3)
	assert.Equal(t, time.Minute, w.syncs[0].Wait.D().Round(time.Second))
	assert.Equal(t, suspected, w.syncs[2].Suspected)
	assert.Equal(t, 20*time.Second, w.syncs[2].Wait.D().Round(time.Second))
}
