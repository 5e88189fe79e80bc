package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

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
}

// Running reports whether the container has not ended.
func (c Container) Running() bool {
	return c.Status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
}

// madeID is the form of the IDs that api.ContainerID makes of workflow IDs.
var madeID = regexp.MustCompile(`^c.*-[0-9a-f]{8}$`)

// isName reports whether Temporal could have something of that name: printable ASCII.
func isName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' })
}

// FindContainer finds the container with an ID. A container may have been started
// under another workflow ID than container/<id>: its ID is then that, or made of it.
func (s *Session) FindContainer(ctx context.Context, id string) (Container, error) {
	if !isName(id) {
		return Container{}, fmt.Errorf("container %q does not exist; `drover ps -a` lists those that do", id)
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
	return Container{}, fmt.Errorf("container %q does not exist; `drover ps -a` lists those that do", id)
}

// containerOf is what Temporal knows about a container without asking it.
func containerOf(info *workflowpb.WorkflowExecutionInfo) Container {
	c := Container{
		ID: api.ContainerID(info.GetExecution().GetWorkflowId()), WorkflowID: info.GetExecution().GetWorkflowId(),
		RunID: info.GetExecution().GetRunId(), Status: info.GetStatus(), Fleet: attribute(info, api.AttributeFleet.GetName()),
	}
	c.Fleet = cmp.Or(c.Fleet, api.DefaultContainerSpec().Fleet)
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

// ListContainers shows the containers of all fleets that have not ended and, with
// all, the last limit of those that have.
func (s *Session) ListContainers(ctx context.Context, all bool, limit int) error {
	alive, err := s.alive(ctx)
	if all {
		ended, endedErr := s.ended(ctx, limit)
		if len(alive) > 0 { // what has ended meanwhile is shown once
			known := map[string]bool{}
			for _, c := range ended {
				known[c.ID] = true
			}
			kept := alive[:0]
			for _, c := range alive {
				if !known[c.ID] {
					kept = append(kept, c)
				}
			}
			alive = kept
		}
		alive, err = append(alive, ended...), errors.Join(err, endedErr)
	}
	if s.Print.JSON {
		return errors.Join(s.Print.Encode(alive), err)
	}
	rows := make([][]string, 0, len(alive))
	for _, c := range alive {
		exit := ""
		if c.ExitCode != nil {
			exit = strconv.Itoa(*c.ExitCode)
		}
		rows = append(rows, []string{c.ID, c.State, exit, c.Fleet, c.Instance, strconv.Itoa(c.Priority), s.Print.Ago(c.QueuedAt), shorten(c.Command, 40), shorten(c.Status, 100)})
	}
	return errors.Join(s.Print.Table([]string{"ID", "STATE", "EXIT", "FLEET", "INSTANCE", "PRIORITY", "AGE", "COMMAND", "STATUS"}, rows), err)
}

// alive asks all fleets for their containers, in the order in which they are
// scheduled.
func (s *Session) alive(ctx context.Context) ([]api.ContainerState, error) {
	fleets, err := s.Fleets(ctx)
	if err != nil {
		return []api.ContainerState{}, err
	}
	lists, errs := make([][]api.ContainerState, len(fleets)), make([]error, len(fleets))
	each(len(fleets), func(i int) { lists[i], errs[i] = s.containersOf(ctx, fleets[i]) })
	containers := []api.ContainerState{}
	for _, list := range lists {
		containers = append(containers, list...)
	}
	return containers, errors.Join(errs...)
}

// containersOf asks one fleet for its containers, page by page. What moves between
// pages meanwhile is taken once.
func (s *Session) containersOf(ctx context.Context, fleet string) ([]api.ContainerState, error) {
	var containers []api.ContainerState
	seen := map[string]bool{}
	for offset := 0; ; {
		var page api.ContainersPage
		err := s.query(ctx, api.FleetWorkflowID(fleet), "", api.QueryContainers, &page, api.ContainersQuery{Offset: offset})
		if err != nil {
			return containers, fmt.Errorf("fleet %s: %s", fleet, reason(err))
		}
		for _, c := range page.Containers {
			if !seen[c.ID] {
				seen[c.ID] = true
				containers = append(containers, c)
			}
		}
		if offset += len(page.Containers); len(page.Containers) == 0 || offset >= page.Total {
			return containers, nil
		}
	}
}

// ended returns the last containers that have ended, newest first.
func (s *Session) ended(ctx context.Context, limit int) ([]api.ContainerState, error) {
	found, err := s.list(ctx, ofType(api.ContainerWorkflow, over), limit)
	if err != nil {
		return nil, err
	}
	states, errs := make([]api.ContainerState, len(found)), make([]error, len(found))
	each(len(found), func(i int) { states[i], errs[i] = s.remember(ctx, containerOf(found[i])) })
	return states, errors.Join(errs...)
}

// Cancel asks that containers end.
func (s *Session) Cancel(ctx context.Context, ids []string) error {
	type cancelled struct {
		ID         string `json:"id"`
		WorkflowID string `json:"workflow_id"`
	}
	done := []cancelled{}
	var errs []error
	for _, id := range ids {
		c, err := s.FindContainer(ctx, id)
		if err == nil && !c.Running() {
			err = fmt.Errorf("container %s has ended already (%s): nothing to cancel", c.ID, strings.ToLower(c.Status.String()))
		}
		if err == nil {
			if err = s.Client.CancelWorkflow(ctx, c.WorkflowID, c.RunID); err != nil {
				err = fmt.Errorf("container %s: %s", c.ID, reason(err))
			}
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		done = append(done, cancelled{c.ID, c.WorkflowID})
		if !s.Print.JSON {
			s.Print.Linef("%s: is being cancelled", c.ID)
		}
	}
	if s.Print.JSON {
		errs = append(errs, s.Print.Encode(done))
	}
	return errors.Join(errs...)
}
