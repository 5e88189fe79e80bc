package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
	"drover/internal/fleetspec"
	"drover/internal/schedule"
)

// handle registers the queries and the updates.
func (f *fleet) handle(ctx workflow.Context) error {
	state := func() (api.FleetState, error) { return f.answer(), nil }
	return errors.Join(
		workflow.SetQueryHandler(ctx, api.QueryState, state),
		workflow.SetQueryHandler(ctx, api.QueryContainers, f.page),
		workflow.SetUpdateHandlerWithOptions(ctx, api.UpdateApply,
			func(ctx workflow.Context, spec fleetspec.Spec) (api.FleetState, error) {
				f.stay(ctx)
				f.apply(spec, workflow.Now(ctx))
				return f.answer(), nil
			}, workflow.UpdateHandlerOptions{Validator: f.refuseSpec, Description: "change the fleet's spec"}),
		workflow.SetUpdateHandlerWithOptions(ctx, api.UpdateDelete,
			func(ctx workflow.Context, _ api.DeleteFleet) (api.FleetState, error) {
				f.stay(ctx)
				f.deleting, f.news = true, true
				return f.answer(), nil
			}, workflow.UpdateHandlerOptions{Validator: f.refuseDelete, Description: "delete the fleet"}),
	)
}

// refuseSpec says why the fleet's spec can't be changed to this one, if so.
func (f *fleet) refuseSpec(spec fleetspec.Spec) error {
	if err := fleetspec.Validate(spec); err != nil {
		return err
	}
	switch {
	case spec.Name != f.spec.Name:
		return fmt.Errorf("name: %q can't become %q: a fleet keeps its name", f.spec.Name, spec.Name)
	case spec.Driver != f.spec.Driver:
		return fmt.Errorf("driver: %q can't become %q: delete the fleet and create it anew", f.spec.Driver, spec.Driver)
	case f.deleting:
		return fmt.Errorf("fleet %s is being deleted", f.spec.Name)
	}
	return nil
}

// apply changes the spec. What runs is not touched; instances of types that are no
// longer in it drain.
func (f *fleet) apply(spec fleetspec.Spec, now time.Time) {
	if len(fleetspec.Diff(f.spec, spec)) == 0 {
		return
	}
	f.spec, f.types, f.news = spec, schedule.TypesOf(spec), true
	f.applied++
	f.problem = "" // the new spec is prepared next; it may be what mends it
	f.learnt.Forget(now)
	for _, m := range f.instances {
		known := slices.ContainsFunc(spec.InstanceTypes, func(t fleetspec.InstanceType) bool { return t.Name == m.Type })
		if !known {
			m.Orders.Drain = fmt.Sprintf("type %s is no longer in the fleet's spec", m.Type)
		}
	}
}

// refuseDelete says why the fleet can't be deleted, if so.
func (f *fleet) refuseDelete(d api.DeleteFleet) error {
	if n := len(f.containers); n > 0 && !d.Drain {
		containers := fmt.Sprintf("%d containers that have", n)
		if n == 1 {
			containers = "1 container that has"
		}
		return fmt.Errorf("fleet %s has %s not ended: drain it (--drain), or cancel them first", f.spec.Name, containers)
	}
	for _, m := range f.instances {
		if m.Behavior == api.Hold {
			return fmt.Errorf("instance %s is on hold: drain, run or destroy it first", m.Name)
		}
	}
	return nil
}

// page answers QueryContainers.
func (f *fleet) page(q api.ContainersQuery) (api.ContainersPage, error) {
	if q.ID != "" {
		q.IDs = append(q.IDs, q.ID)
	}
	if len(q.IDs) > 0 {
		page := api.ContainersPage{Containers: []api.ContainerState{}}
		for _, id := range q.IDs {
			if c := f.byID[id]; c != nil {
				page.Total++
				page.Containers = append(page.Containers, f.describe(c))
			}
		}
		return page, nil
	}
	all := f.inOrder()
	page := api.ContainersPage{Total: len(all), Containers: []api.ContainerState{}}
	limit := min(cmp.Or(q.Limit, api.PageLimit), 2*api.PageLimit)
	for _, c := range all[min(max(q.Offset, 0), len(all)):] {
		if len(page.Containers) == limit {
			break
		}
		page.Containers = append(page.Containers, f.describe(c))
	}
	return page, nil
}

// ordered is the containers in order, for as long as nothing can have changed: their list
// is asked for page by page.
type ordered struct {
	containers []*member
	batch      int64
	history    int
}

// inOrder returns the containers in the order in which they are scheduled.
func (f *fleet) inOrder() []*member {
	if o, history := &f.ordered, f.info.GetCurrentHistoryLength(); o.batch != f.batch || o.history != history || o.containers == nil {
		*o = ordered{slices.Clone(f.containers), f.batch, history}
		slices.SortFunc(o.containers, order)
	}
	return f.ordered.containers
}

// order is the order in which containers are scheduled.
func order(a, b *member) int {
	return cmp.Or(-cmp.Compare(a.Binding, b.Binding), -cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Order, b.Order))
}

// describe says where a container is, and why.
func (f *fleet) describe(c *member) api.ContainerState {
	s := api.ContainerState{
		ID: c.ID, Fleet: f.spec.Name, Instance: c.Instance, Command: c.label, Priority: c.Priority,
		QueuedAt: api.Time{Time: c.queuedAt}, StartedAt: api.Time{Time: c.Since}, State: api.ContainerQueued,
		WorkflowID: c.workflow, Attempt: c.attempt,
	}
	switch {
	case c.Next && !c.cancel:
		s.State, s.After, s.StartedAt = api.ContainerAssigned, c.after, api.Time{}
		s.Status = fmt.Sprintf("next on %s: begins when %s ends", c.Instance, oneOf(c.after))
	case c.Binding == schedule.Running && c.cancel:
		s.State, s.Status = api.ContainerRunning, "being killed on "+c.Instance
	case c.Binding == schedule.Running:
		s.State, s.Status = api.ContainerRunning, "runs on "+c.Instance
	case f.problem != "" && !f.prepared:
		s.Status = "the fleet can't work: " + f.problem
	case !f.prepared:
		s.Status = "waiting for a worker to prepare the fleet"
	case c.again && c.Binding == schedule.Queued && f.waits:
		s.Status = "waiting until every instance found in the cloud's list has said what runs on it"
	case c.at >= 0 && c.at < len(f.world.Containers) && f.world.Containers[c.at].ID == c.ID:
		s.Status = f.decision.StatusAt(c.at)
	}
	if c.Binding == schedule.Assigned {
		s.State = api.ContainerAssigned
	}
	if s.Status == "" {
		s.Status = "waiting for the next decision"
	}
	if story := f.stories[c.ID]; len(story) > 0 {
		s.Status += " (" + story[len(story)-1] + ")"
	}
	return s
}

// pack returns what the next run of the workflow must know.
func (f *fleet) pack() api.FleetCarried {
	carried := api.FleetCarried{
		Ready: f.ready, Learnt: f.learnt, Stories: f.stories, Totals: f.totals,
		NextOrder: f.nextOrder, Names: f.names, Since: f.since, Deleting: f.deleting,
		Outbox: f.outbox, Prepared: f.prepared, Recalled: f.recalled, RecallPage: f.recallPage, Looks: f.looks,
	}
	shapes := map[int]int{} // only those in use, or there would be ever more of them
	for _, c := range f.containers {
		shape, seen := shapes[c.Shape]
		if !seen {
			shape = len(carried.Shapes)
			shapes[c.Shape], carried.Shapes = shape, append(carried.Shapes, f.shapes[c.Shape])
		}
		p := api.CarriedContainer{
			ID: c.ID, Shape: shape, Priority: c.Priority, Order: c.Order, Attempts: c.attempts, Attempt: c.attempt, Used: c.used, Highest: c.highest,
			QueuedMS: milliseconds(c.queuedAt), SentMS: milliseconds(c.Since), Label: c.label, Workflow: c.workflow, Cancel: c.cancel,
			After: strings.Join(c.after, ","), Revoked: c.revoked,
		}
		if c.Binding == schedule.Running {
			p.Instance = c.Instance
		}
		carried.Queue = append(carried.Queue, p)
	}
	for _, m := range f.instances {
		carried.Instances = append(carried.Instances, m.CarriedInstance)
	}
	return carried
}

// unpack is the inverse of pack. Reservations are decided anew.
func (f *fleet) unpack(carried api.FleetCarried) {
	f.ready, f.shapes, f.learnt, f.totals = carried.Ready, carried.Shapes, carried.Learnt, carried.Totals
	f.nextOrder, f.names, f.since, f.deleting = carried.NextOrder, carried.Names, carried.Since, carried.Deleting
	f.prepared, f.outbox, f.looks = carried.Prepared, carried.Outbox, carried.Looks
	f.recalled, f.recallPage = carried.Recalled, carried.RecallPage
	if carried.Stories != nil {
		f.stories = carried.Stories
	}
	for _, i := range carried.Instances {
		f.addInstance(i.Name, i.Type).CarriedInstance = i
	}
	for _, p := range carried.Queue {
		c := &member{
			Container: schedule.Container{ID: p.ID, Shape: p.Shape, Priority: p.Priority, Order: p.Order, Instance: p.Instance,
				Since: fromMilliseconds(p.SentMS)},
			attempts: p.Attempts, attempt: p.Attempt, used: p.Used, highest: p.Highest, queuedAt: fromMilliseconds(p.QueuedMS),
			label: p.Label, workflow: p.Workflow, cancel: p.Cancel, revoked: p.Revoked, at: -1,
			again: f.isOlder(fromMilliseconds(p.QueuedMS)),
		}
		if m := f.byName[p.Instance]; m != nil {
			c.Binding = schedule.Running
			m.containers++
			if p.After != "" {
				c.Next, c.after, m.next = true, strings.Split(p.After, ","), c
			}
		}
		f.add(c)
	}
	for _, m := range f.instances {
		f.claim(m)
	}
}

func fromMilliseconds(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
