package activities

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"

	"drover/internal/api"
	"drover/internal/cloud"
	"drover/internal/pause"
)

// SyncFleet compares, at an interval, the cloud's list with what the fleet knows. It returns
// what two looks in a row find, and what only the last one has found: the next call has to
// confirm that. The cloud is listed first: what is created meanwhile is known to the fleet by
// then.
func (a *Activities) SyncFleet(ctx context.Context, in api.SyncInput) (api.SyncResult, error) {
	ctx, stop := long(ctx, func() any { return nil })
	defer stop()
	driver, err := a.driver(in.Fleet, in.Driver, in.Local, in.Faults)
	if err != nil {
		return api.SyncResult{}, err
	}
	if in.Once {
		return a.lookTwice(ctx, driver, in.Fleet)
	}
	for wait := in.Wait; ; wait = in.Interval {
		seen, err := a.look(ctx, wait.D(), in.Interval.D(), func() (api.SyncResult, error) { return a.lookAtOnce(ctx, driver, in.Fleet) })
		if err != nil && in.Report && interrupted(ctx) == nil {
			// The fleet's run may soon be over. The next must not look sooner for that.
			activity.GetLogger(ctx).Warn("comparing failed", "error", err)
			return api.SyncResult{Suspected: in.Suspected, Failed: true}, nil
		}
		if err != nil {
			return seen, err
		}
		if result := confirm(in.Suspected, seen); in.Report || !in.Suspected.IsZero() || !result.Suspected.IsZero() {
			return result, nil
		}
	}
}

// lookTwice looks twice, a moment apart.
func (a *Activities) lookTwice(ctx context.Context, driver cloud.Driver, fleet string) (seen api.SyncResult, err error) {
	const moment = time.Second
	var before api.SyncResult
	compare := func() (api.SyncResult, error) { return a.compare(ctx, driver, fleet) }
	if before, err = a.look(ctx, moment, moment, compare); err == nil {
		seen, err = a.look(ctx, moment, moment, compare)
	}
	return confirm(confirm(api.Suspicion{}, before).Suspected, seen), err
}

// look compares after a while, and has the activity tried again after a delay if that fails.
func (a *Activities) look(ctx context.Context, wait, delay time.Duration, compare func() (api.SyncResult, error)) (seen api.SyncResult, err error) {
	if err = pause.For(ctx, wait); err == nil {
		seen, err = compare()
	}
	if interruption := interrupted(ctx); interruption != nil {
		return api.SyncResult{}, interruption
	}
	if err != nil {
		return api.SyncResult{}, again(delay, err)
	}
	return seen, nil
}

// lookLasts is how long a look may take.
const lookLasts = 2 * time.Minute

// lookAtOnce joins the look that is under way for the fleet, or begins one. It outlasts the
// activity that began it: the run of a busy fleet may end sooner, and the next one joins.
func (a *Activities) lookAtOnce(ctx context.Context, driver cloud.Driver, fleet string) (api.SyncResult, error) {
	look := a.looks.DoChan(fleet, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookLasts)
		defer cancel()
		return a.compare(ctx, driver, fleet)
	})
	select {
	case seen := <-look:
		return seen.Val.(api.SyncResult), seen.Err
	case <-ctx.Done():
		return api.SyncResult{}, ctx.Err()
	}
}

// confirm returns what was suspected and is seen again, and what is suspected now.
func confirm(suspected api.Suspicion, seen api.SyncResult) (result api.SyncResult) {
	for _, found := range seen.Found {
		if slices.Contains(suspected.Found, found.Name) {
			result.Found = append(result.Found, found)
		} else {
			result.Suspected.Found = append(result.Suspected.Found, found.Name)
		}
	}
	for _, name := range seen.Vanished {
		if slices.Contains(suspected.Vanished, name) {
			result.Vanished = append(result.Vanished, name)
		} else {
			result.Suspected.Vanished = append(result.Suspected.Vanished, name)
		}
	}
	return result
}

// compare looks once.
func (a *Activities) compare(ctx context.Context, driver cloud.Driver, fleet string) (api.SyncResult, error) {
	var result api.SyncResult
	instances, err := driver.List(ctx)
	if err != nil {
		return result, err
	}
	answer, err := a.client.QueryWorkflow(ctx, api.FleetWorkflowID(fleet), "", api.QueryState)
	if err != nil {
		return result, err
	}
	var state api.FleetState
	if err := answer.Get(&state); err != nil {
		return result, err
	}
	running, err := a.running(ctx, fleet)
	if err != nil {
		return result, err
	}
	alive := func(name string) (bool, error) {
		id := api.InstanceWorkflowID(fleet, name)
		if running[id] {
			return true, nil
		}
		return a.runs(ctx, id) // it may have been started just now
	}
	for _, f := range found(instances) {
		runs, err := alive(f.Name)
		if err != nil {
			return result, err
		}
		if !runs || !slices.ContainsFunc(state.Instances, func(i api.FleetInstanceState) bool { return i.Name == f.Name }) {
			result.Found = append(result.Found, f)
		}
	}
	for _, i := range state.Instances {
		if slices.ContainsFunc(instances, func(c cloud.Instance) bool { return c.Name == i.Name }) {
			continue
		}
		runs, err := alive(i.Name)
		if err != nil {
			return result, err
		}
		if !runs {
			result.Vanished = append(result.Vanished, i.Name)
		}
	}
	return result, nil
}

// running returns the IDs of the workflows of a fleet's instances that run, as far as
// visibility knows: to ask for each of thousands takes long. One that has been terminated
// just now may be among them; the next look finds that.
func (a *Activities) running(ctx context.Context, fleet string) (map[string]bool, error) {
	ids := map[string]bool{}
	err := a.eachRunning(ctx, api.InstanceWorkflow, fleet, func(id string) bool {
		ids[id] = true
		return true
	})
	return ids, err
}

// runs reports whether a workflow runs.
func (a *Activities) runs(ctx context.Context, workflowID string) (bool, error) {
	described, err := a.client.DescribeWorkflowExecution(ctx, workflowID, "")
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		return false, nil
	}
	return described.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING, err
}

// found makes of a driver's list what a fleet adopts, in the order of the names.
func found(instances []cloud.Instance) []api.Found {
	var all []api.Found
	for _, i := range instances {
		behavior, err := api.ParseBehavior(i.Tags[cloud.TagIdleBehavior])
		if err != nil {
			behavior = api.Run
		}
		all = append(all, api.Found{
			Name: i.Name, CloudID: i.CloudID, Type: i.Tags[cloud.TagType], Behavior: behavior, CreatedAt: i.CreatedAt.UTC().Truncate(time.Millisecond),
		})
	}
	slices.SortFunc(all, func(a, b api.Found) int { return strings.Compare(a.Name, b.Name) })
	return all
}
