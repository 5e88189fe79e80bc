package workflows

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
	"drover/internal/fleetspec"
	"drover/internal/schedule"
)

// listen starts the coroutines that fold in signals.
func (f *fleet) listen(ctx workflow.Context) {
	workflow.GoNamed(ctx, "requests", func(ctx workflow.Context) {
		for channel := workflow.GetSignalChannel(ctx, api.SignalRequest); ; {
			var request api.Request
			channel.Receive(ctx, &request)
			f.take(ctx, api.Mail{Requests: []api.Request{request}})
		}
	})
	workflow.GoNamed(ctx, "reports", func(ctx workflow.Context) {
		for channel := workflow.GetSignalChannel(ctx, api.SignalReport); ; {
			var report api.Report
			channel.Receive(ctx, &report)
			f.take(ctx, api.Mail{Reports: []api.Report{report}})
		}
	})
	workflow.GoNamed(ctx, "mail", func(ctx workflow.Context) {
		for channel := workflow.GetSignalChannel(ctx, api.SignalMail); ; {
			var mail api.Mail
			channel.Receive(ctx, &mail)
			f.take(ctx, mail)
		}
	})
}

// take takes in one signal.
func (f *fleet) take(ctx workflow.Context, mail api.Mail) {
	f.received++
	if h := f.handover; h != nil {
		h.add(mail)
		return
	}
	for _, request := range mail.Requests {
		f.request(ctx, request)
	}
	for _, report := range mail.Reports {
		f.report(ctx, report)
	}
}

// request folds in what a container asks.
func (f *fleet) request(ctx workflow.Context, r api.Request) {
	f.news = true
	if err := api.CheckContainerID(r.ID); err != nil {
		f.log.Warn("ignored a request", "error", err)
		return
	}
	c := f.byID[r.ID]
	if c == nil && (r.Again || r.Kind == api.Cancel) && f.isTold(r.ID) {
		return // or its result would be another one
	}
	if c == nil && r.Kind == api.Submit && !r.Again && f.had.has(r) {
		return // it came again: whoever sent it was not sure that it has arrived
	}
	switch r.Kind {
	case api.Submit:
		f.submit(ctx, c, r)
	case api.Prioritize:
		if c != nil {
			c.Priority = r.Priority
		}
	case api.Cancel:
		f.cancel(c, r)
	}
}

// submit queues a container, once.
func (f *fleet) submit(ctx workflow.Context, known *member, r api.Request) {
	to := api.WorkflowOf(r.ID, r.WorkflowID)
	shape := schedule.ShapeOf(r.VCPUs, r.Memory, r.Scratch, r.GPUs, r.Preemptible)
	switch {
	case known != nil && known.workflow == r.WorkflowID:
		return
	case known != nil:
		f.tell(to, api.Outcome{Refused: fmt.Sprintf("container ID %s is in use by workflow %s", r.ID, api.WorkflowOf(known.ID, known.workflow))})
		return
	case f.deleting:
		f.tell(to, api.Outcome{Refused: fmt.Sprintf("fleet %s is being deleted", f.spec.Name)})
		return
	}
	if r.Image && f.spec.Engine == fleetspec.EngineProcess {
		f.tell(to, api.Outcome{Refused: fmt.Sprintf("fleet %s runs no images: its engine is %s; allowed: a container without an image, or a fleet with engine docker or podman",
			f.spec.Name, f.spec.Engine)})
		return
	}
	if err := schedule.Check(shape, f.types); err != nil {
		f.tell(to, api.Outcome{Refused: fmt.Sprintf("fleet %s can't run it: %v", f.spec.Name, err)})
		return
	}
	f.nextOrder++
	f.totals.Submitted++
	c := &member{
		Container: schedule.Container{ID: r.ID, Shape: f.shape(shape), Priority: r.Priority, Order: f.nextOrder},
		attempts:  r.Attempts, queuedAt: r.QueuedAt, label: r.Label, workflow: r.WorkflowID, at: -1,
		again: f.isOlder(r.QueuedAt),
	}
	f.add(c)
	if f.strangers[c.ID] {
		delete(f.strangers, c.ID)
		for _, m := range f.instances {
			f.claim(m) // it runs there since before this fleet was created
		}
	}
}

// isOlder reports whether a container was first submitted before this fleet was created,
// and may run already. Clocks differ, and one that is wrongly taken for older only waits
// for the listings of instances that were found.
func (f *fleet) isOlder(queuedAt time.Time) bool { return queuedAt.Before(f.since.Add(time.Second)) }

// cancel takes a container from the queue, or has it killed.
func (f *fleet) cancel(c *member, r api.Request) {
	switch {
	case c == nil:
		f.tell(api.WorkflowOf(r.ID, r.WorkflowID), api.Outcome{Cancelled: true})
	case c.Binding != schedule.Running:
		f.remove(c)
		f.totals.Cancelled++
		f.tell(api.WorkflowOf(c.ID, c.workflow), api.Outcome{Cancelled: true})
	case !c.cancel:
		c.cancel = true
		if m := f.byName[c.Instance]; m != nil {
			m.Orders.Kill = append(m.Orders.Kill, c.onInstance())
		}
	}
}

// report folds in what an instance reports.
func (f *fleet) report(ctx workflow.Context, r api.Report) {
	f.news = true
	if r.Instance == "" || r.Seq == 0 {
		f.log.Warn("ignored a report without instance or number")
		return
	}
	m := f.byName[r.Instance]
	if m == nil {
		if r.Gone {
			return
		}
		m = f.addInstance(r.Instance, r.Type)
		m.Heard = true
	}
	if r.Incarnation < m.Incarnation {
		return
	}
	m.tells(r)
	for _, ended := range r.Ended {
		f.ended(ctx, m, ended)
	}
	for _, name := range r.Refused {
		if id, attempt, err := api.ParseOnInstance(name); err == nil {
			f.takeBack(m, id, attempt)
		}
	}
	if r.Incarnation > m.Incarnation || r.Seq >= m.ReportSeq {
		f.seen(ctx, m, r) // what was refused because another attempt runs there is claimed
	}
	if r.Gone {
		f.removeInstance(m)
	}
}

// seen takes in where an instance stands, as its latest report says.
func (f *fleet) seen(ctx workflow.Context, m *machine, r api.Report) {
	m.Incarnation, m.ReportSeq, m.OrdersSeq = r.Incarnation, r.Seq, max(m.OrdersSeq, r.OrdersSeen)
	m.Type = cmp.Or(r.Type, m.Type) // what was bought, whatever a workflow task that failed had decided
	m.Reported = m.Reported || r.Listed
	if r.CloudID != "" && !m.Accepted {
		m.Accepted = true
		f.totals.Created++
		f.learnt.Created(f.instanceType(m.Type), f.accepted(), workflow.Now(ctx))
		f.learnt.Passed(fromMilliseconds(m.Incarnation), workflow.Now(ctx))
	}
	m.CloudID, m.Behavior, m.Kept = r.CloudID, r.Behavior, r.Kept
	boots := m.State == api.StateBooting && !m.Heard // else it was found, or was up before
	if r.State == api.StateIdle && m.State != api.StateIdle {
		m.IdleSince = workflow.Now(ctx)
	}
	m.State = r.State
	if r.Refusal != nil {
		f.refused(ctx, m, r)
	} else if boots {
		f.bootOver(ctx, m, r)
	}
	m.Strangers = slices.DeleteFunc(r.Running, func(name string) bool {
		return slices.ContainsFunc(r.Ended, func(e api.Ended) bool {
			return api.Assignment{Container: e.Container, Attempt: e.Attempt}.OnInstance() == name
		})
	})
	f.claim(m)
}

// claim binds the containers that an instance says it runs, and that this fleet, when
// it was created anew, thinks are queued. An instance that has found them by itself is told
// what they cost. Until the others have submitted themselves
// again, the instance has strangers and takes nothing.
func (f *fleet) claim(m *machine) {
	m.Strangers = slices.DeleteFunc(m.Strangers, func(name string) bool {
		id, attempt, err := api.ParseOnInstance(name)
		c := f.byID[id]
		if err != nil || c == nil {
			f.strangers[id] = true
			return false
		}
		if c.Binding != schedule.Running {
			c.Binding, c.Instance, c.attempt = schedule.Running, m.Name, attempt
			c.highest, c.used = max(c.highest, attempt), max(c.used, 1)
			m.containers++
			m.Orders.Resume = append(m.Orders.Resume, f.assignment(c, m))
		}
		return true
	})
}

// ended folds in the end of an attempt. After one that the machine failed, the
// container is queued again in its old place, as long as it has attempts left.
func (f *fleet) ended(ctx workflow.Context, m *machine, e api.Ended) {
	c := f.byID[e.Container]
	if c == nil || c.Instance != m.Name || c.Binding != schedule.Running || c.attempt != e.Attempt {
		return
	}
	to := api.WorkflowOf(c.ID, c.workflow)
	switch {
	case e.How == api.Exited:
		f.exits(ctx, m, c)
		f.totals.Exited++
		f.remove(c)
		return
	case e.How == api.Unwanted:
		f.remove(c)
		return
	case e.How == api.Revoked:
		m.Brief = false
		f.takeBack(m, c.ID, c.attempt)
		return
	case c.cancel:
		f.totals.Cancelled++
		f.remove(c)
		f.tell(to, api.Outcome{Cancelled: true, Story: fmt.Sprintf("cancelled; attempt %d on %s: %s%s", c.used, m.Name, e.How, because(e.Detail))})
		return
	}
	story := append(f.stories[c.ID], fmt.Sprintf("attempt %d on %s: %s%s", c.used, m.Name, e.How, because(e.Detail)))
	if c.used >= c.attempts {
		f.totals.Failed++
		f.remove(c)
		f.tell(to, api.Outcome{Failed: strings.Join(story, "; ")})
		return
	}
	f.stories[c.ID] = story
	f.totals.Retried++
	f.requeue(c)
}

// tell puts an outcome into the outbox.
func (f *fleet) tell(workflowID string, outcome api.Outcome) {
	to := post{run: f.info.WorkflowExecution.RunID, seq: f.batch, messages: f.outbox}
	to.signal(workflowID, api.SignalOutcome, outcome)
	f.outbox = to.messages
}
