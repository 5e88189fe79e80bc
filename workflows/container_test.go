package workflows_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"drover/internal/api"
	"drover/workflows"
)

// contain runs the Container workflow with an input and returns its result and error.
func (w *world) contain(id, input string) (api.ContainerResult, error) {
	w.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: id})
	w.env.ExecuteWorkflow(workflows.Container, json.RawMessage(input), nil)
	require.True(w.t, w.env.IsWorkflowCompleted(), "the workflow did not end")
	var result api.ContainerResult
	if err := w.env.GetWorkflowError(); err != nil {
		return result, err
	}
	return result, w.env.GetWorkflowResult(&result)
}

func TestAContainerIsSubmittedWithDefaultsAndReturnsItsResult(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalOutcome, api.Outcome{Result: &api.ContainerResult{ExitCode: 7, Output: "hi\n", Attempts: 1}})
	result, err := w.contain("container/c-1", `{"command": ["sh", "-c", "exit 7"]}`)
	require.NoError(t, err)
	assert.Equal(t, 7, result.ExitCode)
	require.Len(t, w.requests, 1)
	r := w.requests[0]
	assert.Equal(t, api.Submit, r.Kind)
	assert.Equal(t, "c-1", r.ID)
	assert.Empty(t, r.WorkflowID)
	assert.InDelta(t, 1, r.VCPUs, 0)
	assert.EqualValues(t, 512<<20, r.Memory)
	assert.Equal(t, 3, r.Attempts)
	state := query[api.ContainerState](w)
	assert.Equal(t, api.ContainerExited, state.State)
	assert.Equal(t, 7, *state.ExitCode)
}

func TestAContainerUnderAnyWorkflowIDIsKnownByIt(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalOutcome, api.Outcome{Result: &api.ContainerResult{}})
	_, err := w.contain("orders/2026 11/#7", `{"command": ["true"]}`)
	require.NoError(t, err)
	assert.Equal(t, "orders/2026 11/#7", w.requests[0].WorkflowID)
	require.NoError(t, api.CheckContainerID(w.requests[0].ID))
}

func TestBadContainersAreRefusedInOneLine(t *testing.T) {
	for input, want := range map[string]string{
		`{}`:                                      "command: is empty; allowed: a list that begins with a program",
		`{"command": []}`:                         "command: is empty; allowed: a list that begins with a program",
		`{"command": ["a"], "vcpus": 0}`:          "vcpus: 0 is not allowed: a number above 0, and at most 1000000",
		`{"command": ["a"], "attempts": 0}`:       "attempts: 0 is not allowed: 1 to 100",
		`{"command": ["a"], "memory": "4XB"}`:     `container spec: memory: "4XB" is not a size`,
		`{"command": ["a"], "vcpus": "2"}`:        "vcpus: a JSON string is not allowed here",
		`{"command": ["a"], "fleet": "ü"}`:        `fleet: "ü" is not the name of a fleet`,
		`{"command": ["a"], "gpus": -1}`:          "gpus: -1 is not allowed: 0 to 1000000",
		`[]`:                                      "the spec: a JSON array is not allowed here",
		`{"comand": ["a"]}`:                       `unknown field "comand"; allowed: an object with the keys fleet, command, image`,
		`{"command": ["a"], "fleet": "nowhere"}`:  `fleet "nowhere" does not exist; fleets: default`,
		`{"command": ["a"], "env": {"A=B": "x"}}`: `env: "A=B" is not the name of a variable; allowed: `,
	} {
		t.Run(input, func(t *testing.T) {
			_, err := newWorld(t).contain("container/c-1", input)
			var application *temporal.ApplicationError
			require.ErrorAs(t, err, &application)
			assert.Contains(t, application.Message(), want)
			assert.NotContains(t, application.Message(), "\n")
			assert.True(t, application.NonRetryable())
		})
	}
}

func TestCancellingAContainerAsksTheFleetAndWaitsForTheEnd(t *testing.T) {
	w := newWorld(t)
	w.after(time.Second, w.env.CancelWorkflow)
	w.after(time.Minute, func() {
		require.Len(t, w.requests, 2)
		assert.Equal(t, api.Cancel, w.requests[1].Kind)
		assert.False(t, w.env.IsWorkflowCompleted(), "it may still run")
		w.env.SignalWorkflow(api.SignalOutcome, api.Outcome{Result: &api.ContainerResult{ExitCode: 143}})
	})
	_, err := w.contain("container/c-1", `{"command": ["sleep", "1h"]}`)
	var cancelled *temporal.CanceledError
	require.ErrorAs(t, err, &cancelled)
	var result api.ContainerResult
	require.NoError(t, cancelled.Details(&result))
	assert.Equal(t, 143, result.ExitCode)
}

func TestAContainerThatEndedWellBeforeItsCancellationHasItsResult(t *testing.T) {
	w := newWorld(t)
	w.after(time.Second, w.env.CancelWorkflow)
	w.signal(2*time.Second, api.SignalOutcome, api.Outcome{Result: &api.ContainerResult{ExitCode: 0}})
	_, err := w.contain("container/c-1", `{"command": ["true"]}`)
	require.NoError(t, err)
}

func TestAContainerThatTheMachinesFailedTellsTheStory(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalOutcome, api.Outcome{Failed: "attempt 1 on a: lost; attempt 2 on b: lost"})
	_, err := w.contain("container/c-1", `{"command": ["true"]}`)
	require.ErrorContains(t, err, "attempt 1 on a: lost; attempt 2 on b: lost")
}

func TestPrioritiesArePassedOnAndNonsenseIsSaid(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalSetPriority, "high")
	w.after(2*time.Second, func() {
		assert.Contains(t, w.details(), `ignored signal set-priority: "\"high\"" is not an integer; allowed: a number such as 5, below 0 to hold it`)
		assert.Equal(t, "submitted to fleet default", query[api.ContainerState](w).Status)
	})
	w.signal(3*time.Second, api.SignalSetPriority, 5)
	w.signal(4*time.Second, api.SignalOutcome, api.Outcome{Result: &api.ContainerResult{}})
	_, err := w.contain("container/c-1", `{"command": ["true"]}`)
	require.NoError(t, err)
	require.Len(t, w.requests, 2)
	assert.Equal(t, api.Prioritize, w.requests[1].Kind)
	assert.Equal(t, 5, w.requests[1].Priority)
}

func TestAContainerThatWaitsLongShowsWhy(t *testing.T) {
	w := newWorld(t)
	w.after(11*time.Second, func() { assert.Equal(t, "queue position 1", query[api.ContainerState](w).Status) })
	w.signal(time.Hour, api.SignalOutcome, api.Outcome{Result: &api.ContainerResult{}})
	_, err := w.contain("container/c-1", `{"command": ["true"]}`)
	require.NoError(t, err)
}
