package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// serve runs containers until the instance must leave, or this run of the workflow
// must end.
func (i *instance) serve(ctx workflow.Context) {
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	if c := i.in.Carried; c != nil {
		for _, a := range c.Containers {
			i.start(ctx, a)
		}
		for _, id := range c.Killing {
			i.kill(ctx, id)
		}
	}
	i.settle(ctx)
	i.report()
	workflow.GoNamed(ctx, "watch", i.watch)
	workflow.GoNamed(ctx, "idle clock", i.idleClock)
	if age := i.in.Spec.Timeouts.MaxAge.D(); age > 0 {
		workflow.GoNamed(ctx, "age", i.ageClock)
	}
	for !i.mustLeave() && !i.continues {
		i.await(ctx, func() bool { return i.mustLeave() || i.mustContinue(ctx) })
		letOthersRun(ctx)
		i.continues = !i.mustLeave() && i.mustContinue(ctx)
	}
}

// mustLeave reports whether the instance is to be destroyed now. Only an order to
// destroy and the cloud itself override hold.
func (i *instance) mustLeave() bool {
	busy := slices.ContainsFunc(i.attempts, func(a *attempt) bool { return !a.givenUp })
	switch {
	case i.destroy || i.gone != "":
		return true
	case i.state.IdleBehavior == api.Hold:
		return false
	case i.late != "":
		return i.state.State != api.StateUnknown || !busy
	case i.state.State == api.StateUnknown && i.state.IdleBehavior == api.Drain:
		return false // what runs on it is not known
	case i.state.IdleBehavior == api.Drain || i.leave != "":
		return !busy
	}
	return false
}

// whyLeave says why mustLeave holds.
func (i *instance) whyLeave() string {
	switch {
	case i.destroy:
		return i.state.Reason
	case i.gone != "":
		return "disappeared: " + i.gone
	case i.late != "":
		return i.late
	case i.state.IdleBehavior == api.Drain:
		return "drained" + because(i.state.BehaviorReason)
	}
	return i.leave
}

// mustContinue reports whether this run has grown so long that the next must take
// over, and can. Containers run on meanwhile: their activities only attach.
func (i *instance) mustContinue(ctx workflow.Context) bool {
	long := workflow.GetInfo(ctx).GetContinueAsNewSuggested() || i.mail.received > 5000
	return long && !i.mail.pending() && i.tagged == i.state.IdleBehavior && workflow.AllHandlersFinished(ctx)
}

// start begins an attempt of a container and stays with it.
func (i *instance) start(ctx workflow.Context, assignment api.Assignment) {
	a := &attempt{Assignment: assignment, since: workflow.Now(ctx)}
	i.attempts = append(i.attempts, a)
	i.state.LastContainer = a.Container
	in := api.RunContainerInput{
		Machine: i.machine, Assignment: assignment,
		Engine: i.in.Spec.Engine, Output: i.in.Spec.Output, Forget: i.forget,
	}
	i.forget = nil
	options := activityOptions(fmt.Sprintf("container %s: %s", a.Container, a.Label), forever)
	options.HeartbeatTimeout = heartbeatTimeout
	run := workflow.ExecuteActivity(workflow.WithActivityOptions(i.runs, options), api.RunContainerActivity, in)
	workflow.GoNamed(ctx, "container "+a.Container, func(ctx workflow.Context) {
		ctx, _ = workflow.NewDisconnectedContext(ctx)
		var result api.RunContainerResult
		err := run.Get(ctx, &result)
		var application *temporal.ApplicationError
		switch {
		case !slices.Contains(i.attempts, a):
			return // ended otherwise
		case err == nil:
			i.ran(ctx, a, result)
		case errors.As(err, &application) && application.Type() == api.ErrorGone:
			i.gone = application.Message() // shutDown reports the container lost
		case !temporal.IsCanceledError(err):
			i.end(ctx, a, api.Ended{How: api.StartFailed, Detail: reasonOf(err)})
		}
	})
	i.settle(ctx)
}

// ran records that an attempt has ended on the instance.
func (i *instance) ran(ctx workflow.Context, a *attempt, r api.RunContainerResult) {
	i.forget = append(i.forget, a.OnInstance())
	if r.How == api.Exited {
		took := r.FinishedAt.Sub(r.StartedAt)
		i.mail.outcome(api.WorkflowOf(a.Container, a.WorkflowID+r.WorkflowID), api.Outcome{Result: &api.ContainerResult{
			ExitCode: r.ExitCode, Output: r.Output, OutputTruncated: r.OutputTruncated, Error: r.Detail,
			Instance: i.state.Name, CloudID: i.state.CloudID, InstanceType: i.state.Type,
			Attempts: a.Attempt, QueuedAt: api.Time{Time: a.QueuedAt},
			StartedAt: api.Time{Time: r.StartedAt}, FinishedAt: api.Time{Time: r.FinishedAt},
			Cost: i.state.Price * took.Hours() * a.Share,
		}})
	}
	i.end(ctx, a, api.Ended{How: r.How, Detail: r.Detail})
}

// end takes an attempt off the instance and tells the fleet.
func (i *instance) end(ctx workflow.Context, a *attempt, ended api.Ended) {
	ended.Container, ended.Attempt, ended.Adopted = a.Container, a.Attempt, a.Adopted
	i.attempts = slices.DeleteFunc(i.attempts, func(b *attempt) bool { return b == a })
	i.mail.ended = append(i.mail.ended, ended)
	now := workflow.Now(ctx)
	i.state.LastBusy = api.Time{Time: now}
	if len(i.attempts) == 0 {
		i.idleSince = now
	}
	i.settle(ctx)
	i.report()
}

// kill ends a container with SIGTERM, again and again, or gives it up.
func (i *instance) kill(ctx workflow.Context, id string) {
	at := slices.IndexFunc(i.attempts, func(a *attempt) bool { return a.Container == id })
	if at < 0 || i.attempts[at].killing {
		return
	}
	a := i.attempts[at]
	a.killing = true
	timeouts := i.in.Spec.Timeouts
	in := api.KillInput{Machine: i.machine, Assignment: a.Assignment, Interval: timeouts.Signal, Timeout: timeouts.Term}
	options := activityOptions("kill container "+id, timeouts.Term.D()+time.Minute)
	options.HeartbeatTimeout = heartbeatTimeout
	killed := workflow.ExecuteActivity(workflow.WithActivityOptions(i.runs, options), api.KillContainerActivity, in)
	workflow.GoNamed(ctx, "kill "+id, func(ctx workflow.Context) {
		ctx, _ = workflow.NewDisconnectedContext(ctx)
		var ended bool
		err := killed.Get(ctx, &ended)
		if temporal.IsCanceledError(err) || ended || !slices.Contains(i.attempts, a) {
			return // an ended container's own activity tells its end
		}
		a.givenUp = true
		i.drain(ctx, fmt.Sprintf("container %s can't be killed", id))
	})
}

// idleClock shows the state idle once it has lasted for a moment, and makes the
// instance leave when it has lasted for the idle timeout.
func (i *instance) idleClock(ctx workflow.Context) {
	timeout := i.in.Spec.Timeouts.Idle.D()
	idle := func() bool { return len(i.attempts) == 0 }
	for ctx.Err() == nil {
		i.await(ctx, func() bool { return idle() || ctx.Err() != nil })
		if !i.idleFor(ctx, min(idleMoment, timeout), "a moment of idleness") {
			continue
		}
		i.settled = api.StateIdle
		i.changed(ctx)
		if !i.idleFor(ctx, timeout, fmt.Sprintf("idle timeout %s", timeout)) {
			continue
		}
		if i.state.IdleBehavior == api.Run && !i.kept {
			i.leave = fmt.Sprintf("idle for %s", timeout)
			return
		}
		behavior, since, kept := i.state.IdleBehavior, i.idleSince, i.kept
		i.await(ctx, func() bool {
			return i.state.IdleBehavior != behavior || i.kept != kept || i.idleSince != since || !idle() || ctx.Err() != nil
		})
	}
}

// idleMoment is how long an instance is idle before its search attribute says so.
const idleMoment = 2 * time.Second

// idleFor waits until the instance may have been idle for d and reports whether it
// has. There is one timer at a time, and it is not reset when the instance gets busy.
func (i *instance) idleFor(ctx workflow.Context, d time.Duration, summary string) bool {
	if wait := i.idleSince.Add(d).Sub(workflow.Now(ctx)); wait > 0 {
		timer := workflow.NewTimerWithOptions(ctx, wait, workflow.TimerOptions{Summary: summary})
		if err := timer.Get(ctx, nil); err != nil {
			return false // serving is over
		}
	}
	return len(i.attempts) == 0 && workflow.Now(ctx).Sub(i.idleSince) >= d
}

// ageClock drains the instance when it has lived for the maximum age.
func (i *instance) ageClock(ctx workflow.Context) {
	age := i.in.Spec.Timeouts.MaxAge.D()
	wait := i.state.CreatedAt.Add(age).Sub(workflow.Now(ctx))
	timer := workflow.NewTimerWithOptions(ctx, max(wait, 0), workflow.TimerOptions{Summary: fmt.Sprintf("maximum age %s", age)})
	if timer.Get(ctx, nil) == nil {
		i.drain(ctx, fmt.Sprintf("has lived for %s", age))
	}
}
