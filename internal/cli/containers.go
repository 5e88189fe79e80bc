package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"

	"drover/internal/api"
)

// Container is a container that was found: its workflow, and how that stands.
type Container struct {
	ID         string
	Fleet      string
	WorkflowID string
	RunID      string
	Status     enumspb.WorkflowExecutionStatus
	// Array is the name of the array that it is element Index of. Empty: of none.
	Array string
	Index int
	// Started and Closed are when its workflow was. Zero: not known, or not yet.
	Started, Closed time.Time
}

// Running reports whether the container has not ended.
func (c Container) Running() bool {
	return c.Status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
}

// madeID is the form of the IDs that api.ContainerID makes of workflow IDs.
var madeID = regexp.MustCompile(`^c.*-[0-9a-f]{8}$`)

// errNoContainer says that there is no container of an ID.
var errNoContainer = errors.New("does not exist; `drover ps -a` lists those that do")

// isName reports whether Temporal could have something of that name: printable ASCII.
func isName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' })
}

// FindContainer finds the container with an ID. A container may have been started
// under another workflow ID than container/<id>: its ID is then that, or made of it.
func (s *Session) FindContainer(ctx context.Context, id string) (Container, error) {
	if !isName(id) {
		return Container{}, fmt.Errorf("container %q %w", id, errNoContainer)
	}
	for _, workflowID := range []string{api.ContainerWorkflowID(id), id} {
		described, err := s.Client.DescribeWorkflowExecution(ctx, workflowID, "")
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return Container{}, fmt.Errorf("container %s: %s", id, reason(err))
		}
		if info := described.GetWorkflowExecutionInfo(); info.GetType().GetName() == api.ContainerWorkflow {
			return containerOf(info), nil
		}
	}
	if madeID.MatchString(id) {
		found, err := s.list(ctx, "WorkflowType = '"+api.ContainerWorkflow+"'", 0)
		if err != nil {
			return Container{}, err
		}
		for _, info := range found {
			if c := containerOf(info); c.ID == id {
				return c, nil
			}
		}
	}
	return Container{}, fmt.Errorf("container %q %w", id, errNoContainer)
}

// containerOf is what Temporal knows about a container without asking it.
func containerOf(info *workflowpb.WorkflowExecutionInfo) Container {
	c := Container{
		ID: api.ContainerID(info.GetExecution().GetWorkflowId()), WorkflowID: info.GetExecution().GetWorkflowId(),
		RunID: info.GetExecution().GetRunId(), Status: info.GetStatus(), Fleet: attribute(info, api.AttributeFleet.GetName()),
	}
	c.Fleet = cmp.Or(c.Fleet, api.DefaultContainerSpec().Fleet)
	if memo, index, ok := elementOf(info); ok {
		c.Array, c.Index = memo.Name, index
	}
	if info.GetStartTime() != nil {
		c.Started = info.GetStartTime().AsTime()
	}
	if info.GetCloseTime() != nil {
		c.Closed = info.GetCloseTime().AsTime()
	}
	return c
}

// attribute returns a search attribute of a workflow, or nothing.
func attribute(info *workflowpb.WorkflowExecutionInfo, name string) string {
	var value string
	payload := info.GetSearchAttributes().GetIndexedFields()[name]
	if payload == nil || converter.GetDefaultDataConverter().FromPayload(payload, &value) != nil {
		return ""
	}
	return value
}
