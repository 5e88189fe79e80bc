package whole

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"google.golang.org/grpc"

	"drover/activities"
	"drover/internal/api"
	"drover/internal/connect"
	"drover/workflows"
)

// slowReports is a client whose reports to fleets take a while to arrive.
type slowReports struct{ client.Client }

func (c slowReports) WorkflowService() workflowservice.WorkflowServiceClient {
	return slowService{c.Client.WorkflowService()}
}

type slowService struct {
	workflowservice.WorkflowServiceClient
}

func (s slowService) SignalWorkflowExecution(ctx context.Context, in *workflowservice.SignalWorkflowExecutionRequest, options ...grpc.CallOption) (*workflowservice.SignalWorkflowExecutionResponse, error) {
	if in.GetSignalName() == api.SignalReport {
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return s.WorkflowServiceClient.SignalWorkflowExecution(ctx, in, options...)
}

func TestTheNextFindsAFreePlaceHoweverSlowReportsAre(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	require.NoError(t, connect.RegisterSearchAttributes(t.Context(), s.client, client.DefaultNamespace))
	w := worker.New(s.client, api.DefaultTaskQueue, worker.Options{})
	activities.New(slowReports{s.client}, s.dir).Register(w)
	workflows.Register(w)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	s.apply(staysIdle)
	for link := range 10 {
		run := s.submit(fmt.Sprint("link-", link), map[string]any{"command": []string{"true"}, "vcpus": 2})
		result, err := s.result(run)
		require.NoError(t, err)
		assert.Zero(t, result.ExitCode)
	}
	s.boughtAre(1)
}
