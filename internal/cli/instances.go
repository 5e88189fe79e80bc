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

// InstanceListing is what `drover instance list` is told to show.
type InstanceListing struct {
	// Fleet is whose instances are shown. Empty: those of all fleets.
	Fleet string
	// All shows also those that are gone: the last Limit. 0: all of them.
	All   bool
	Limit int
}

// ListInstances shows the instances that are not gone and, if that is wanted, the last of
// those that are.
func (s *Session) ListInstances(ctx context.Context, l InstanceListing) error {
	fleets, err := s.fleetsToAsk(ctx, l.Fleet, l.All)
	if err != nil {
		return err
	}
	instances, err := s.living(ctx, l.Fleet, fleets)
	if l.All {
		gone, goneErr := s.gone(ctx, l)
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

// living returns the instances that are not gone, of one fleet or without its name of all,
// by fleet and name. The list of workflows lags by a moment, so the fleets are asked for
// theirs, too.
func (s *Session) living(ctx context.Context, fleet string, fleets []string) ([]api.InstanceState, error) {
	found, err := s.list(ctx, ofFleet(fleet, ofType(api.InstanceWorkflow, stillRunning)), 0)
	if err != nil {
		return nil, err
	}
	known := map[string]api.InstanceState{}
	for _, info := range found {
		known[info.GetExecution().GetWorkflowId()] = sketch(info)
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
func (s *Session) gone(ctx context.Context, l InstanceListing) ([]api.InstanceState, error) {
	found, err := s.list(ctx, ofFleet(l.Fleet, ofType(api.InstanceWorkflow, over)), l.Limit)
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
