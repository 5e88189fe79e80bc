package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	workflowpb "go.temporal.io/api/workflow/v1"

	"drover/internal/api"
)

// unanswered is the state that is shown of an instance whose workflow does not answer.
const unanswered = "?"

// instanceRow is an instance in the JSON of `drover instance list`, a contract.
type instanceRow struct {
	Name          string       `json:"name"`
	CloudID       string       `json:"cloud_id"`
	Address       string       `json:"address"`
	State         string       `json:"state"`
	IdleBehavior  api.Behavior `json:"idle_behavior"`
	Type          string       `json:"type"`
	ProviderType  string       `json:"provider_type"`
	Price         float64      `json:"price"`
	Running       []string     `json:"running"`
	LastContainer string       `json:"last_container"`
	LastBusy      api.Time     `json:"last_busy"`
	BootOutcome   string       `json:"boot_outcome"`
	WorkflowID    string       `json:"workflow_id"`
	RunID         string       `json:"run_id"`
}

func rowOf(i api.InstanceState) instanceRow {
	running := i.Running
	if running == nil {
		running = []string{}
	}
	return instanceRow{
		i.Name, i.CloudID, i.Address, i.State, i.IdleBehavior, i.Type, i.ProviderType, i.Price,
		running, i.LastContainer, i.LastBusy, i.BootOutcome, i.WorkflowID, i.RunID,
	}
}

// ListInstances shows the instances of all fleets and, with all, the last limit of
// those that are gone.
func (s *Session) ListInstances(ctx context.Context, all bool, limit int) error {
	instances, err := s.living(ctx)
	if all {
		gone, goneErr := s.gone(ctx, limit)
		instances, err = append(instances, gone...), errors.Join(err, goneErr)
	}
	if s.Print.JSON {
		rows := make([]instanceRow, 0, len(instances))
		for _, i := range instances {
			rows = append(rows, rowOf(i))
		}
		return errors.Join(s.Print.Encode(rows), err)
	}
	rows := make([][]string, 0, len(instances))
	for _, i := range instances {
		rows = append(rows, []string{
			i.Name, i.Fleet, i.State, s.Print.Ago(i.Since), string(i.IdleBehavior), i.Type, fmt.Sprintf("%.4g", i.Price),
			shorten(strings.Join(i.Running, ","), 40), i.LastContainer, i.BootOutcome, i.Address, i.CloudID,
		})
	}
	header := []string{"NAME", "FLEET", "STATE", "SINCE", "BEHAVIOR", "TYPE", "PRICE", "RUNNING", "LAST", "BOOT", "ADDRESS", "CLOUD ID"}
	return errors.Join(s.Print.Table(header, rows), err)
}

// living returns the instances that are not gone, by fleet and name. The list of
// workflows lags by a moment, so the fleets are asked for theirs, too.
func (s *Session) living(ctx context.Context) ([]api.InstanceState, error) {
	found, err := s.list(ctx, ofType(api.InstanceWorkflow, stillRunning), 0)
	if err != nil {
		return nil, err
	}
	known := map[string]api.InstanceState{}
	for _, info := range found {
		known[info.GetExecution().GetWorkflowId()] = sketch(info)
	}
	fleets, err := s.Fleets(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var errs []error
	each(len(fleets), func(i int) {
		state, err := s.FleetState(ctx, fleets[i])
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
		for _, m := range state.Instances {
			id := api.InstanceWorkflowID(fleets[i], m.Name)
			if _, there := known[id]; !there {
				known[id] = api.InstanceState{
					Name: m.Name, Fleet: fleets[i], Type: m.Type, State: m.State, IdleBehavior: m.IdleBehavior, CloudID: m.CloudID, WorkflowID: id,
				}
			}
		}
	})
	instances, err := s.askAll(ctx, known)
	return instances, errors.Join(errors.Join(errs...), err)
}

// askAll asks the workflows of instances how they are, and leaves out those that are
// gone.
func (s *Session) askAll(ctx context.Context, known map[string]api.InstanceState) ([]api.InstanceState, error) {
	instances := make([]api.InstanceState, 0, len(known))
	for _, i := range known {
		instances = append(instances, i)
	}
	slices.SortFunc(instances, func(a, b api.InstanceState) int { return cmp.Compare(a.WorkflowID, b.WorkflowID) })
	errs := make([]error, len(instances))
	each(len(instances), func(k int) {
		var state api.InstanceState
		err := s.query(ctx, instances[k].WorkflowID, "", api.QueryState, &state)
		switch {
		case err == nil:
			instances[k] = state
		case isNotFound(err): // named by its fleet, not started yet
		default:
			instances[k].State = unanswered
			errs[k] = fmt.Errorf("instance %s: %s", instances[k].Name, reason(err))
		}
	})
	instances = slices.DeleteFunc(instances, func(i api.InstanceState) bool { return i.State == api.StateGone })
	return instances, errors.Join(errs...)
}

// gone returns the last instances that are gone, newest first, as their workflows have
// ended.
func (s *Session) gone(ctx context.Context, limit int) ([]api.InstanceState, error) {
	found, err := s.list(ctx, ofType(api.InstanceWorkflow, over), limit)
	if err != nil {
		return nil, err
	}
	instances := make([]api.InstanceState, len(found))
	each(len(found), func(k int) {
		instances[k] = sketch(found[k])
		ctx, cancel := context.WithTimeout(ctx, queryTimeout)
		defer cancel()
		var state api.InstanceState
		err := s.Client.GetWorkflow(ctx, instances[k].WorkflowID, instances[k].RunID).Get(ctx, &state)
		if err != nil {
			instances[k].State, instances[k].Reason = strings.ToLower(found[k].GetStatus().String()), reason(err)
			return
		}
		instances[k] = state
	})
	return instances, nil
}

// sketch is what Temporal knows about an instance without asking it.
func sketch(info *workflowpb.WorkflowExecutionInfo) api.InstanceState {
	id := info.GetExecution().GetWorkflowId()
	fleet, name, _ := strings.Cut(strings.TrimPrefix(id, "instance/"), "/")
	return api.InstanceState{
		Name: name, Fleet: fleet, WorkflowID: id, RunID: info.GetExecution().GetRunId(), Running: []string{},
		State: attribute(info, api.AttributeState.GetName()), Type: attribute(info, api.AttributeInstanceType.GetName()),
		IdleBehavior: api.Behavior(attribute(info, api.AttributeIdleBehavior.GetName())), CloudID: attribute(info, api.AttributeCloudID.GetName()),
		CreatedAt: api.Time{Time: info.GetStartTime().AsTime()},
	}
}
