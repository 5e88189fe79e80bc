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
	timeout := i.in.Spec.Timeouts.Boot.D()
	over := func() bool { return i.state.BootOutcome != "" }
	runs := func() bool { return i.state.State == api.StateUnknown && i.listed && i.busy() }
	i.aliveAt = workflow.Now(ctx)
	for !over() {
		if wait := i.aliveAt.Add(timeout).Sub(workflow.Now(ctx)); wait > 0 {
			i.waitUnless(ctx, wait, fmt.Sprintf("boot timeout %s", timeout), over)
			continue
		}
		if runs() {
			i.await(ctx, func() bool { return !runs() || over() })
			continue
		}
		i.lastTry(ctx)
		switch {
		case over() || i.cameUp != nil || i.gone != "":
			return
		case runs():
			continue
		case i.busy():
			i.unreachable = fmt.Sprintf("boot timeout %s", timeout)
		default:
			i.late = fmt.Sprintf("boot timeout %s", timeout)
		}
		return
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
// finds: the instance may have come up while no worker was there to see it.
func (i *instance) lastTry(ctx workflow.Context) {
	if i.machine.Address == "" {
		return
	}
	var listing api.Listing
	known := i.names()
	booted := i.try(ctx, "last boot probe of "+i.where(), api.BootProbeActivity, i.bootProbeInput(), nil)
	found := i.state.State == api.StateUnknown
	if !booted && !found {
		return
	}
	listed := i.try(ctx, "runner to "+i.where(), api.CopyRunnerActivity, i.copyInput(), &i.machine.Runner) &&
		i.try(ctx, "last run probe of "+i.where(), api.RunProbeActivity, i.machine, &listing)
	switch {
	case i.state.BootOutcome != "" || !listed:
		return
	case found && !i.listed:
		i.adopt(ctx, listing)
	case found:
		i.observe(ctx, listing, known)
	}
	if booted {
		i.answered(ctx)
		i.cameUp = &up{listing}
	}
}

// try runs one activity of the boot once.
func (i *instance) try(ctx workflow.Context, summary, activity string, in, out any) bool {
	options := activityOptions(summary, 2*time.Minute)
	options.RetryPolicy.MaximumAttempts = 1
	err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), activity, in).Get(ctx, out)
	var application *temporal.ApplicationError
	if errors.As(err, &application) && application.Type() == api.ErrorGone {
		i.died(application)
	}
	return err == nil
}
