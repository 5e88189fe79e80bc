package api

import (
	"time"

	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"
)

// Watched is what the heartbeats of a Watch activity keep for the worker that takes it
// over, and for the workflow's next run.
type Watched struct {
	// LastProbe is when a probe last succeeded.
	LastProbe time.Time `json:"last_probe"`
	// Listed are the containers that the last one listed.
	Listed []string `json:"listed,omitempty"`
	// StaleSince is since when the supervisors of those have been gone that the last one
	// called stale.
	StaleSince map[string]time.Time `json:"stale_since,omitempty"`
}

// LastWatched returns what the heartbeats of an instance's Watch activities have kept, as the
// server knows of pending activities: the latest of several. The zero value: there are none
// yet. The error is that of heartbeats that can't be decoded.
func LastWatched(pending []*workflowpb.PendingActivityInfo) (last Watched, err error) {
	for _, p := range pending {
		if p.GetActivityType().GetName() != WatchActivity || p.GetHeartbeatDetails() == nil {
			continue
		}
		var seen Watched
		if err := converter.GetDefaultDataConverter().FromPayloads(p.GetHeartbeatDetails(), &seen); err != nil {
			return last, err
		}
		if seen.LastProbe.After(last.LastProbe) {
			last = seen
		}
	}
	return last, nil
}
