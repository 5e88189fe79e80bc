package activities

import (
	"context"

	"go.temporal.io/sdk/converter"

	"drover/internal/api"
)

// LastSeen returns what the heartbeats of an instance's Watch activity have kept: the latest,
// if there are several. The zero value: there are none yet. The server has them, whatever has
// become of the worker.
func (a *Activities) LastSeen(ctx context.Context, in api.LastSeenInput) (api.Watched, error) {
	var last api.Watched
	described, err := a.client.DescribeWorkflowExecution(ctx, in.WorkflowID, in.RunID)
	if err != nil {
		return last, err
	}
	for _, pending := range described.GetPendingActivities() {
		if pending.GetActivityType().GetName() != api.WatchActivity || pending.GetHeartbeatDetails() == nil {
			continue
		}
		var seen api.Watched
		if err := converter.GetDefaultDataConverter().FromPayloads(pending.GetHeartbeatDetails(), &seen); err != nil {
			return last, err
		}
		if seen.LastProbe.After(last.LastProbe) {
			last = seen
		}
	}
	return last, nil
}
