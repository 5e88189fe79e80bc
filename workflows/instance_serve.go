package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// serve runs containers until the instance must leave.
func (i *instance) serve(ctx workflow.Context) {
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	i.settle(ctx)
	i.report()
	workflow.GoNamed(ctx, "watch", i.watch)
	workflow.GoNamed(ctx, "idle clock", i.idleClock)
	if age := i.in.Spec.Timeouts.MaxAge.D(); age > 0 && !i.aged {
		workflow.GoNamed(ctx, "age", i.ageClock)
	}
	for !i.mustLeave() {
		i.await(ctx, i.mustLeave)
		letOthersRun(ctx)
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
		i.aged = true
		i.drain(ctx, fmt.Sprintf("has lived for %s", age))
	}
}
