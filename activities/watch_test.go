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
	w := &watcher{in: in}
	assert.False(t, w.staleTooLong([]string{"c-1"}, now))
	assert.True(t, w.staleTooLong([]string{"c-1"}, now.Add(10*time.Second)), "which ends the activity")

	in.Broken = true
	w = &watcher{in: in}
	assert.True(t, w.staleTooLong([]string{"c-1"}, now.Add(20*time.Second)), "or the next would end at once, and the one after it again")
	assert.False(t, w.staleTooLong(nil, now.Add(30*time.Second)))
}

func TestWhatBecomesStaleOnABrokenInstanceIsNews(t *testing.T) {
	w := &watcher{in: api.WatchInput{Broken: true, Stale: []string{"c-1"}}}
	assert.False(t, w.newlyStale(api.Listing{Containers: []string{"c-1", "c-2"}, Stale: []string{"c-1"}}))
	assert.True(t, w.newlyStale(api.Listing{Containers: []string{"c-1", "c-2"}, Stale: []string{"c-1", "c-2"}}))
}
