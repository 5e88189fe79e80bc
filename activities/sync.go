package activities

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"drover/internal/api"
	"drover/internal/cloud"
	"drover/internal/fleetspec"
	"drover/internal/pause"
)

// SyncFleet compares, at an interval, the cloud's list with what the fleet knows, and
// returns when two looks in a row find the same difference. The cloud is listed first:
// what is created meanwhile is known to the fleet by then.
func (a *Activities) SyncFleet(ctx context.Context, in api.SyncInput) (api.SyncResult, error) {
	ctx, stop := long(ctx, func() any { return nil })
	defer stop()
	driver, err := a.driver(in.Fleet, in.Driver, in.Local, in.Faults)
	if err != nil {
		return api.SyncResult{}, err
	}
	if in.Once {
		in.Interval = fleetspec.Duration(time.Second)
	}
	var before api.SyncResult
	for looks := 1; ; looks++ {
		if pause.For(ctx, in.Interval.D()) != nil {
			return api.SyncResult{}, interrupted(ctx)
		}
		now, err := a.compare(ctx, driver, in.Fleet)
		if interruption := interrupted(ctx); interruption != nil {
			return api.SyncResult{}, interruption
		}
		if err != nil {
			return api.SyncResult{}, again(in.Interval.D(), err)
		}
		agreed := agree(before, now)
		if len(agreed.Found)+len(agreed.Vanished) > 0 || in.Once && looks == 2 {
			return agreed, nil
		}
		before = now
	}
}

// agree returns what both looks have found.
func agree(a, b api.SyncResult) (both api.SyncResult) {
	for _, found := range b.Found {
		if slices.ContainsFunc(a.Found, func(f api.Found) bool { return f.Name == found.Name }) {
			both.Found = append(both.Found, found)
		}
	}
	for _, name := range b.Vanished {
		if slices.Contains(a.Vanished, name) {
			both.Vanished = append(both.Vanished, name)
		}
	}
	return both
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
