package activities

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
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

// delivered delivers messages to a server.
func delivered(t *testing.T, temporal *mocks.Client, messages ...api.Message) (api.Delivery, error) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivityWithOptions(New(temporal, t.TempDir()).Deliver, activity.RegisterOptions{Name: api.DeliverActivity})
	var delivery api.Delivery
	result, err := env.ExecuteActivity(api.DeliverActivity, messages)
	if err != nil {
		return delivery, err
	}
	return delivery, result.Get(&delivery)
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
			delivery, err := delivered(t, temporal, messages...)
			require.NoError(t, err)
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

// closedWorkflows is a Temporal server on which no workflow takes messages any more.
func closedWorkflows(status enums.WorkflowExecutionStatus) *mocks.Client {
	temporal := &mocks.Client{}
	temporal.On("WorkflowService").Return(&signalled{closed: "instance/default/a"})
	temporal.On("ExecuteWorkflow", mock.Anything, mock.Anything, mock.Anything, mock.Anything).
		Return(nil, serviceerror.NewWorkflowExecutionAlreadyStarted("already started", "", ""))
	described := &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflow.WorkflowExecutionInfo{Status: status}}
	var err error
	if status == enums.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED {
		described, err = nil, serviceerror.NewNotFound("workflow not found")
	}
	temporal.On("DescribeWorkflowExecution", mock.Anything, "instance/default/a", "").Return(described, err)
	return temporal
}

// TestDeliverSaysWhatMayRunAllTheSame sends orders to an instance whose workflow has closed,
// and starts one whose workflow was started before.
func TestDeliverSaysWhatMayRunAllTheSame(t *testing.T) {
	missing, doubtful := api.Delivery{Missing: []int{0}}, api.Delivery{Missing: []int{0}, Doubtful: []int{0}}
	for status, want := range map[enums.WorkflowExecutionStatus]api.Delivery{
		enums.WORKFLOW_EXECUTION_STATUS_COMPLETED:   missing,
		enums.WORKFLOW_EXECUTION_STATUS_FAILED:      doubtful,
		enums.WORKFLOW_EXECUTION_STATUS_CANCELED:    doubtful,
		enums.WORKFLOW_EXECUTION_STATUS_TERMINATED:  doubtful,
		enums.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:   doubtful,
		enums.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED: doubtful, // the server has forgotten it
		enums.WORKFLOW_EXECUTION_STATUS_RUNNING:     {},
	} {
		for _, signal := range []string{api.SignalOrders, ""} {
			t.Run(fmt.Sprintf("%q to one that is %s", signal, status), func(t *testing.T) {
				delivery, err := delivered(t, closedWorkflows(status), api.Message{WorkflowID: "instance/default/a", Signal: signal, Payload: []byte("{}")})
				if signal != "" && status == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
					require.ErrorContains(t, err, "instance/default/a: its workflow has just been started anew")
					return
				}
				require.NoError(t, err)
				assert.Equal(t, want, delivery)
			})
		}
	}
}

func TestAnInstanceThatTheServerRefusesToStartIsInDoubt(t *testing.T) {
	refused := serviceerror.NewInvalidArgument("blob size exceeds limit")
	temporal := &mocks.Client{}
	temporal.On("ExecuteWorkflow", mock.Anything, mock.Anything, mock.Anything, mock.Anything).Return(nil, refused)
	delivery, err := delivered(t, temporal, api.Message{WorkflowID: "instance/default/a", Payload: []byte("{}")})
	require.NoError(t, err)
	assert.Equal(t, api.Delivery{Missing: []int{0}, Doubtful: []int{0}}, delivery)
}
