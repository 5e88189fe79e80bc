package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"drover/internal/api"
)

// described is an instance's workflow as Temporal describes it.
type described struct {
	id   string
	info *workflowservice.DescribeWorkflowExecutionResponse
}

func (d described) running() bool {
	return d.info.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
}

// findInstance finds the workflow of an instance by the instance's name, alone or
// after its fleet's and a slash, by its workflow ID, or by its cloud ID.
func (s *Session) findInstance(ctx context.Context, name string) (described, error) {
	if !isName(name) {
		return described{}, fmt.Errorf("instance %q does not exist; `drover instance list` lists those that do", name)
	}
	candidates, err := s.candidates(ctx, strings.TrimPrefix(name, "instance/"))
	if err != nil {
		return described{}, err
	}
	var mu sync.Mutex
	var found []described
	var failed error
	each(len(candidates), func(i int) {
		info, err := s.Client.DescribeWorkflowExecution(ctx, candidates[i], "")
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			found = append(found, described{candidates[i], info})
		case !isNotFound(err):
			failed = fmt.Errorf("instance %s: %s", name, reason(err))
		}
	})
	if living := slices.DeleteFunc(slices.Clone(found), func(d described) bool { return !d.running() }); len(living) > 0 {
		found = living
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case failed != nil:
		return described{}, failed
	case len(found) > 1:
		var names []string
		for _, d := range found {
			names = append(names, strings.TrimPrefix(d.id, "instance/"))
		}
		slices.Sort(names)
		return described{}, fmt.Errorf("instance %q exists in more than one fleet: name one of %s", name, strings.Join(names, ", "))
	}
	return described{}, fmt.Errorf("instance %q does not exist; `drover instance list -a` shows those that do or did", name)
}

// candidates returns the workflow IDs that an instance of a name could have.
func (s *Session) candidates(ctx context.Context, name string) ([]string, error) {
	if strings.ContainsAny(name, "/'\\") {
		return []string{"instance/" + name}, nil
	}
	fleets, err := s.Fleets(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, fleet := range fleets {
		ids = append(ids, api.InstanceWorkflowID(fleet, name))
	}
	// Those of fleets that are gone, or so new that they are not listed.
	workflows, err := s.list(ctx, "WorkflowType = '"+api.InstanceWorkflow+"'", 0)
	if err != nil {
		return nil, err
	}
	for _, info := range workflows {
		i := sketch(info)
		if (i.Name == name || i.CloudID == name) && !slices.Contains(ids, i.WorkflowID) {
			ids = append(ids, i.WorkflowID)
		}
	}
	return ids, nil
}

// SetBehavior tells an instance what to do when nothing runs on it.
func (s *Session) SetBehavior(ctx context.Context, name string, behavior api.Behavior, why string) error {
	order := api.SetIdleBehavior{Behavior: behavior, Reason: why, By: By()}
	return s.order(ctx, name, api.UpdateIdleBehavior, order, func(i api.InstanceState) string {
		return fmt.Sprintf("%s: idle behavior is %s; %s, %s", i.Name, i.IdleBehavior, i.State, runs(i))
	})
}

// Destroy tells an instance to go now.
func (s *Session) Destroy(ctx context.Context, name, why string) error {
	order := api.Destroy{Reason: why, By: By()}
	return s.order(ctx, name, api.UpdateDestroy, order, func(i api.InstanceState) string {
		if i.State == api.StateGone {
			return i.Name + ": is gone"
		}
		return fmt.Sprintf("%s: is being destroyed; %s", i.Name, runs(i))
	})
}

func runs(i api.InstanceState) string {
	if len(i.Running) == 0 {
		return "nothing runs on it"
	}
	return "runs " + strings.Join(i.Running, ", ")
}

// order sends an update to an instance, and shows how it is then.
func (s *Session) order(ctx context.Context, name, updateName string, order any, say func(api.InstanceState) string) error {
	found, err := s.findInstance(ctx, name)
	if err != nil {
		return err
	}
	if !found.running() {
		return fmt.Errorf("instance %q is gone: nothing can be ordered of it any more", name)
	}
	state, err := update[api.InstanceState](ctx, s, found.id, updateName, order)
	if isNotFound(err) {
		return fmt.Errorf("instance %q has just gone", name)
	}
	if err != nil {
		return fmt.Errorf("instance %s: %s", name, reason(err))
	}
	if s.Print.JSON {
		return s.Print.Encode(state.CostsUntil(s.Print.now()))
	}
	s.Print.Linef("%s", say(state))
	return nil
}

// Doing is something that an instance's workflow is busy with.
type Doing struct {
	Activity string `json:"activity"`
	// State is scheduled, started, …
	State       string   `json:"state"`
	Attempt     int32    `json:"attempt"`
	ScheduledAt api.Time `json:"scheduled_at"`
	StartedAt   api.Time `json:"started_at"`
	NextAttempt api.Time `json:"next_attempt"`
	LastFailure string   `json:"last_failure,omitempty"`
	Worker      string   `json:"worker,omitempty"`
}

// lastProbe returns when a probe last succeeded, as the heartbeat of the activity that
// watches the instance says: it is not in the history. Otherwise: known.
func lastProbe(d described, known api.Time) api.Time {
	seen, err := api.LastWatched(d.info.GetPendingActivities())
	if err == nil && seen.LastProbe.After(known.Time) {
		known.Time = seen.LastProbe
	}
	return known
}

// doing returns what an instance's workflow is busy with.
func doing(d described) []Doing {
	all := []Doing{}
	for _, a := range d.info.GetPendingActivities() {
		one := Doing{
			Activity: a.GetActivityType().GetName(), State: strings.ToLower(a.GetState().String()), Attempt: a.GetAttempt(),
			LastFailure: OneLine(a.GetLastFailure().GetMessage()), Worker: a.GetLastWorkerIdentity(),
		}
		if t := a.GetScheduledTime(); t.IsValid() {
			one.ScheduledAt.Time = t.AsTime()
		}
		if t := a.GetLastStartedTime(); t.IsValid() {
			one.StartedAt.Time = t.AsTime()
		}
		if t := a.GetNextAttemptScheduleTime(); t.IsValid() {
			one.NextAttempt.Time = t.AsTime()
		}
		all = append(all, one)
	}
	slices.SortStableFunc(all, func(a, b Doing) int { return cmp.Compare(a.Activity, b.Activity) })
	return all
}
