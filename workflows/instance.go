// Package workflows is drover's durable logic: the lives of a fleet, of an instance
// and of a container. It is deterministic and does no I/O; what touches the world is
// in package activities.
package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// Instance is the life of one cloud VM: created, booted, put to work, drained,
// destroyed. It returns how it ended; only an input that can't work is an error.
func Instance(ctx workflow.Context, in api.InstanceInput) (api.InstanceState, error) {
	i, ctx, err := newInstance(ctx, in)
	if err != nil {
		return api.InstanceState{}, err
	}
	if i.isUp() || i.exists(ctx) && i.boot(ctx) {
		i.serve(ctx)
	}
	if i.continues {
		return i.state, i.continueAsNew(ctx)
	}
	i.shutDown(ctx)
	i.takeLeave(ctx)
	return i.state, nil
}

// instance is what the coroutines of one Instance workflow share.
type instance struct {
	in    api.InstanceInput
	log   log.Logger
	state api.InstanceState
	// machine is how activities reach the instance.
	machine api.Machine

	attempts []*attempt // on the instance, in the order of their start
	forget   []string   // ended, their records still on the instance

	destroy   bool   // asked to, whatever runs
	leave     string // asked to, if nothing runs: why
	gone      string // the cloud says so: why
	late      string // a timeout has passed: which, and the last error
	created   bool   // it may exist: the cloud was asked for it
	idleSince time.Time
	tagged    api.Behavior // as the cloud's tag says
	broken    bool
	explained bool // why it did not boot
	kept      bool // stays when its idle timeout has passed
	busyCost  float64

	mail       outbox
	ordersSeen int64
	ordersFrom string // which fleet's they are
	continues  bool

	// The search attributes as last written.
	shownState    string
	shownBehavior api.Behavior
	shownCloudID  string
	// settled is the state that is shown: idle only after a moment of it.
	settled string

	// cancelRuns detaches from all containers.
	runs       workflow.Context
	cancelRuns workflow.CancelFunc
}

// attempt is one attempt of a container on this instance.
type attempt struct {
	api.Assignment
	since   time.Time
	killing bool
	givenUp bool
}

// newInstance prepares the handlers. The context that it returns outlives a
// cancellation of the workflow, which is an order to destroy the instance.
func newInstance(ctx workflow.Context, in api.InstanceInput) (*instance, workflow.Context, error) {
	if in.Name == "" || in.Spec.Fleet == "" || in.Spec.Driver == "" {
		return nil, ctx, temporal.NewNonRetryableApplicationError(
			"an Instance is started by its fleet: name, spec.fleet and spec.driver are required", api.ErrorInvalid, nil)
	}
	info := workflow.GetInfo(ctx)
	i := &instance{in: in, log: workflow.GetLogger(ctx)}
	if c := in.Carried; c != nil {
		i.state, i.machine, i.forget = c.State, c.Machine, c.Forget
		i.ordersSeen, i.ordersFrom, i.mail.seq = c.OrdersSeen, c.OrdersFrom, c.ReportsSent
		i.idleSince, i.created, i.tagged, i.kept, i.busyCost = c.IdleSince, true, c.Tagged, c.Kept, c.BusyCost
	} else {
		i.begin(ctx)
	}
	i.state.WorkflowID, i.state.RunID = info.WorkflowExecution.ID, info.WorkflowExecution.RunID
	if err := i.handle(ctx); err != nil {
		return nil, ctx, err
	}
	outer := ctx
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	i.runs, i.cancelRuns = workflow.WithCancel(ctx)
	i.listen(ctx, outer)
	workflow.GoNamed(ctx, "reports", i.deliverMail)
	workflow.GoNamed(ctx, "tags", i.keepTags)
	return i, ctx, nil
}

// begin fills in what is known of an instance before its creation.
func (i *instance) begin(ctx workflow.Context) {
	spec, now := i.in.Spec, workflow.Now(ctx)
	i.state = api.InstanceState{
		Name: i.in.Name, Fleet: spec.Fleet,
		State: api.StateBooting, Since: api.Time{Time: now}, Reason: "creation requested",
		IdleBehavior: api.Run,
		Type:         i.in.Type.Name, ProviderType: i.in.Type.ProviderType, Price: i.in.Type.Price,
		CreatedAt: api.Time{Time: now}, Running: []string{},
	}
	i.machine = api.Machine{Fleet: spec.Fleet, Name: i.in.Name, Driver: spec.Driver, Local: spec.Local, Faults: spec.Faults, SSH: spec.SSH}
	i.tagged = api.Run
	if found := i.in.Found; found != nil {
		i.state.State, i.state.Reason = api.StateUnknown, "found in the cloud's list"
		i.state.IdleBehavior, i.tagged = found.Behavior, found.Behavior
		i.state.CloudID, i.machine.CloudID = found.CloudID, found.CloudID
		i.state.CreatedAt = api.Time{Time: found.CreatedAt}
	}
}

// isUp reports whether the instance was usable when an earlier run of this workflow
// continued as this one.
func (i *instance) isUp() bool { return i.in.Carried != nil }

// exists makes sure that there is an instance.
func (i *instance) exists(ctx workflow.Context) bool {
	i.created = true
	i.changed(ctx)
	i.startBootTimeout(ctx)
	if i.in.Found != nil {
		i.report()
		return true
	}
	return i.create(ctx)
}

// create asks the cloud for the instance and reports whether it exists.
func (i *instance) create(ctx workflow.Context) bool {
	in := api.CreateInput{Machine: i.machine, Type: i.in.Type, Behavior: i.state.IdleBehavior, InitCommand: i.in.Spec.InitCommand}
	ctx, cancel := workflow.WithCancel(ctx)
	options := activityOptions(fmt.Sprintf("create %s, a %s", i.in.Name, i.in.Type.Name), time.Minute)
	options.WaitForCancellation = true // an answer that is still out would be an instance that nobody knows
	options.RetryPolicy.BackoffCoefficient = 2
	options.RetryPolicy.MaximumInterval = 30 * time.Second
	created := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), api.CreateInstanceActivity, in)
	i.await(ctx, func() bool { return created.IsReady() || i.mustLeave() })
	cancel()
	err := created.Get(ctx, &i.machine)
	var refused *temporal.ApplicationError
	switch {
	case err == nil:
		i.state.CloudID = i.machine.CloudID
		i.changed(ctx)
		i.report()
		return !i.mustLeave()
	case errors.As(err, &refused) && refused.Type() == api.ErrorRefused:
		i.refused(ctx, refused)
	case !i.mustLeave():
		i.late = "creation failed: " + reasonOf(err)
	}
	return false
}

// refused records that the cloud did not create the instance. Nothing exists then.
func (i *instance) refused(ctx workflow.Context, err *temporal.ApplicationError) {
	var refusal api.CreateRefusal
	if decodeErr := err.Details(&refusal); decodeErr != nil {
		refusal.Message = err.Message()
	}
	i.created = false
	i.mail.refusal = &refusal
	i.late = "not created: " + refusal.Message
	i.note(ctx, i.late)
}

// continueAsNew starts this workflow's next run, which carries on where this one is.
func (i *instance) continueAsNew(ctx workflow.Context) error {
	in := i.in
	carried := api.InstanceCarried{
		State: i.state, Machine: i.machine, Forget: i.forget, Tagged: i.tagged,
		Kept: i.kept, IdleSince: i.idleSince, BusyCost: i.busyCost,
		OrdersSeen: i.ordersSeen, OrdersFrom: i.ordersFrom, ReportsSent: i.mail.seq,
	}
	for _, a := range i.attempts {
		carried.Containers = append(carried.Containers, a.Assignment)
		if a.killing {
			carried.Killing = append(carried.Killing, a.Container)
		}
	}
	in.Carried = &carried
	return workflow.NewContinueAsNewError(ctx, api.InstanceWorkflow, in)
}

// shutDown destroys the instance and returns once the cloud no longer has it.
// Only then are the containers that were on it lost.
func (i *instance) shutDown(ctx workflow.Context) {
	if i.state.BootOutcome == "" {
		i.bootOver(ctx, i.failedBoot())
	}
	i.enter(ctx, api.StateShutdown, i.whyLeave())
	i.report()
	if i.created {
		in := api.DestroyInput{Machine: i.machine, Retry: i.in.Spec.Timeouts.ShutdownRetry}
		options := activityOptions(fmt.Sprintf("destroy %s", i.called()), 2*time.Minute)
		ctx := workflow.WithActivityOptions(ctx, options)
		for {
			err := workflow.ExecuteActivity(ctx, api.DestroyInstanceActivity, in).Get(ctx, nil)
			if err == nil {
				break
			}
			i.note(ctx, "destroy failed and is tried again: "+reasonOf(err))
			pause := workflow.TimerOptions{Summary: "until destroying is tried again"}
			if err := workflow.NewTimerWithOptions(ctx, i.in.Spec.Timeouts.ShutdownRetry.D(), pause).Get(ctx, nil); err != nil {
				i.log.Error("timer failed", "error", err)
			}
		}
	}
	i.cancelRuns()
	for _, a := range slices.Clone(i.attempts) {
		how := api.Lost
		if a.givenUp {
			how = api.Unkillable
		}
		i.end(ctx, a, api.Ended{How: how, Detail: fmt.Sprintf("instance %s: %s", i.called(), i.state.Reason)})
	}
	i.state.GoneAt = api.Time{Time: workflow.Now(ctx)}
	i.countCost(ctx)
	i.enter(ctx, api.StateGone, i.state.Reason)
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

// failedBoot returns the boot outcome of an instance that never came up.
func (i *instance) failedBoot() string {
	switch {
	case i.gone != "":
		return api.BootDisappeared
	case i.late != "":
		return api.BootFailure
	}
	return api.BootAborted
}

// await blocks until the condition holds.
func (i *instance) await(ctx workflow.Context, condition func() bool) {
	if err := workflow.Await(ctx, condition); err != nil && ctx.Err() == nil {
		i.log.Error("await failed", "error", err)
	}
}
