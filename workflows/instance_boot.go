package workflows

import (
	"errors"
	"fmt"
	"strings"
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
	listing, ok := i.probe(ctx)
	if i.cameUp != nil {
		listing, ok = i.cameUp.listing, true
	}
	if !ok || i.mustLeave() {
		return false
	}
	i.isUpNow(ctx, listing)
	return true
}

// isUpNow records that the instance can run containers.
func (i *instance) isUpNow(ctx workflow.Context, listing api.Listing) {
	now := api.Time{Time: workflow.Now(ctx)}
	i.state.UpAt, i.state.LastProbe, i.idleSince = now, now, now.Time
	i.late, i.unreachable = "", "" // on hold, or with containers on it, it may have come up late
	i.bootOver(ctx, api.BootSuccess)
	if !i.listed { // else it has been observed
		i.listed = true
		i.observe(ctx, listing, nil)
	}
	i.settle(ctx)
}

// probe returns what runs on the instance once all probes have succeeded.
func (i *instance) probe(ctx workflow.Context) (listing api.Listing, ok bool) {
	if i.state.State == api.StateUnknown {
		return api.Listing{}, i.probeFound(ctx)
	}
	ok = i.bootProbe(ctx) && i.runProbe(ctx, &listing)
	return listing, ok
}

// settleTime is how long after its discovery what runs on an instance is looked at:
// by then the activities of a workflow that was terminated have heard of it with a
// heartbeat, have ended, and start nothing any more.
func (i *instance) settleTime() time.Duration {
	return max(i.in.Spec.Intervals.Heartbeat.D(), heartbeatTimeout/api.HeartbeatsMissed) + 2*time.Second
}

// probeFound probes an instance that was found. Containers may run there although its
// boot probe fails: what the run probe lists is adopted, and watched, all the same.
// The instance stays unknown until both probes succeed.
func (i *instance) probeFound(ctx workflow.Context) bool {
	var booted bool
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	workflow.GoNamed(ctx, "boot probe", func(ctx workflow.Context) { booted = i.bootProbe(ctx) })
	workflow.GoNamed(ctx, "run probe", func(ctx workflow.Context) {
		if i.listed || i.listFound(ctx) {
			i.watch(ctx)
		}
	})
	i.awaitBoot(ctx, "the probes of "+i.where(), func() bool { return booted && i.listed || i.cameUp != nil })
	return booted && i.listed
}

// listFound adopts what runs on an instance that was found, and reports whether it could.
func (i *instance) listFound(ctx workflow.Context) bool {
	pause := workflow.TimerOptions{Summary: "until an earlier workflow's activities have ended"}
	if workflow.NewTimerWithOptions(ctx, i.settleTime(), pause).Get(ctx, nil) != nil {
		return false
	}
	var listing api.Listing
	if !i.runProbe(ctx, &listing) {
		return false
	}
	i.adopt(ctx, listing)
	return true
}

// adopt takes in the first listing of an instance that was found.
func (i *instance) adopt(ctx workflow.Context, listing api.Listing) {
	i.listed = true
	i.state.LastProbe = api.Time{Time: workflow.Now(ctx)}
	i.observe(ctx, listing, nil)
	i.report()
}

func (i *instance) bootProbe(ctx workflow.Context) bool {
	ok := i.step(ctx, "boot probe of "+i.where(), api.BootProbeActivity, i.bootProbeInput(), nil)
	if ok {
		i.answered(ctx)
	}
	return ok
}

func (i *instance) bootProbeInput() api.BootProbeInput {
	return api.BootProbeInput{Machine: i.machine, Command: i.in.Spec.BootProbe, Interval: i.in.Spec.Intervals.Probe}
}

// answered records that the instance has answered over SSH, the first time.
func (i *instance) answered(ctx workflow.Context) {
	if !i.state.SSHAt.IsZero() {
		return
	}
	i.state.SSHAt = api.Time{Time: workflow.Now(ctx)}
	i.time(ctx, "drover_ssh_duration", i.state.CreatedAt, i.state.SSHAt)
}

// runProbe puts the runner onto the instance and has it list what runs there.
func (i *instance) runProbe(ctx workflow.Context, listing *api.Listing) bool {
	return i.step(ctx, "runner to "+i.where(), api.CopyRunnerActivity, i.copyInput(), &i.machine.Runner) &&
		i.step(ctx, "run probe of "+i.where(), api.RunProbeActivity, i.machine, listing)
}

func (i *instance) copyInput() api.CopyRunnerInput {
	return api.CopyRunnerInput{Machine: i.machine, Runner: i.in.Spec.Runner, Architecture: i.in.Type.Architecture}
}

// step runs one activity of the boot and reports whether it succeeded. It ends early
// when the instance must leave, or has come up otherwise.
func (i *instance) step(ctx workflow.Context, summary, activity string, in, out any) bool {
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	i.state.Reason = summary
	i.changed(ctx)
	options := activityOptions(summary, 2*time.Minute)
	options.RetryPolicy.InitialInterval = i.in.Spec.Intervals.Probe.D()
	done := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), activity, in)
	if i.awaitBoot(ctx, summary, func() bool { return done.IsReady() || i.cameUp != nil }); !done.IsReady() {
		return false
	}
	err := done.Get(ctx, out)
	if err == nil {
		return !i.mustLeave()
	}
	i.bootFailed(ctx, summary, err)
	return false
}

// awaitBoot blocks until a step of the boot is over or the instance must leave. It may be
// put on hold while it is explained why it must.
func (i *instance) awaitBoot(ctx workflow.Context, step string, over func() bool) {
	for !over() {
		i.await(ctx, func() bool { return over() || i.mustLeave() })
		if over() || ctx.Err() != nil {
			return
		}
		if i.explainBoot(ctx, step); i.mustLeave() {
			return
		}
	}
}

// bootFailed records an error that no retry can mend, and waits, on hold, for leave
// to go.
func (i *instance) bootFailed(ctx workflow.Context, summary string, err error) {
	var application *temporal.ApplicationError
	switch {
	case temporal.IsCanceledError(err):
		return
	case errors.As(err, &application) && application.Type() == api.ErrorGone:
		i.died(application)
	default:
		i.late, i.explained = fmt.Sprintf("%s: %s", summary, reasonOf(err)), true
	}
	i.note(ctx, "boot failed: "+i.late+i.gone)
	i.await(ctx, i.mustLeave)
}

// died records that the cloud says that the instance has ended, and, if that was a
// late refusal to create it, which.
func (i *instance) died(err *temporal.ApplicationError) {
	i.gone = err.Message()
	var refusal api.CreateRefusal
	if err.HasDetails() && err.Details(&refusal) == nil {
		i.refusal, i.mail.refusal = &refusal, &refusal
	}
}

// explainBoot notes what kept a boot from succeeding: the step, how often it was
// tried and its last error, which only the server knows, and what the console says.
func (i *instance) explainBoot(ctx workflow.Context, step string) {
	i.await(ctx, func() bool { return !i.explains })
	if i.late == "" || i.explained {
		return // by choice, or said already
	}
	i.explains = true
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
	if !strings.Contains(explanation, i.lastTried) {
		explanation += "; at last: " + i.lastTried
	}
	i.late = api.Clip(fmt.Sprintf("%s at %s: %s", i.late, step, explanation), textAtMost)
	i.note(ctx, i.late)
	i.explains, i.explained = false, true
}

// bootOver settles the boot outcome, once.
func (i *instance) bootOver(ctx workflow.Context, outcome string) {
	i.state.BootOutcome = outcome
	now := api.Time{Time: workflow.Now(ctx)}
	if i.counts() {
		tags := map[string]string{"fleet": i.state.Fleet, "instance_type": i.state.Type, "outcome": outcome}
		workflow.GetMetricsHandler(ctx).WithTags(tags).Counter("drover_boots").Inc(1)
	}
	i.time(ctx, "drover_boot_duration", i.state.CreatedAt, now)
	i.changed(ctx)
}
