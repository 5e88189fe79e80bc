package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"drover/internal/api"
)

// Deliver sends signals and starts Instance workflows: at most once each, however
// often it is called. Messages to one receiver arrive in their order, and a report to a
// fleet after all that is before it, and before all that is after it. As it talks to
// Temporal only, it may be a local activity.
func (a *Activities) Deliver(ctx context.Context, messages []api.Message) (api.Delivery, error) {
	var delivery api.Delivery
	for _, stage := range stages(messages) {
		delivered, err := a.deliver(ctx, messages, stage)
		delivery.Missing = append(delivery.Missing, delivered.Missing...)
		delivery.Doubtful = append(delivery.Doubtful, delivered.Doubtful...)
		if err != nil {
			return delivery, err
		}
	}
	sort.Ints(delivery.Missing)
	sort.Ints(delivery.Doubtful)
	return delivery, nil
}

// stages returns which messages may be sent at once, by receiver: those between two
// reports.
func stages(messages []api.Message) []map[string][]int {
	var all []map[string][]int
	reported := true
	for k, m := range messages {
		report := m.Signal == api.SignalReport
		if report || reported {
			all = append(all, map[string][]int{})
		}
		stage := all[len(all)-1]
		stage[m.WorkflowID] = append(stage[m.WorkflowID], k)
		reported = report
	}
	return all
}

// deliver sends messages to several receivers at once.
func (a *Activities) deliver(ctx context.Context, messages []api.Message, byReceiver map[string][]int) (api.Delivery, error) {
	var (
		mu       sync.Mutex
		delivery api.Delivery
		errs     []error
		all      sync.WaitGroup
		slots    = make(chan struct{}, 16)
	)
	for _, indexes := range byReceiver {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			for _, k := range indexes {
				fate, err := a.sendOrMiss(ctx, messages[k])
				mu.Lock()
				if fate != arrived {
					delivery.Missing = append(delivery.Missing, k)
				}
				if fate == doubtful {
					delivery.Doubtful = append(delivery.Doubtful, k)
				}
				if err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", messages[k].WorkflowID, err))
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return delivery, errors.Join(errs...)
}

// undeliverable reports whether a message will never arrive: its receiver does not run,
// or can't be. One that has had too many signals takes them again when it has continued
// as new.
func undeliverable(err error) bool {
	var invalid *serviceerror.InvalidArgument
	return isMissing(err) || errors.As(err, &invalid) && !strings.Contains(invalid.Error(), "limit for signal")
}

// isMissing reports whether an error says that there is no such workflow.
func isMissing(err error) bool {
	var missing *serviceerror.NotFound
	return errors.As(err, &missing)
}

// signal sends a signal with a request ID: a second one with the same ID is not
// delivered.
func (a *Activities) signal(ctx context.Context, workflowID, name string, payload any, requestID string) error {
	return signalIn(ctx, a.client, activity.GetInfo(ctx).Namespace, workflowID, name, payload, requestID)
}

// signalIn is signal for those that are no activity, and say in which namespace.
func signalIn(ctx context.Context, c client.Client, namespace, workflowID, name string, payload any, requestID string) error {
	input, err := converter.GetDefaultDataConverter().ToPayloads(payload)
	if err != nil {
		return err
	}
	_, err = c.WorkflowService().SignalWorkflowExecution(ctx, &workflowservice.SignalWorkflowExecutionRequest{
		Namespace:         namespace,
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: workflowID},
		SignalName:        name, Input: input, RequestId: requestID, Identity: "drover",
	})
	return err
}

// SubmitContainer sends a container's request to its fleet. It fails at once when
// there is no such fleet, and says which there are. As it talks to Temporal only, it may be
// a local activity.
func (a *Activities) SubmitContainer(ctx context.Context, in api.SubmitInput) error {
	payload, err := json.Marshal(in.Request)
	if err != nil {
		return err
	}
	fleet := api.FleetWorkflowID(in.Fleet)
	err = a.mailboxes.of(activity.GetInfo(ctx).Namespace, fleet).tell(ctx, api.Message{
		WorkflowID: fleet, Signal: api.SignalRequest, Payload: payload, RequestID: in.RequestID,
	})
	if !undeliverable(err) {
		return err
	}
	fleets, err := a.fleets(ctx)
	if err != nil {
		return err
	}
	there := "there is none yet"
	if len(fleets) > 0 {
		there = "fleets: " + strings.Join(fleets, ", ")
	}
	return final(api.ErrorNoFleet, fmt.Errorf("fleet %q does not exist; %s", in.Fleet, there))
}

// fleets returns the names of all fleets, in order.
func (a *Activities) fleets(ctx context.Context) ([]string, error) {
	answer, err := a.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: activity.GetInfo(ctx).Namespace,
		Query:     fmt.Sprintf("WorkflowType = %q AND ExecutionStatus = 'Running'", api.FleetWorkflow),
	})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, execution := range answer.GetExecutions() {
		names = append(names, strings.TrimPrefix(execution.GetExecution().GetWorkflowId(), api.FleetWorkflowID("")))
	}
	sort.Strings(names)
	return names, nil
}

// AskStatus asks a fleet where a container is, and why. It is a local activity. What a
// fleet that has been terminated would say is out of date.
func (a *Activities) AskStatus(ctx context.Context, in api.AskInput) (api.ContainerState, error) {
	state, err := a.open.of(in.Fleet).ask(ctx, in.Container)
	if isMissing(err) || errors.Is(err, errNotOpen) {
		return state, final(api.ErrorNoFleet, fmt.Errorf("fleet %q does not exist", in.Fleet))
	}
	state.ID, state.Fleet = in.Container, in.Fleet
	return state, err
}

// containerSpec reads a container's spec where it is kept: in the input of its
// workflow. It returns false when that workflow has closed: nobody wants the
// container any more. The history of a workflow that waits is short, and says both.
func (a *Activities) containerSpec(ctx context.Context, assignment api.Assignment) (api.ContainerSpec, bool, error) {
	var spec api.ContainerSpec
	id := api.WorkflowOf(assignment.Container, assignment.WorkflowID)
	history, err := a.client.WorkflowService().GetWorkflowExecutionHistory(ctx, &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace: activity.GetInfo(ctx).Namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: id}, SkipArchival: true,
	})
	switch {
	case isMissing(err):
		return spec, false, nil
	case err != nil:
		return spec, false, err
	case len(history.GetHistory().GetEvents()) == 0:
		return spec, false, fmt.Errorf("the history of %s is empty", id)
	}
	events := history.GetHistory().GetEvents()
	wanted := !hasClosed(events[len(events)-1].GetEventType())
	if len(history.GetNextPageToken()) > 0 {
		if wanted, err = a.runs(ctx, id); err != nil {
			return spec, false, err
		}
	}
	err = converter.GetDefaultDataConverter().FromPayloads(events[0].GetWorkflowExecutionStartedEventAttributes().GetInput(), &spec)
	return spec, wanted, err
}

// hasClosed reports whether a workflow whose last event is of this type has closed.
func hasClosed(last enumspb.EventType) bool {
	switch last {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
		return true
	}
	return false
}

// workflowCalled returns the ID of the running Container workflow of a fleet whose
// container has that ID, although its own ID does not say so. Empty: there is none.
func (a *Activities) workflowCalled(ctx context.Context, fleet, container string) (string, error) {
	called := ""
	err := a.eachRunning(ctx, api.ContainerWorkflow, fleet, func(id string) bool {
		if api.ContainerID(id) == container {
			called = id
		}
		return called == ""
	})
	return called, err
}

// eachRunning calls next with the ID of each workflow of a type that runs for a fleet, as
// far as visibility knows, until it returns false.
func (a *Activities) eachRunning(ctx context.Context, workflowType, fleet string, next func(id string) bool) error {
	request := &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: activity.GetInfo(ctx).Namespace, PageSize: 1000,
		Query: fmt.Sprintf("WorkflowType = %q AND ExecutionStatus = 'Running' AND %s = %q",
			workflowType, api.AttributeFleet.GetName(), fleet),
	}
	for {
		page, err := a.client.ListWorkflow(ctx, request)
		if err != nil {
			return err
		}
		for _, execution := range page.GetExecutions() {
			if !next(execution.GetExecution().GetWorkflowId()) {
				return nil
			}
		}
		if request.NextPageToken = page.GetNextPageToken(); len(request.NextPageToken) == 0 {
			return nil
		}
	}
}
