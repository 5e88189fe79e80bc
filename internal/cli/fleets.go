package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// FleetRuns reports whether a fleet exists.
func (s *Session) FleetRuns(ctx context.Context, name string) (bool, error) {
	running, _, err := s.fleetStatus(ctx, name)
	return running, err
}

// fleetStatus reports whether a fleet exists, and whether it did at any time.
func (s *Session) fleetStatus(ctx context.Context, name string) (running, known bool, err error) {
	if !isName(name) {
		return false, false, nil
	}
	described, err := s.Client.DescribeWorkflowExecution(ctx, api.FleetWorkflowID(name), "")
	if isNotFound(err) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("fleet %s: %s", name, reason(err))
	}
	return described.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, true, nil
}

// FleetState asks a fleet for its state.
func (s *Session) FleetState(ctx context.Context, name string) (api.FleetState, error) {
	var state api.FleetState
	if !isName(name) {
		return state, s.noFleet(ctx, name)
	}
	err := s.query(ctx, api.FleetWorkflowID(name), "", api.QueryState, &state)
	if isNotFound(err) {
		return state, s.noFleet(ctx, name)
	}
	if err != nil {
		return state, fmt.Errorf("fleet %s: %s", name, reason(err))
	}
	return state, nil
}

// fleetsToAsk returns the fleet of that name, without a name all that exist. With gone, it
// may be one that has been deleted; there is none to ask then.
func (s *Session) fleetsToAsk(ctx context.Context, name string, gone bool) ([]string, error) {
	if name == "" {
		return s.Fleets(ctx)
	}
	switch running, known, err := s.fleetStatus(ctx, name); {
	case err != nil:
		return nil, err
	case running:
		return []string{name}, nil
	case known && gone:
		return nil, nil
	}
	return nil, s.noFleet(ctx, name)
}

// ofFleet narrows a visibility query to the fleet of that name, which exists; without a
// name, it leaves it as it is.
func ofFleet(name, query string) string {
	if name == "" {
		return query
	}
	return fmt.Sprintf("%s = '%s' AND %s", api.AttributeFleet.GetName(), name, query)
}

// noFleet is the error for a fleet that does not exist.
func (s *Session) noFleet(ctx context.Context, name string) error {
	names, err := s.Fleets(ctx)
	if err != nil {
		return fmt.Errorf("fleet %q does not exist", name)
	}
	return fmt.Errorf("fleet %q does not exist; fleets: %s; create one with `drover fleet apply -f FILE`", name, cmp.Or(strings.Join(names, ", "), "none"))
}

// Apply creates a fleet, or changes it to a spec that is valid, and returns whether it
// was created.
func (s *Session) Apply(ctx context.Context, spec fleetspec.Spec) (created bool, err error) {
	_, err = s.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: api.FleetWorkflowID(spec.Name), TaskQueue: s.TaskQueue, Priority: api.FleetPriority,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		StaticSummary:                            fmt.Sprintf("fleet %s: driver %s, %d instance types", spec.Name, spec.Driver, len(spec.InstanceTypes)),
	}, api.FleetWorkflow, api.FleetInput{Spec: spec})
	var exists *serviceerror.WorkflowExecutionAlreadyStarted
	if err == nil {
		return true, nil
	}
	if !errors.As(err, &exists) {
		return false, fmt.Errorf("fleet %s: %s", spec.Name, reason(err))
	}
	if _, err := update[api.FleetState](ctx, s, api.FleetWorkflowID(spec.Name), api.UpdateApply, spec); err != nil {
		return false, fmt.Errorf("fleet %s: %s", spec.Name, reason(err))
	}
	return false, nil
}

// updateTimeout bounds how long a workflow may take to carry out an order.
const updateTimeout = 30 * time.Second

// update orders something of a workflow and returns its answer.
func update[T any](ctx context.Context, s *Session, workflowID, name string, args ...any) (answer T, err error) {
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	handle, err := s.Client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflowID, UpdateName: name, Args: args, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return answer, err
	}
	return answer, handle.Get(ctx, &answer)
}

// AwaitFleet waits until a worker has prepared a fleet, or has found that it can't be,
// and returns the fleet's state.
func (s *Session) AwaitFleet(ctx context.Context, name string, limit time.Duration) (api.FleetState, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	var last error
	for {
		var state api.FleetState
		err := s.query(ctx, api.FleetWorkflowID(name), "", api.QueryState, &state)
		if err == nil && (state.OutputStore != "" || state.Problem != "") {
			return state, nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if last != nil {
				return state, errors.New(reason(last))
			}
			return state, fmt.Errorf("no worker has prepared it within %v", limit)
		}
	}
}

// TerminateFleet ends the workflows of a fleet and of everything in it, without regard
// for what they do. It is for a fleet whose machines are gone for good.
func (s *Session) TerminateFleet(ctx context.Context, name, why string) error {
	found, err := s.list(ctx, fmt.Sprintf("%s = '%s' AND %s", api.AttributeFleet.GetName(), name, stillRunning), 0)
	if err != nil {
		return err
	}
	ids := []string{api.FleetWorkflowID(name)} // first: it would start others
	for _, f := range found {
		if id := f.GetExecution().GetWorkflowId(); id != ids[0] {
			ids = append(ids, id)
		}
	}
	var errs []error
	for _, id := range ids {
		if err := s.Client.TerminateWorkflow(ctx, id, "", why); err != nil && !isNotFound(err) {
			errs = append(errs, fmt.Errorf("terminate %s: %s", id, reason(err)))
		}
	}
	return errors.Join(errs...)
}

// ListFleets shows all fleets.
func (s *Session) ListFleets(ctx context.Context) error {
	names, err := s.Fleets(ctx)
	if err != nil {
		return err
	}
	slices.Sort(names)
	states, errs := make([]api.FleetState, len(names)), make([]error, len(names))
	each(len(names), func(i int) {
		if states[i], errs[i] = s.FleetState(ctx, names[i]); errs[i] != nil {
			states[i] = api.FleetState{Name: names[i], Problem: errs[i].Error(), Instances: []api.FleetInstanceState{}}
		}
	})
	if s.Print.JSON {
		return errors.Join(s.Print.Encode(states), errors.Join(errs...))
	}
	rows := make([][]string, 0, len(states))
	for _, f := range states {
		rows = append(rows, []string{
			f.Name, f.Spec.Driver, fmt.Sprint(len(f.Instances)), fmt.Sprint(f.Queued), fmt.Sprint(f.Assigned), fmt.Sprint(f.Running),
			fmt.Sprint(f.Totals.Exited), fmt.Sprint(f.Totals.Failed), shorten(f.Problem, 100),
		})
	}
	err = s.Print.Table([]string{"NAME", "DRIVER", "INSTANCES", "QUEUED", "ASSIGNED", "RUNNING", "EXITED", "FAILED", "PROBLEM"}, rows)
	return errors.Join(err, errors.Join(errs...))
}

// ShowFleet shows the fleet that is named, or the only one, or default.
func (s *Session) ShowFleet(ctx context.Context, named ...string) error {
	if len(named) == 0 {
		names, err := s.Fleets(ctx)
		if err != nil {
			return err
		}
		if named = []string{fleetspec.DefaultName}; len(names) == 1 {
			named = names
		}
	}
	name := named[0]
	f, err := s.FleetState(ctx, name)
	if err != nil {
		return err
	}
	if s.Print.JSON {
		return s.Print.Encode(f)
	}
	s.Print.Linef("fleet %s: driver %s, since %s ago", f.Name, f.Spec.Driver, s.Print.Ago(f.Since))
	if f.Deleting {
		s.Print.Linef("it is being deleted")
	}
	if f.Problem != "" {
		s.Print.Linef("it can't work: %s", f.Problem)
	}
	s.Print.Linef("containers: %d queued, %d assigned, %d running; %d submitted so far: %d exited, %d failed, %d cancelled, %d tried again",
		f.Queued, f.Assigned, f.Running, f.Totals.Submitted, f.Totals.Exited, f.Totals.Failed, f.Totals.Cancelled, f.Totals.Retried)
	s.Print.Linef("output: %s", cmp.Or(f.OutputStore, "not known before a worker has prepared the fleet"))
	s.Print.Linef("instances: %d of at most %d; %d created so far", len(f.Instances), f.Spec.Limits.MaxInstances, f.Totals.Created)
	if len(f.Instances) == 0 {
		return nil
	}
	rows := make([][]string, 0, len(f.Instances))
	for _, i := range f.Instances {
		rows = append(rows, []string{i.Name, i.State, string(i.IdleBehavior), i.Type, fmt.Sprint(i.Containers), i.CloudID})
	}
	return s.Print.Table([]string{"INSTANCE", "STATE", "BEHAVIOR", "TYPE", "CONTAINERS", "CLOUD ID"}, rows)
}
