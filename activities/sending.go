package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"

	"drover/internal/api"
)

// fate is what became of a message.
type fate int

const (
	arrived fate = iota
	// missed: it will never arrive.
	missed
	// doubtful: neither will this, but its receiver is an instance that may live.
	doubtful
)

// errStarted: the workflow of a new instance has been started before.
var errStarted = errors.New("it has been started before")

// sendOrMiss sends a message and says what became of it, unless it is to be tried again.
func (a *Activities) sendOrMiss(ctx context.Context, m api.Message) (fate, error) {
	err := a.send(ctx, m)
	switch {
	case err == nil:
		return arrived, nil
	case errors.Is(err, errStarted), m.Signal == api.SignalOrders && isMissing(err):
		return a.missedBy(ctx, m)
	case !undeliverable(err):
		return arrived, err
	case m.Signal == "":
		return doubtful, nil // what the server refuses is not tried in a circle
	}
	return missed, nil
}

// missedBy says what became of a message to an instance whose workflow has closed, or, if it
// is to be started, runs. One that has come to its own end has seen to it that the machine
// is gone. One that was terminated, or that the server no longer knows, has not.
func (a *Activities) missedBy(ctx context.Context, m api.Message) (fate, error) {
	described, err := a.client.DescribeWorkflowExecution(ctx, m.WorkflowID, "")
	if isMissing(err) {
		return doubtful, nil
	}
	status := described.GetWorkflowExecutionInfo().GetStatus()
	runs := status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	switch {
	case err != nil:
		return arrived, err
	case status == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		return missed, nil
	case runs && m.Signal == "":
		return arrived, nil // an earlier try has started it
	case runs:
		return arrived, errors.New("its workflow has just been started anew")
	}
	return doubtful, nil
}

func (a *Activities) send(ctx context.Context, m api.Message) error {
	switch m.Signal {
	case "":
		return a.startInstance(ctx, m)
	case api.SignalReport:
		return a.mailboxes.of(activity.GetInfo(ctx).Namespace, m.WorkflowID).tell(ctx, m)
	}
	return a.signal(ctx, m.WorkflowID, m.Signal, m.Payload, m.RequestID)
}

// startInstance starts the workflow of a new instance, once for all time: else it returns
// errStarted. That of one that was found is started unless it runs.
func (a *Activities) startInstance(ctx context.Context, m api.Message) error {
	var in api.InstanceInput
	if err := json.Unmarshal(m.Payload, &in); err != nil {
		return err
	}
	found := in.Found != nil
	reuse := enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	if found {
		reuse = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE // its workflow was terminated
	}
	_, err := a.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: m.WorkflowID, TaskQueue: activity.GetInfo(ctx).TaskQueue,
		WorkflowIDReusePolicy:                    reuse,
		WorkflowExecutionErrorWhenAlreadyStarted: !found,
		StaticSummary:                            fmt.Sprintf("%s instance of fleet %s", in.Type.Name, in.Spec.Fleet),
	}, api.InstanceWorkflow, in)
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &started) {
		return errStarted
	}
	return err
}
