package activities

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/testsuite"
	"google.golang.org/grpc"

	"drover/internal/api"
)

// signalled is a Temporal server that takes signals.
type signalled struct {
	workflowservice.WorkflowServiceClient
	closed string // a workflow that does not run

	mu       sync.Mutex
	received []string
}

func (s *signalled) SignalWorkflowExecution(_ context.Context, in *workflowservice.SignalWorkflowExecutionRequest, _ ...grpc.CallOption) (*workflowservice.SignalWorkflowExecutionResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := in.GetWorkflowExecution().GetWorkflowId()
	if id == s.closed {
		return nil, serviceerror.NewNotFound("workflow execution already completed")
	}
	s.received = append(s.received, id)
	return &workflowservice.SignalWorkflowExecutionResponse{}, nil
}

// TestDeliverKeepsReportsInTheirPlace has many outcomes sent at once, before and after a
// report.
func TestDeliverKeepsReportsInTheirPlace(t *testing.T) {
	for name, at := range map[string]int{"first": 0, "between": 40, "last": 100} {
		t.Run(name, func(t *testing.T) {
			server := &signalled{closed: "container/c-70"}
			temporal := &mocks.Client{}
			temporal.On("WorkflowService").Return(server)
			var messages []api.Message
			for k := range 100 {
				messages = append(messages, api.Message{WorkflowID: fmt.Sprintf("container/c-%d", k), Signal: api.SignalOutcome, Payload: []byte("{}")})
			}
			messages = slices.Insert(messages, at, api.Message{WorkflowID: "fleet/default", Signal: api.SignalReport, Payload: []byte("{}")})
			var suite testsuite.WorkflowTestSuite
			env := suite.NewTestActivityEnvironment()
			env.RegisterActivityWithOptions(New(temporal, t.TempDir()).Deliver, activity.RegisterOptions{Name: api.DeliverActivity})
			result, err := env.ExecuteActivity(api.DeliverActivity, messages)
			require.NoError(t, err)
			var delivery api.Delivery
			require.NoError(t, result.Get(&delivery))
			missing := 70
			if at <= 70 {
				missing = 71
			}
			assert.Equal(t, []int{missing}, delivery.Missing)
			require.Len(t, server.received, 100)
			before := slices.Index(server.received, "fleet/default")
			if at == 100 {
				at = 99 // one of those before does not run
			}
			assert.Equal(t, at, before)
		})
	}
}
