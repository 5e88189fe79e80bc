package activities

import (
	"context"

	"drover/internal/api"
)

// LastSeen returns what the heartbeats of an instance's Watch activity have kept: the latest,
// if there are several. The zero value: there are none yet. The server has them, whatever has
// become of the worker.
func (a *Activities) LastSeen(ctx context.Context, in api.LastSeenInput) (api.Watched, error) {
	described, err := a.client.DescribeWorkflowExecution(ctx, in.WorkflowID, in.RunID)
	if err != nil {
		return api.Watched{}, err
	}
	return api.LastWatched(described.GetPendingActivities())
}
