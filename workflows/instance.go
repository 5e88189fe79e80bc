// Package workflows is drover's durable logic: the lives of a fleet, of an instance
// and of a container. It is deterministic and does no I/O; what touches the world is
// in package activities.
package workflows

import (
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
	if !i.untilOver(ctx) {
		return i.state, i.continueAsNew(ctx)
	}
	return i.state, nil
}

// live is the instance's life, from where the last run of the workflow has left it.
func (i *instance) live(ctx workflow.Context) {
	if c := i.in.Carried; c != nil {
		i.reattach(ctx, c)
	}
	if !i.leaves() && (i.isUp() || i.exists(ctx) && i.boot(ctx)) {
		i.serve(ctx)
	}
	i.shutDown(ctx)
	i.takeLeave(ctx)
	i.over = true
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

	// Why it leaves.
	destroy     bool   // asked to, whatever runs
	leave       string // asked to, if nothing runs: why
	gone        string // the cloud says so: why
	late        string // it did not boot in time: the timeout, and the last error
	unreachable string // no probe has succeeded for the probe timeout: the last error
	unfit       string // it drains once it is no longer on hold: why
	broken      bool   // its last listing said so
	// What was listed on it, as far as it is still to be missed, what its last listing called
	// stale, and since when that is so, by the runner's names.
	seen, stale []string
	staleSince  map[string]time.Time
	watches     int       // how many activities probe it, whose heartbeats know more
	lookedBack  time.Time // at what these have said

	refusal   *api.CreateRefusal // by the cloud
	created   bool               // it may exist: the cloud was asked for it
	doubtful  bool               // it may exist although asking for it failed
	listed    bool               // what runs on it has been listed
	cameUp    *up                // by the last try, after the boot timeout
	aliveAt   time.Time          // since when its boot timeout counts
	lastTried string             // why the last try failed
	explains  bool               // it is found out why it did not boot
	explained bool               // why it did not boot
	idleSince time.Time
	tagged    api.Behavior // as the cloud's tag says
	tagging   bool         // the tag is being written
	aged      bool         // it has been drained for its age
	kept      bool         // stays when its idle timeout has passed
	busyCost  float64

	mail       outbox
	had        []string // attempts that ended last: they are not started again
	ordersSeen int64
	ordersFrom string // which fleet's they are
	over       bool   // its life

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
	killing  bool
	killBy   time.Time // when it is given up; zero: the term timeout has not begun
	revoking bool
	givenUp  bool
	unlisted bool                // the instance no longer lists it
	detach   workflow.CancelFunc // from it, to attach anew
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
		i.carryOn(c)
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
	workflow.GoNamed(ctx, "life", i.live) // before any order is taken in
	i.listen(ctx, outer)
	workflow.GoNamed(ctx, "reports", i.deliverMail)
	workflow.GoNamed(ctx, "tags", i.keepTags)
	return i, ctx, nil
}

// begin fills in what is known of an instance before its creation.
func (i *instance) begin(ctx workflow.Context) {
	spec, now := i.in.Spec, workflow.Now(ctx)
	i.aliveAt = now
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
func (i *instance) isUp() bool {
	return i.in.Carried != nil && i.in.Carried.State.BootOutcome == api.BootSuccess
}

// await blocks until the condition holds.
func (i *instance) await(ctx workflow.Context, condition func() bool) {
	if err := workflow.Await(ctx, condition); err != nil && ctx.Err() == nil {
		i.log.Error("await failed", "error", err)
	}
}
