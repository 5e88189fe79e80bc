package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// up is an instance that came up with its boot timeout.
type up struct{ listing api.Listing }

// bootClock makes the instance leave when it is not up after the boot timeout. An
// instance that was found counts as seen whenever a container has run on it.
func (i *instance) bootClock(ctx workflow.Context) {
	timeout := i.bootTimeout()
	over := func() bool { return i.state.BootOutcome != "" }
	for !over() && i.cameUp == nil && i.gone == "" {
		wait := i.aliveAt.Add(timeout).Sub(workflow.Now(ctx))
		switch {
		case i.isLate():
			if i.await(ctx, func() bool { return over() || !i.isLate() && !i.explains }); !over() {
				i.heardOf(ctx)
			}
		case wait > 0:
			i.waitUnless(ctx, wait, fmt.Sprintf("boot timeout %s", timeout), func() bool { return over() || i.isLate() })
		case i.runsUnknown():
			i.await(ctx, func() bool { return over() || i.isLate() || !i.runsUnknown() })
		default:
			i.timeIsUp(ctx, timeout)
		}
	}
}

// bootTimeout is how long the instance may take to come up. One that was found is not even
// looked at before it has settled.
func (i *instance) bootTimeout() time.Duration {
	timeout := i.in.Spec.Timeouts.Boot.D()
	if i.in.Found != nil {
		timeout = max(timeout, i.settleTime())
	}
	return timeout
}

// isLate reports whether it has been said why the instance has not come up: it goes, or is on
// hold.
func (i *instance) isLate() bool {
	mayRun := i.state.State == api.StateUnknown && i.busy()
	return i.unreachable != "" || i.late != "" && !mayRun
}

// runsUnknown reports whether containers run on an instance that was found and is not up.
func (i *instance) runsUnknown() bool {
	return i.state.State == api.StateUnknown && i.listed && i.busy()
}

// heardOf has the boot timeout count anew for an instance that was late, on hold, and now
// exists, answers or runs something.
func (i *instance) heardOf(ctx workflow.Context) {
	i.late, i.lastTried, i.explained = "", "", false
	i.aliveAt = workflow.Now(ctx)
}

// timeIsUp has an instance leave whose boot timeout has passed, unless a last try succeeds.
func (i *instance) timeIsUp(ctx workflow.Context, timeout time.Duration) {
	err := i.lastTry(ctx)
	why := fmt.Sprintf("boot timeout %s", timeout)
	switch {
	case i.state.BootOutcome != "" || i.cameUp != nil || i.gone != "" || i.runsUnknown() || i.isLate():
	case i.busy() && err != nil:
		i.unreachable = why + ": " + reasonOf(err)
	case i.busy():
		i.unreachable = why
	default:
		i.late = why
		if err != nil {
			i.lastTried = reasonOf(err)
		}
	}
}

// waitUnless waits for so long, or until the condition holds.
func (i *instance) waitUnless(ctx workflow.Context, d time.Duration, summary string, condition func() bool) {
	options := workflow.AwaitOptions{Timeout: d, TimerOptions: workflow.TimerOptions{Summary: summary}}
	if _, err := workflow.AwaitWithOptions(ctx, options, condition); err != nil && ctx.Err() == nil {
		i.log.Error("await failed", "error", err)
	}
}

// lastTry probes once more when the boot timeout has passed, and takes in what it
// finds: the instance may have come up while no worker was there to see it. Otherwise it
// returns why it has not.
func (i *instance) lastTry(ctx workflow.Context) error {
	if i.machine.Address == "" {
		return nil
	}
	var listing api.Listing
	known := i.names()
	failed := i.try(ctx, "last boot probe of "+i.where(), api.BootProbeActivity, i.bootProbeInput(), nil)
	booted, found := failed == nil, i.state.State == api.StateUnknown
	if !booted && !found {
		return failed
	}
	err := i.try(ctx, "runner to "+i.where(), api.CopyRunnerActivity, i.copyInput(), &i.machine.Runner)
	if err == nil {
		err = i.try(ctx, "last run probe of "+i.where(), api.RunProbeActivity, i.machine, &listing)
	}
	switch {
	case i.state.BootOutcome != "":
		return nil
	case err != nil && booted:
		return err
	case err != nil:
		return failed
	case found && !i.listed:
		i.adopt(ctx, listing)
	case found:
		i.observe(ctx, listing, known)
	}
	if booted {
		i.answered(ctx)
		i.cameUp = &up{listing}
	}
	return failed
}

// try runs one activity of the boot once.
func (i *instance) try(ctx workflow.Context, summary, activity string, in, out any) error {
	options := activityOptions(summary, 2*time.Minute)
	options.RetryPolicy.MaximumAttempts = 1
	err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), activity, in).Get(ctx, out)
	var application *temporal.ApplicationError
	if errors.As(err, &application) && application.Type() == api.ErrorGone {
		i.died(application)
	}
	return err
}
