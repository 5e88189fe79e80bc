package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"drover/internal/api"
	"drover/internal/pause"
)

// Ending is how a container has ended.
type Ending struct {
	// Result is nil when there is none: it never ran, or the machines failed it.
	Result    *api.ContainerResult
	Cancelled bool
	// Failure says why there is no result, or is empty.
	Failure string
}

// Await waits for the end of a container, for as long as it takes. While Temporal
// can't be reached it is asked again; say, unless nil, is told so.
func (s *Session) Await(ctx context.Context, c Container, say func(string)) (Ending, error) {
	for wait := time.Second; ; wait = min(2*wait, 10*time.Second) {
		var result api.ContainerResult
		err := s.Client.GetWorkflow(ctx, c.WorkflowID, c.RunID).Get(ctx, &result)
		var unavailable *serviceerror.Unavailable
		switch {
		case ctx.Err() != nil:
			return Ending{}, ctx.Err()
		case errors.As(err, &unavailable):
			if say != nil {
				say(fmt.Sprintf("%s: Temporal does not answer; trying again", c.ID))
			}
		case err == nil:
			return Ending{Result: &result}, nil
		default:
			return endingOf(err)
		}
		if err := pause.For(ctx, wait); err != nil {
			return Ending{}, err
		}
	}
}

// endingOf tells the end of a container from an error of its workflow. What is no end
// is an error.
func endingOf(err error) (Ending, error) {
	var execution *temporal.WorkflowExecutionError
	if !errors.As(err, &execution) {
		return Ending{}, errors.New(reason(err))
	}
	var cancelled *temporal.CanceledError
	if !errors.As(err, &cancelled) {
		return Ending{Failure: reason(err)}, nil
	}
	e := Ending{Cancelled: true}
	var result api.ContainerResult
	if cancelled.HasDetails() && cancelled.Details(&result) == nil {
		e.Result = &result
	}
	return e, nil
}

// Exit returns the error that ends drover as the container has ended: nil for exit
// code 0.
func (e Ending) Exit(id string) error {
	switch {
	case e.Failure != "":
		return fmt.Errorf("container %s: %s", id, e.Failure)
	case e.Cancelled && e.Result == nil:
		return fmt.Errorf("container %s was cancelled", id)
	case e.Cancelled:
		return &ExitError{Code: e.Result.ExitCode, Err: fmt.Errorf("container %s was cancelled", id)}
	case e.Result.ExitCode == 0:
		return nil
	case e.Result.Error != "":
		return &ExitError{Code: e.Result.ExitCode, Err: fmt.Errorf("container %s: %s", id, e.Result.Error)}
	}
	return &ExitError{Code: e.Result.ExitCode}
}

// Wait waits for a container or an array to end, shows how it did, and returns what that
// ends drover with.
func (s *Session) Wait(ctx context.Context, id string) error {
	c, a, err := s.find(ctx, id)
	if err != nil {
		return err
	}
	if a != nil {
		return s.waitForArray(ctx, a)
	}
	e, err := s.Await(ctx, *c, func(text string) { s.Print.Notef("%s", text) })
	if err != nil {
		return fmt.Errorf("container %s: %w", c.ID, err)
	}
	switch r := e.Result; {
	case r == nil:
	case s.Print.JSON:
		if err := s.Print.Encode(r); err != nil {
			return err
		}
	default:
		s.Print.Linef("%s: exit code %d after %s on %s (%s), attempt %d, cost %.4f", c.ID, r.ExitCode,
			Short(r.FinishedAt.Sub(r.StartedAt.Time)), r.Instance, r.InstanceType, r.Attempts, r.Cost)
	}
	return e.Exit(c.ID)
}

// remember tells the state of a container that has ended from its history, for which
// no worker is needed.
func (s *Session) remember(ctx context.Context, c Container) (api.ContainerState, error) {
	state := api.ContainerState{ID: c.ID, Fleet: c.Fleet, State: api.ContainerFailed}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	spec, queued, err := s.submitted(ctx, c)
	if err != nil {
		return state, fmt.Errorf("container %s: %s", c.ID, reason(err))
	}
	state.Command, state.Priority, state.QueuedAt = spec.Label(200), spec.Priority, api.Time{Time: queued}
	history := s.Client.GetWorkflowHistory(ctx, c.WorkflowID, c.RunID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT)
	if !history.HasNext() {
		return state, fmt.Errorf("container %s has not ended", c.ID)
	}
	last, err := history.Next()
	if err != nil {
		return state, fmt.Errorf("container %s: %s", c.ID, reason(err))
	}
	state.FinishedAt = api.Time{Time: last.GetEventTime().AsTime()}
	e, err := s.Await(ctx, c, nil)
	if err != nil {
		return state, fmt.Errorf("container %s: %s", c.ID, reason(err))
	}
	e.describe(&state)
	return state, nil
}

// describe puts the ending into a state.
func (e Ending) describe(state *api.ContainerState) {
	switch {
	case e.Failure != "":
		state.State, state.Status = api.ContainerFailed, e.Failure
	case e.Cancelled:
		state.State, state.Status = api.ContainerCancelled, "cancelled"
	default:
		state.State = api.ContainerExited
	}
	r := e.Result
	if r == nil {
		return
	}
	state.Instance, state.ExitCode = r.Instance, &r.ExitCode
	state.QueuedAt, state.StartedAt, state.FinishedAt = r.QueuedAt, r.StartedAt, r.FinishedAt
	state.Status = "exit code " + strconv.Itoa(r.ExitCode)
	if e.Cancelled {
		state.Status = "cancelled; " + state.Status
	}
	if r.Error != "" {
		state.Status += ": " + r.Error
	}
}

// submitted returns what a container was submitted with, and when.
func (s *Session) submitted(ctx context.Context, c Container) (api.ContainerSpec, time.Time, error) {
	history := s.Client.GetWorkflowHistory(ctx, c.WorkflowID, c.RunID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	first, err := history.Next()
	if err != nil {
		return api.ContainerSpec{}, time.Time{}, err
	}
	return specOf(first.GetWorkflowExecutionStartedEventAttributes()), first.GetEventTime().AsTime(), nil
}

// specOf decodes the input of a container. One that can't be decoded is empty: its
// workflow has said what is wrong with it.
func specOf(started *historypb.WorkflowExecutionStartedEventAttributes) api.ContainerSpec {
	var spec api.ContainerSpec
	if err := converter.GetDefaultDataConverter().FromPayloads(started.GetInput(), &spec); err != nil {
		return api.ContainerSpec{}
	}
	return spec
}
