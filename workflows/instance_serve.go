package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// serve runs containers until the instance must leave, or this run of the workflow
// must end.
func (i *instance) serve(ctx workflow.Context) {
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	if c := i.in.Carried; c != nil {
		i.reattach(ctx, c)
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

// reattach goes on with the containers that the last run left.
func (i *instance) reattach(ctx workflow.Context, c *api.InstanceCarried) {
	for _, assignment := range c.Containers {
		a := i.start(ctx, assignment)
		a.givenUp = slices.Contains(c.GivenUp, a.Container)
		a.killing = a.givenUp
	}
	for _, name := range c.Killing {
		i.kill(ctx, name)
	}
	for _, name := range c.Revoking {
		i.revoke(ctx, name)
	}
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
			i.await(ctx, func() bool { return i.leave == "" || ctx.Err() != nil }) // unless a hold comes with it
			continue
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
