package activities

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

func TestAnInstanceStaysBrokenForAsLongAsAContainerIsStale(t *testing.T) {
	in := api.WatchInput{StaleFor: fleetspec.Duration(5 * time.Second)}
	now := time.Now()
	w := new(Activities).newWatcher(in)
	assert.False(t, w.staleTooLong([]string{"c-1"}, now))
	assert.True(t, w.staleTooLong([]string{"c-1"}, now.Add(10*time.Second)), "which ends the activity")

	in.Broken = true
	w = new(Activities).newWatcher(in)
	assert.True(t, w.staleTooLong([]string{"c-1"}, now.Add(20*time.Second)), "or the next would end at once, and the one after it again")
	assert.False(t, w.staleTooLong(nil, now.Add(30*time.Second)))
}

func TestSinceWhenAContainerIsStaleIsKnownToTheWorkerAndTheWatchThatComeNext(t *testing.T) {
	in := api.WatchInput{StaleFor: fleetspec.Duration(5 * time.Second)}
	began := time.Now()
	w := new(Activities).newWatcher(in)
	assert.False(t, w.staleTooLong([]string{"c-1", "c-2"}, began))
	assert.False(t, w.staleTooLong([]string{"c-1"}, began.Add(3*time.Second)))
	kept := w.kept.Load().StaleSince
	assert.Equal(t, map[string]time.Time{"c-1": began}, kept)

	in.StaleSince = kept
	w = new(Activities).newWatcher(in)
	assert.True(t, w.staleTooLong([]string{"c-1"}, began.Add(6*time.Second)), "its time goes on")
	w = new(Activities).newWatcher(in)
	assert.False(t, w.staleTooLong([]string{"c-2"}, began.Add(6*time.Second)), "which begins anew when it was not in between")
}

func TestWhatBecomesStaleOnABrokenInstanceIsNews(t *testing.T) {
	w := &watcher{in: api.WatchInput{Broken: true, Stale: []string{"c-1"}}}
	assert.False(t, w.newlyStale(api.Listing{Containers: []string{"c-1", "c-2"}, Stale: []string{"c-1"}}))
	assert.True(t, w.newlyStale(api.Listing{Containers: []string{"c-1", "c-2"}, Stale: []string{"c-1", "c-2"}}))
}
