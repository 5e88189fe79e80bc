package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// mustLeave reports whether the instance is to be destroyed now. Only an order to
// destroy and the cloud itself override hold.
func (i *instance) mustLeave() bool {
	found := i.state.State == api.StateUnknown
	switch {
	case i.destroy || i.gone != "" || i.leaves():
		return true
	case i.state.IdleBehavior == api.Hold:
		return false
	case i.unreachable != "":
		return true
	case i.late != "":
		return !found || !i.busy()
	case found && i.state.IdleBehavior == api.Drain:
		return i.listed && !i.busy()
	case i.state.IdleBehavior == api.Drain || i.leave != "":
		return !i.busy()
	}
	return false
}

// leaves reports whether the instance is being destroyed, or gone.
func (i *instance) leaves() bool {
	return i.state.State == api.StateShutdown || i.state.State == api.StateGone
}

// busy reports whether a container is on the instance that has not been given up.
func (i *instance) busy() bool {
	return slices.ContainsFunc(i.attempts, func(a *attempt) bool { return !a.givenUp })
}

// whyLeave says why mustLeave holds.
func (i *instance) whyLeave() string {
	switch {
	case i.destroy:
		return i.state.Reason
	case i.gone != "":
		return "disappeared: " + i.gone
	case i.unreachable != "":
		return "unreachable: " + i.unreachable
	case i.late != "":
		return i.late
	case i.state.IdleBehavior == api.Drain:
		return "drained" + because(i.state.BehaviorReason)
	}
	return i.leave
}

// outcome is how the instance's life went, in one word.
func (i *instance) outcome() string {
	switch {
	case i.gone != "":
		return api.OutcomeDisappeared
	case i.refusal != nil:
		return i.refusal.Class
	}
	return api.OutcomeDestroyed
}

// failedBoot returns the boot outcome of an instance that never came up.
func (i *instance) failedBoot() string {
	switch {
	case i.gone != "":
		return api.BootDisappeared
	case i.destroy: // also of one that was on hold when its boot timeout passed
		return api.BootAborted
	case i.late != "" || i.unreachable != "":
		return api.BootFailure
	}
	return api.BootAborted
}

// detailAtMost is how many characters say of each container why it was lost: a report has room
// for hundreds of them.
const detailAtMost = 300

// shutDown destroys the instance and returns once the cloud no longer has it.
// Only then are the containers that were on it lost.
func (i *instance) shutDown(ctx workflow.Context) {
	if !i.leaves() { // else an earlier run has begun it
		i.beginToLeave(ctx)
	}
	if i.created {
		i.destroyUntilGone(ctx)
		letOthersRun(ctx) // an exit may have come in with the news that the instance is gone
	}
	i.cancelRuns()
	for _, a := range slices.Clone(i.attempts) {
		how := api.Lost
		if a.givenUp {
			how = api.Unkillable
		}
		i.end(ctx, a, api.Ended{How: how, Detail: api.Clip(fmt.Sprintf("instance %s: %s", i.called(), i.state.Reason), detailAtMost)})
	}
	i.state.GoneAt = api.Time{Time: workflow.Now(ctx)}
	i.time(ctx, "drover_destroy_duration", i.state.LeftAt, i.state.GoneAt)
	i.countCost(ctx)
	i.enter(ctx, api.StateGone, i.state.Reason)
}

// beginToLeave settles how the instance's life went, and says so.
func (i *instance) beginToLeave(ctx workflow.Context) {
	if i.state.BootOutcome == "" {
		i.bootOver(ctx, i.failedBoot())
	}
	i.state.Outcome = i.outcome()
	i.state.LeftAt = api.Time{Time: workflow.Now(ctx)}
	i.enter(ctx, api.StateShutdown, i.whyLeave())
	i.report()
}

// destroyUntilGone asks the cloud to destroy the instance, again and again, until the
// cloud no longer has it.
func (i *instance) destroyUntilGone(ctx workflow.Context) {
	in := api.DestroyInput{Machine: i.machine, Retry: i.in.Spec.Timeouts.ShutdownRetry}
	ctx = workflow.WithActivityOptions(ctx, activityOptions(fmt.Sprintf("destroy %s", i.called()), 2*time.Minute))
	for {
		err := workflow.ExecuteActivity(ctx, api.DestroyInstanceActivity, in).Get(ctx, nil)
		if err == nil {
			return
		}
		i.note(ctx, "destroy failed and is tried again: "+reasonOf(err))
		pause := workflow.TimerOptions{Summary: "until destroying is tried again"}
		if err := workflow.NewTimerWithOptions(ctx, i.in.Spec.Timeouts.ShutdownRetry.D(), pause).Get(ctx, nil); err != nil {
			i.log.Error("timer failed", "error", err)
		}
	}
}

// takeLeave delivers the last report, the answers to orders that came too late
// included.
func (i *instance) takeLeave(ctx workflow.Context) {
	i.mail.gone = true
	i.report()
	for i.mail.pending() {
		i.await(ctx, func() bool { return !i.mail.pending() })
		letOthersRun(ctx)
	}
}
