package activities

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	querypb "go.temporal.io/api/query/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"

	"drover/internal/api"
)

// fleetThatSays is a client of a fleet that answers a query when it is let, and knows
// where containers run.
func fleetThatSays(t *testing.T, let <-chan error, asked chan<- []string, runs map[string]api.ContainerState) *registers {
	temporal := &mocks.Client{}
	call := temporal.On("QueryWorkflow", mock.Anything, "fleet/f", "", api.QueryContainers, mock.Anything)
	call.RunFn = func(args mock.Arguments) {
		query := args.Get(4).(api.ContainersQuery)
		asked <- query.IDs
		err := <-let
		var page api.ContainersPage
		for _, id := range query.IDs {
			if state, known := runs[id]; known {
				page.Containers = append(page.Containers, state)
			}
		}
		call.ReturnArguments = mock.Arguments{answered(t, page), err}
	}
	return &registers{client: temporal, fleets: map[string]*register{}}
}

func TestQuestionsThatComeWhileAFleetIsAskedGoTogetherIntoTheNextQuery(t *testing.T) {
	let, asked := make(chan error), make(chan []string, 10)
	r := fleetThatSays(t, let, asked, map[string]api.ContainerState{
		"a": {ID: "a", Instance: "one"}, "b": {ID: "b", Instance: "two"},
	}).of("f")
	answers := make(chan answer, 3)
	ask := func(id string) {
		go func() {
			state, err := r.ask(t.Context(), id)
			answers <- answer{state, err}
		}()
	}
	waits := func(n int) {
		require.Eventually(t, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.waiting) == n }, patience, patience/10000)
	}
	ask("a")
	assert.Equal(t, []string{"a"}, <-asked)
	ask("b")
	waits(1)
	ask("unknown")
	waits(2)
	let <- nil
	assert.Equal(t, "one", (<-answers).state.Instance)
	assert.ElementsMatch(t, []string{"b", "unknown"}, <-asked, "one query for both, and it began after they were asked")
	let <- nil
	got := map[string]string{}
	for range 2 {
		a := <-answers
		require.NoError(t, a.err)
		got[a.state.ID] = a.state.Instance
	}
	assert.Equal(t, map[string]string{"b": "two", "": ""}, got)
	waits(0)
}

func TestAFleetThatDoesNotAnswerFailsTheQuestionsOfThatQueryOnly(t *testing.T) {
	let, asked := make(chan error, 1), make(chan []string, 10)
	r := fleetThatSays(t, let, asked, map[string]api.ContainerState{"a": {ID: "a", Instance: "one"}}).of("f")
	let <- errors.New("no poller")
	_, err := r.ask(t.Context(), "a")
	require.ErrorContains(t, err, "no poller")
	let <- nil
	state, err := r.ask(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, "one", state.Instance)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = r.ask(ctx, "a")
	require.ErrorIs(t, err, context.Canceled)
	let <- nil // the query itself goes on
}

func TestAFleetThatContinuesAsNewIsAskedAgain(t *testing.T) {
	temporal := &mocks.Client{}
	rejected := func(status enumspb.WorkflowExecutionStatus) *client.QueryWorkflowWithOptionsResponse {
		return &client.QueryWorkflowWithOptionsResponse{QueryRejected: &querypb.QueryRejected{Status: status}}
	}
	call := func() *mock.Call { return temporal.On("QueryWorkflowWithOptions", mock.Anything, mock.Anything).Once() }
	call().Return(rejected(enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW), nil)
	call().Return(&client.QueryWorkflowWithOptionsResponse{QueryResult: answered(t, api.ContainersPage{Containers: []api.ContainerState{{ID: "a", Instance: "one"}}})}, nil)
	call().Return(rejected(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED), nil)
	r := (&registers{client: temporal, open: true, fleets: map[string]*register{}}).of("f")
	state, err := r.ask(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, "one", state.Instance)
	_, err = r.ask(t.Context(), "a")
	require.ErrorIs(t, err, errNotOpen)
}
