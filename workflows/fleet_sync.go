package workflows

import (
	"cmp"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
	"drover/internal/fleetspec"
	"drover/internal/schedule"
)

// sync compares the cloud's list with what the fleet knows. The activity looks again
// and again, and returns what it finds: what two looks in a row agree on, and what the next
// one has to agree on. It also returns from its first look in a run of the workflow. So the
// fleet knows when the last one was, however short its runs are, and one that is long
// costs nothing more.
func (f *fleet) sync(ctx workflow.Context) {
	for looked := false; ; {
		if workflow.Await(ctx, func() bool { return f.prepared }) != nil {
			return
		}
		in := f.syncInput()
		in.Report, in.Suspected = !looked, f.looks.Suspected
		in.Wait = fleetspec.Duration(max(0, f.looks.Last.Add(in.Interval.D()).Sub(workflow.Now(ctx))))
		result, err := f.differences(ctx, in)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			f.stay(ctx)
			looked = true
			f.looks = api.Looks{Last: workflow.Now(ctx), Suspected: result.Suspected}
			f.synced(ctx, result)
		case !temporal.IsCanceledError(err):
			f.log.Error("comparing failed", "error", err)
			pause := workflow.TimerOptions{Summary: "until the cloud's list is compared again"}
			if workflow.NewTimerWithOptions(ctx, in.Interval.D(), pause).Get(ctx, nil) != nil {
				return
			}
		}
	}
}

// differences returns what the activity has found. It is cancelled when what it is to do has
// changed.
func (f *fleet) differences(ctx workflow.Context, in api.SyncInput) (result api.SyncResult, err error) {
	options := activityOptions("compare the cloud's list with fleet "+f.spec.Name, forever)
	attempt, cancel := workflow.WithCancel(workflow.WithActivityOptions(ctx, options))
	defer cancel()
	found := workflow.ExecuteActivity(attempt, api.SyncFleetActivity, in)
	changed := func() bool { return f.spec.Intervals.Sync != in.Interval || f.spec.Faults != in.Faults }
	if err := workflow.Await(ctx, func() bool { return found.IsReady() || changed() }); err != nil {
		return result, err
	}
	if !found.IsReady() {
		cancel()
	}
	err = found.Get(ctx, &result)
	return result, err
}

// isEmpty reports whether the cloud has no instance of the fleet, and takes in what it
// has: a creation that was given up may have succeeded later. A fleet that no worker
// could prepare has asked the cloud for nothing.
func (f *fleet) isEmpty(ctx workflow.Context) bool {
	if f.ready.OutputStore == "" {
		return true
	}
	in := f.syncInput()
	in.Once = true
	options := activityOptions("look whether the cloud still has instances of fleet "+f.spec.Name, time.Minute)
	var result api.SyncResult
	err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), api.SyncFleetActivity, in).Get(ctx, &result)
	if err != nil {
		f.log.Error("looking for instances failed", "error", err)
		return false
	}
	f.synced(ctx, result)
	letOthersRun(ctx) // a container may have come in meanwhile, and must be told
	return f.over()
}

func (f *fleet) syncInput() api.SyncInput {
	return api.SyncInput{Fleet: f.spec.Name, Driver: f.spec.Driver, Local: f.spec.Local, Faults: f.spec.Faults, Interval: f.spec.Intervals.Sync}
}

// recall has containers that an earlier fleet of this name knew submit themselves again.
func (f *fleet) recall(ctx workflow.Context) {
	if workflow.Await(ctx, func() bool { return f.prepared }) != nil {
		return
	}
	options := activityOptions("have the containers of an earlier fleet "+f.spec.Name+" submit themselves again", 2*time.Minute)
	for !f.recalled {
		in := api.RecallInput{Fleet: f.spec.Name, Before: f.since, Page: f.recallPage, RequestID: f.info.FirstRunID}
		var next []byte
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), api.RecallActivity, in).Get(ctx, &next)
		if err != nil {
			f.log.Error("containers of an earlier fleet could not be told", "error", err)
			return
		}
		f.stay(ctx)
		f.recallPage, f.recalled = next, len(next) == 0
	}
}

// synced adopts what was found, and gives up what has vanished: an instance without a
// workflow that the cloud does not have.
func (f *fleet) synced(ctx workflow.Context, result api.SyncResult) {
	if len(result.Found)+len(result.Vanished) > 0 {
		f.stay(ctx)
	}
	for _, found := range result.Found {
		f.adopt(ctx, found)
	}
	for _, name := range result.Vanished {
		m := f.byName[name]
		if m == nil {
			continue
		}
		f.news = true
		for _, c := range f.on(m) {
			if c.Binding == schedule.Running {
				f.ended(ctx, m, api.Ended{Container: c.ID, Attempt: c.attempt, How: api.Lost, Detail: "the instance and its workflow are gone"})
			}
		}
		f.removeInstance(m)
	}
}

// adopt starts the workflow of an instance that was found in the cloud's list. If it
// runs already, it is only asked to report.
func (f *fleet) adopt(ctx workflow.Context, found api.Found) {
	m := f.byName[found.Name]
	if m == nil {
		m = f.addInstance(found.Name, found.Type)
		m.Behavior = found.Behavior
	}
	m.State = api.StateUnknown // whatever its last workflow has said: it may run what that has not told
	m.Accepted, m.CloudID, m.Heard = true, found.CloudID, false
	m.Leaving, m.Reported, f.news = false, false, true
	m.Orders = api.Orders{Greet: true}
	f.placedAgain(m)
	instanceType := fleetspec.InstanceType{Name: cmp.Or(found.Type, m.Type)}
	known := false
	for _, t := range f.spec.InstanceTypes {
		if t.Name == instanceType.Name {
			instanceType, known = t, true
		}
	}
	switch {
	case instanceType.Name == "":
		m.Orders.Drain = "it has no tag that says its type"
	case !known:
		m.Orders.Drain = fmt.Sprintf("type %q is not in the fleet's spec", instanceType.Name)
	}
	spec := f.instanceSpec()
	spec.InitCommand = "" // it has been run, and thousands may be found at once
	to := post{run: f.info.WorkflowExecution.RunID, seq: f.batch, messages: f.outbox}
	to.startInstance(api.InstanceInput{
		Name: found.Name, Type: instanceType, Spec: spec, Incarnation: milliseconds(workflow.Now(ctx)), Found: &found,
	})
	f.outbox = to.messages
}

// placedAgain gives an instance the attempts again that it was given and that have not
// ended.
func (f *fleet) placedAgain(m *machine) {
	for _, c := range f.on(m) {
		if c.Binding != schedule.Running {
			continue
		}
		m.Orders.Resume = append(m.Orders.Resume, f.assignment(c, m))
		if c.cancel {
			m.Orders.Kill = append(m.Orders.Kill, c.onInstance())
		}
		if c.revoked {
			m.Orders.Revoke = append(m.Orders.Revoke, c.onInstance())
		}
	}
}

// instanceSpec is the part of the spec that instances need.
func (f *fleet) instanceSpec() api.InstanceSpec {
	spec := api.InstanceSpecOf(f.spec)
	spec.Output.Store = f.ready.OutputStore
	return spec
}
