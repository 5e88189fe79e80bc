package activities

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/mocks"

	"drover/internal/api"
)

// pendingOf is an activity that a server says is under way.
func pendingOf(t *testing.T, name string, heartbeat any) *workflowpb.PendingActivityInfo {
	pending := &workflowpb.PendingActivityInfo{ActivityType: &commonpb.ActivityType{Name: name}}
	if heartbeat != nil {
		details, err := converter.GetDefaultDataConverter().ToPayloads(heartbeat)
		require.NoError(t, err)
		pending.HeartbeatDetails = details
	}
	return pending
}

func TestWhatTheHeartbeatsOfAWatchHaveKeptIsSeenByItsWorkflow(t *testing.T) {
	at := func(second int) time.Time { return time.Date(2026, 1, 2, 3, 4, second, 0, time.UTC) }
	for name, c := range map[string]struct {
		pending []*workflowpb.PendingActivityInfo
		seen    api.Watched
	}{
		"none":             {},
		"no heartbeat yet": {pending: []*workflowpb.PendingActivityInfo{pendingOf(t, api.WatchActivity, nil)}},
		"another activity": {pending: []*workflowpb.PendingActivityInfo{pendingOf(t, api.KillContainerActivity, at(7))}},
		"one that was cancelled, and the next": {
			pending: []*workflowpb.PendingActivityInfo{
				pendingOf(t, api.WatchActivity, api.Watched{LastProbe: at(1), Listed: []string{"c-1"}}),
				pendingOf(t, api.WatchActivity, api.Watched{LastProbe: at(3), Listed: []string{"c-2"}}),
				pendingOf(t, api.WatchActivity, api.Watched{LastProbe: at(2)}),
			},
			seen: api.Watched{LastProbe: at(3), Listed: []string{"c-2"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			temporal := &mocks.Client{}
			temporal.On("DescribeWorkflowExecution", mock.Anything, "instance/f/a", "run").
				Return(&workflowservice.DescribeWorkflowExecutionResponse{PendingActivities: c.pending}, nil)
			seen, err := New(temporal, t.TempDir()).LastSeen(t.Context(), api.LastSeenInput{WorkflowID: "instance/f/a", RunID: "run"})
			require.NoError(t, err)
			assert.Equal(t, c.seen, seen)
		})
	}
}

func TestTheErrorsOfABootSayWhichStepTheyAreOfWhenThereAreSeveral(t *testing.T) {
	failing := func(name, message string) *workflowpb.PendingActivityInfo {
		pending := pendingOf(t, name, nil)
		pending.Attempt, pending.LastFailure = 7, &failurepb.Failure{Message: message}
		return pending
	}
	boot, copies := failing(api.BootProbeActivity, "exit code 1"), failing(api.CopyRunnerActivity, "disk full")
	assert.Equal(t, "tried 7 times; last error: exit code 1", lastErrors([]*workflowpb.PendingActivityInfo{boot, failing(api.WatchActivity, "x")}))
	assert.Equal(t, "BootProbe tried 7 times; last error: exit code 1; CopyRunner tried 7 times; last error: disk full",
		lastErrors([]*workflowpb.PendingActivityInfo{boot, copies}))
	assert.Empty(t, lastErrors([]*workflowpb.PendingActivityInfo{pendingOf(t, api.BootProbeActivity, nil)}))
}
