package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// boot waits until the instance can run containers, and reports whether it can. Each
// step is retried by the server, which costs no history, until the boot timeout.
func (i *instance) boot(ctx workflow.Context) bool {
	if !i.step(ctx, "address of "+i.called(), api.AwaitAddressActivity, i.machine, &i.machine) {
		return false
	}
	i.state.CloudID, i.state.Address = i.machine.CloudID, i.machine.Address
	i.changed(ctx)
	found := i.state.State == api.StateUnknown // then what it lists has been observed
	listing, ok := i.probe(ctx)
	if !ok {
		return false
	}
	now := workflow.Now(ctx)
	i.state.UpAt, i.state.LastProbe = api.Time{Time: now}, api.Time{Time: now}
	i.idleSince = now
	i.late = "" // on hold, or with containers on it, it may have come up late
	i.bootOver(ctx, api.BootSuccess)
	if !found {
		i.observe(ctx, listing, nil)
	}
	i.settle(ctx)
	return true
}

// probe returns what runs on the instance once all probes have succeeded. On one that
// was found, containers may run although its boot probe fails: what the run probe
// lists is adopted all the same, and the instance stays unknown until both succeed.
func (i *instance) probe(ctx workflow.Context) (listing api.Listing, ok bool) {
	if i.state.State == api.StateBooting {
		ok = i.bootProbe(ctx) && i.runProbe(ctx, &listing)
		return listing, ok
	}
	var booted, listed, over bool
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	workflow.GoNamed(ctx, "boot probe", func(ctx workflow.Context) {
		booted = i.bootProbe(ctx)
		over = over || !booted
	})
	workflow.GoNamed(ctx, "run probe", func(ctx workflow.Context) {
		if listed = i.runProbe(ctx, &listing); listed {
			i.observe(ctx, listing, nil)
			i.report()
		}
		over = over || !listed
	})
	i.await(ctx, func() bool { return booted && listed || over || i.mustLeave() })
	return listing, booted && listed && !i.mustLeave()
}

func (i *instance) bootProbe(ctx workflow.Context) bool {
	in := api.BootProbeInput{Machine: i.machine, Command: i.in.Spec.BootProbe, Interval: i.in.Spec.Intervals.Probe}
	return i.step(ctx, "boot probe of "+i.where(), api.BootProbeActivity, in, nil)
}

// runProbe puts the runner onto the instance and has it list what runs there.
func (i *instance) runProbe(ctx workflow.Context, listing *api.Listing) bool {
	in := api.CopyRunnerInput{Machine: i.machine, Runner: i.in.Spec.Runner, Architecture: i.in.Type.Architecture}
	return i.step(ctx, "runner to "+i.where(), api.CopyRunnerActivity, in, &i.machine.Runner) &&
		i.step(ctx, "run probe of "+i.where(), api.RunProbeActivity, i.machine, listing)
}

// step runs one activity of the boot and reports whether it succeeded. It ends early
// when the instance must leave.
func (i *instance) step(ctx workflow.Context, summary, activity string, in, out any) bool {
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	i.state.Reason = summary
	i.changed(ctx)
	done := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, activityOptions(summary, 2*time.Minute)), activity, in)
	i.await(ctx, func() bool { return done.IsReady() || i.mustLeave() })
	if !done.IsReady() {
		i.explainBoot(ctx, summary)
		return false
	}
	err := done.Get(ctx, out)
	if err == nil {
		return !i.mustLeave()
	}
	i.bootFailed(ctx, summary, err)
	return false
}

// bootFailed records an error that no retry can mend, and waits, on hold, for leave
// to go.
func (i *instance) bootFailed(ctx workflow.Context, summary string, err error) {
	var application *temporal.ApplicationError
	if errors.As(err, &application) && application.Type() == api.ErrorGone {
		i.gone = application.Message()
	} else {
		i.late = fmt.Sprintf("%s: %s", summary, reasonOf(err))
	}
	i.note(ctx, "boot failed: "+i.late+i.gone)
	i.await(ctx, i.mustLeave)
}

// explainBoot notes what kept a boot from succeeding: the step, how often it was
// tried and its last error, which only the server knows, and what the console says.
func (i *instance) explainBoot(ctx workflow.Context, step string) {
	if i.late == "" || i.explained {
		return // by choice, or said already
	}
	i.explained = true
	info := workflow.GetInfo(ctx).WorkflowExecution
	in := api.ExplainInput{Machine: i.machine, WorkflowID: info.ID, RunID: info.RunID}
	options := activityOptions("why "+i.called()+" did not boot", 30*time.Second)
	options.RetryPolicy.MaximumAttempts = 3
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	var explanation string
	err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), api.ExplainBootActivity, in).Get(ctx, &explanation)
	if err != nil {
		explanation = "the reason could not be had: " + reasonOf(err)
	}
	i.late = fmt.Sprintf("%s at %s: %s", i.late, step, explanation)
	i.note(ctx, i.late)
}

// startBootTimeout starts the timer after which an instance that is not up is late.
func (i *instance) startBootTimeout(ctx workflow.Context) {
	timeout := i.in.Spec.Timeouts.Boot.D()
	workflow.GoNamed(ctx, "boot timeout", func(ctx workflow.Context) {
		ctx, cancel := workflow.WithCancel(ctx)
		timer := workflow.NewTimerWithOptions(ctx, timeout, workflow.TimerOptions{Summary: fmt.Sprintf("boot timeout %s", timeout)})
		i.await(ctx, func() bool { return timer.IsReady() || i.state.BootOutcome != "" })
		if i.state.BootOutcome == "" {
			i.late = fmt.Sprintf("boot timeout %s", timeout)
		}
		cancel()
	})
}

// bootOver settles the boot outcome, once.
func (i *instance) bootOver(ctx workflow.Context, outcome string) {
	i.state.BootOutcome = outcome
	took := workflow.Now(ctx).Sub(i.state.CreatedAt.Time)
	metrics := workflow.GetMetricsHandler(ctx).WithTags(map[string]string{
		"fleet": i.state.Fleet, "instance_type": i.state.Type, "outcome": outcome,
	})
	metrics.Counter("drover_boots").Inc(1)
	metrics.Timer("drover_boot_duration").Record(took)
	i.changed(ctx)
}
