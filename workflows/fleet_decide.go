package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
	"drover/internal/schedule"
)

// decide has package schedule say what to do about the fleet as it is now.
func (f *fleet) decide(ctx workflow.Context) {
	f.news = false
	f.batch++
	f.effort += len(f.containers) + len(f.instances)
	f.world = schedule.World{ // in the memory of the last one: it may have megabytes
		Now: workflow.Now(ctx), Types: f.types, Shapes: f.shapes, Learnt: f.learnt,
		Limits:     schedule.LimitsOf(f.spec),
		Instances:  slices.Grow(f.world.Instances[:0], len(f.instances))[:len(f.instances)],
		Containers: slices.Grow(f.world.Containers[:0], len(f.containers))[:len(f.containers)],
	}
	if f.deleting {
		f.world.Limits.MinIdle = 0
	}
	for k, m := range f.instances {
		f.world.Instances[k] = schedule.Instance{Name: m.Name, Type: m.Type, Phase: m.phase(), IdleSince: m.IdleSince, Doubtful: m.isDoubtful(), Brief: m.Brief}
	}
	f.waits = f.awaitsListings()
	for k, c := range f.containers {
		f.world.Containers[k], c.at = c.Container, k
		if c.again && f.waits && c.Binding == schedule.Queued {
			f.world.Containers[k].Priority = -1 // it may run on one of them
		}
	}
	if !f.prepared {
		f.decision, f.wake = schedule.Decision{}, time.Time{}
		return
	}
	f.decision = schedule.Decide(&f.world)
	f.wake = f.decision.Wake
}

// awaitsListings reports whether an instance that was found in the cloud's list has not
// said yet what runs on it.
func (f *fleet) awaitsListings() bool {
	return slices.ContainsFunc(f.instances, func(m *machine) bool { return m.State == api.StateUnknown && !m.Reported })
}

// phase is the instance's state in the scheduler's terms.
func (m *machine) phase() schedule.Phase {
	switch {
	case m.State == api.StateShutdown || m.State == api.StateGone || m.Leaving || m.Behavior == api.Drain:
		return schedule.Leaving
	case m.Behavior == api.Hold || m.State == api.StateUnknown || len(m.Strangers) > 0:
		return schedule.Parked
	case m.State == api.StateBooting && !m.Accepted:
		return schedule.Creating
	case m.State == api.StateBooting:
		return schedule.Booting
	}
	return schedule.Up
}

// isDoubtful reports whether creating the instance failed, and it is not known yet whether
// it exists all the same.
func (m *machine) isDoubtful() bool { return m.State == api.StateShutdown && !m.Accepted }

// carryOut does what was decided: one round of messages, to instances that start,
// to instances that get orders and to containers that end.
func (f *fleet) carryOut(ctx workflow.Context) {
	to := post{run: f.info.WorkflowExecution.RunID, seq: f.batch, messages: f.outbox}
	f.outbox = nil
	created := f.create(ctx, &to)
	f.assign(ctx, created)
	f.lookAhead(ctx)
	for _, name := range f.decision.ShutDown {
		m := f.byName[name]
		m.Leaving = true
		m.Orders.Leave = "makes room for another type"
	}
	f.keepWarm()
	if f.deleting && len(f.containers) == 0 {
		f.letGo()
	}
	receivers := f.postOrders(&to)
	f.show(ctx)
	if len(to.messages) == 0 {
		return
	}
	summary := fmt.Sprintf("%d messages; %d start, %d instances created", len(to.messages), len(f.decision.Assign), len(created))
	delivery, err := deliver(ctx, summary, to.messages)
	if err != nil {
		f.log.Error("messages could not be delivered", "error", err)
		return
	}
	f.undelivered(ctx, to.messages, delivery, receivers)
}

// create starts the workflows of new instances and returns their names.
func (f *fleet) create(ctx workflow.Context, to *post) []string {
	names := make([]string, 0, len(f.decision.Create))
	spec := f.instanceSpec()
	for _, creation := range f.decision.Create {
		name := f.name()
		f.addInstance(name, creation.Type)
		for _, t := range f.spec.InstanceTypes {
			if t.Name == creation.Type {
				to.startInstance(api.InstanceInput{Name: name, Type: t, Spec: spec, Incarnation: milliseconds(workflow.Now(ctx))})
			}
		}
		names = append(names, name)
	}
	return names
}

// assign binds containers to instances, as decided.
func (f *fleet) assign(ctx workflow.Context, created []string) {
	for _, c := range f.containers {
		if c.Binding == schedule.Assigned {
			c.Binding, c.Instance = schedule.Queued, ""
		}
	}
	for _, r := range f.decision.Reserve {
		c := f.byID[r.Container]
		c.Binding, c.Instance = schedule.Assigned, r.Instance
		if r.Instance == "" {
			c.Instance = created[r.Creation]
		}
	}
	for _, a := range f.decision.Assign {
		c, m := f.byID[a.Container], f.byName[a.Instance]
		f.give(ctx, c, m, nil)
	}
}

// give gives a container to an instance: now or, if there are attempts that it is to begin
// after, ahead.
func (f *fleet) give(ctx workflow.Context, c *member, m *machine, after []string) {
	c.Binding, c.Instance, c.Since = schedule.Running, m.Name, workflow.Now(ctx)
	c.Next, c.after = len(after) > 0, after
	c.highest++
	c.attempt = c.highest
	c.used++
	c.revoked = false
	m.containers++
	m.Orders.Run = append(m.Orders.Run, f.assignment(c, m))
}

// assignment is the present attempt of a container on an instance.
func (f *fleet) assignment(c *member, m *machine) api.Assignment {
	return api.Assignment{
		Container: c.ID, WorkflowID: c.workflow, Attempt: c.attempt, Count: c.used, Label: c.label, QueuedAt: c.queuedAt,
		Share: share(f.shapes[c.Shape], f.instanceType(m.Type)), After: c.after,
	}
}

// share is the part of an instance that a container takes: of what it takes most of.
func share(s schedule.Shape, t schedule.InstanceType) float64 {
	part := func(a, b int64) float64 {
		if b <= 0 {
			return 0
		}
		return float64(a) / float64(b)
	}
	most := max(part(s.MilliCPU, t.MilliCPU), part(s.Memory, t.Memory), part(s.Scratch, t.Scratch), part(s.GPUs, t.GPUs))
	return min(most, 1)
}

// keepWarm tells instances whether they are kept beyond their idle timeout, when that
// has changed.
func (f *fleet) keepWarm() {
	keep := make(map[string]bool, len(f.decision.Keep))
	for _, name := range f.decision.Keep {
		keep[name] = true
	}
	for _, m := range f.instances {
		if kept := keep[m.Name]; kept != m.Kept {
			m.Kept = kept
			m.Orders.Keep = &kept
		}
	}
}

// letGo has every instance of a fleet that is being deleted leave.
func (f *fleet) letGo() {
	for _, m := range f.instances {
		if !m.Leaving {
			m.Leaving = true
			m.Orders.Drain = "the fleet is being deleted"
		}
	}
}

// postOrders adds the instances' orders to the messages and returns which message
// goes to which instance. Orders wait until the cloud has accepted the instance.
func (f *fleet) postOrders(to *post) map[int]*machine {
	receivers := map[int]*machine{}
	for _, m := range f.instances {
		o := &m.Orders
		if len(o.Run) == 0 && len(o.Resume) == 0 && len(o.Kill) == 0 && len(o.Revoke) == 0 && o.Leave == "" && o.Drain == "" && o.Keep == nil && !o.Greet {
			continue
		}
		m.OrdersSeq++
		o.Seq, o.Fleet = m.OrdersSeq, f.info.FirstRunID
		receivers[len(to.messages)] = m
		to.signal(api.InstanceWorkflowID(f.spec.Name, m.Name), api.SignalOrders, *o)
		m.Orders = api.Orders{}
	}
	return receivers
}

// instanceType returns a type of the spec, or one of that name which nothing fits on.
func (f *fleet) instanceType(name string) schedule.InstanceType {
	for _, t := range f.types {
		if t.Name == name {
			return t
		}
	}
	return schedule.InstanceType{Name: name}
}

// show puts the fleet's state into the workflow's current details.
func (f *fleet) show(ctx workflow.Context) {
	s := f.answer()
	text := fmt.Sprintf("fleet **%s**: %d queued, %d assigned, %d running; %d instances\n\n", s.Name, s.Queued, s.Assigned, s.Running, len(s.Instances))
	if f.problem != "" {
		text += "**can't work**: " + f.problem + "\n\n"
	}
	for k, m := range s.Instances {
		if k == 50 {
			text += fmt.Sprintf("- and %d more\n", len(s.Instances)-k)
			break
		}
		text += fmt.Sprintf("- %s: %s, %s, %d containers\n", m.Name, m.Type, m.State, m.Containers)
	}
	workflow.SetCurrentDetails(ctx, text)
}

// milliseconds is the time in milliseconds since 1970, 0 for the zero time.
func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
