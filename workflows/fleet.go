package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
	"drover/internal/fleetspec"
	"drover/internal/schedule"
)

// Fleet manages the instances and the queue of one fleet: it folds in what
// containers ask and what instances report, has package schedule decide, and carries
// that out. It returns when the fleet is deleted. packed is in.Carried, when that is long.
func Fleet(ctx workflow.Context, in api.FleetInput, packed []byte) (api.FleetState, error) {
	if packed != nil {
		carried, err := api.Unpack(packed)
		if err != nil {
			return api.FleetState{}, err
		}
		in.Carried = &carried
	}
	f, err := newFleet(ctx, in)
	if err != nil {
		return api.FleetState{}, err
	}
	ctx = f.deleteWhenCancelled(ctx)
	for !f.over() || !f.isEmpty(ctx) {
		f.awaitNews(ctx)
		if letOthersRun(ctx); f.mustContinue(ctx) && !f.isLaden() {
			if err := f.continueAsNew(ctx); err != nil {
				return f.answer(), err
			}
		}
		f.decide(ctx)
		f.carryOut(ctx)
	}
	return f.answer(), nil
}

// fleet is what the coroutines of one Fleet workflow share.
type fleet struct {
	spec  fleetspec.Spec
	log   log.Logger
	info  *workflow.Info
	since time.Time

	ready    api.FleetReady
	problem  string // why nothing can be created
	prepared bool
	deleting bool
	// recalled: the containers of an earlier fleet have been told, up to recallPage otherwise.
	recalled   bool
	recallPage []byte

	types      []schedule.InstanceType
	shapes     []schedule.Shape
	containers []*member
	byID       map[string]*member
	instances  []*machine
	byName     map[string]*machine
	learnt     schedule.Learnt
	ordered    ordered
	strangers  map[string]bool     // containers that an instance has said it runs and that were not known
	stories    map[string][]string // what went wrong with a container's attempts
	had        had
	totals     api.FleetTotals
	looks      api.Looks // at the cloud's list
	nextOrder  int64
	names      int64
	applied    int // changes of the spec, in this run of the workflow

	news     bool
	received int       // signals, in this run of the workflow
	effort   int       // of the decisions, in this run of the workflow
	wake     time.Time // when to decide again without news
	waits    bool      // for what runs on instances that were found
	world    schedule.World
	decision schedule.Decision
	outbox   []api.Message // besides the decision's
	handover *handover     // while this run waits to be followed by the next
	batch    int64
	// With tooMany containers the state did not fit into the next run's input. With as many
	// it is not tried again before fitsAfter.
	tooMany   int
	fitsAfter time.Time
}

// member is a container that has not ended.
type member struct {
	schedule.Container
	attempts int // allowed
	attempt  int // the number of the present one
	highest  int // number of an attempt
	used     int // up, the present one included
	queuedAt time.Time
	label    string
	workflow string // its ID, when it is not the usual one
	cancel   bool
	again    bool // it was submitted before this fleet was created
	// after are the attempts of which one has to end before it begins; none but in one that
	// is Next.
	after   []string
	revoked bool // so says an order
	at      int  // its index in the world that was decided on; -1: none
	place   int  // its index in the fleet's list
}

// machine is an instance as the fleet sees it.
type machine struct {
	api.CarriedInstance
	containers int
	next       *member // that was sent ahead
}

func newFleet(ctx workflow.Context, in api.FleetInput) (*fleet, error) {
	if err := fleetspec.Validate(in.Spec); err != nil {
		return nil, temporal.NewNonRetryableApplicationError(err.Error(), api.ErrorInvalid, nil)
	}
	info := workflow.GetInfo(ctx)
	if want := api.FleetWorkflowID(in.Spec.Name); info.WorkflowExecution.ID != want {
		return nil, temporal.NewNonRetryableApplicationError(
			fmt.Sprintf("the workflow ID of fleet %s must be %s", in.Spec.Name, want), api.ErrorInvalid, nil)
	}
	f := &fleet{
		spec: in.Spec, log: workflow.GetLogger(ctx), info: info, since: workflow.Now(ctx),
		byID: map[string]*member{}, byName: map[string]*machine{}, strangers: map[string]bool{}, stories: map[string][]string{},
		learnt: schedule.NewLearnt(in.Spec.Limits.InitialQuotaEstimate), news: true, looks: api.Looks{Last: workflow.Now(ctx)},
	}
	f.types = schedule.TypesOf(f.spec)
	if in.Carried != nil {
		f.unpack(*in.Carried)
	}
	for _, mail := range in.Mail {
		f.take(ctx, mail)
	}
	f.received = 0
	if err := f.handle(ctx); err != nil {
		return nil, err
	}
	err := workflow.UpsertTypedSearchAttributes(ctx, api.AttributeFleet.ValueSet(f.spec.Name), api.AttributeState.ValueSet("active"))
	return f, err
}

// over reports whether the fleet has been deleted and nothing of it is left.
func (f *fleet) over() bool {
	return f.deleting && len(f.containers) == 0 && len(f.instances) == 0 && len(f.outbox) == 0
}

// deleteWhenCancelled returns a context that outlives a cancellation of the workflow,
// which is an order to delete the fleet once its containers have ended.
func (f *fleet) deleteWhenCancelled(outer workflow.Context) workflow.Context {
	ctx, _ := workflow.NewDisconnectedContext(outer)
	workflow.GoNamed(ctx, "cancellation", func(ctx workflow.Context) {
		if workflow.Await(ctx, func() bool { return outer.Err() != nil }) == nil {
			f.stay(ctx)
			f.deleting, f.news = true, true
		}
	})
	f.listen(ctx)
	workflow.GoNamed(ctx, "prepare", f.prepare)
	workflow.GoNamed(ctx, "sync", f.sync)
	if !f.recalled {
		workflow.GoNamed(ctx, "recall", f.recall)
	}
	return ctx
}

// awaitNews blocks until something has come in or a decision is due.
func (f *fleet) awaitNews(ctx workflow.Context) {
	news := func() bool { return f.news || len(f.outbox) > 0 || f.mustContinue(ctx) }
	if f.wake.IsZero() {
		if err := workflow.Await(ctx, news); err != nil {
			return
		}
	} else if wait := f.wake.Sub(workflow.Now(ctx)); wait > 0 {
		options := workflow.AwaitOptions{Timeout: wait, TimerOptions: workflow.TimerOptions{Summary: "until the next decision is due"}}
		if _, err := workflow.AwaitWithOptions(ctx, options, news); err != nil {
			return
		}
	}
}

// prepare has a worker check that it can work for this fleet, until one can. What the cloud
// has then is known to a fleet that begins; later it is what the sync finds twice.
func (f *fleet) prepare(ctx workflow.Context) {
	for {
		spec, applied := f.spec, f.applied
		options := activityOptions("prepare fleet "+spec.Name, time.Minute)
		options.RetryPolicy.MaximumAttempts = 2
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), api.PrepareFleetActivity, spec).Get(ctx, &f.ready)
		if ctx.Err() != nil {
			return
		}
		f.stay(ctx)
		// While the cloud does not answer, instances that are up take containers all the same.
		begins := !f.prepared
		f.prepared = err == nil || f.prepared && typeOf(err) != api.ErrorInvalid
		f.problem, f.news = "", true
		for _, found := range f.ready.Found {
			if m := f.byName[found.Name]; begins && (m == nil || m.Heard) {
				f.adopt(ctx, found)
			}
		}
		f.ready.Found = nil
		if err != nil {
			f.problem = reasonOf(err)
			f.log.Error("the fleet can't work", "error", err)
		}
		f.prepareAgain(ctx, applied, err != nil)
	}
}

// prepareAgain blocks until the spec that was prepared is no longer the fleet's, or,
// after a failure, until it is time to try again. The condition is looked at whenever
// anything happens, so it must be cheap.
func (f *fleet) prepareAgain(ctx workflow.Context, applied int, failed bool) {
	changed := func() bool { return f.applied != applied }
	var err error
	if failed {
		options := workflow.AwaitOptions{Timeout: time.Minute, TimerOptions: workflow.TimerOptions{Summary: "until the fleet is prepared again"}}
		_, err = workflow.AwaitWithOptions(ctx, options, changed)
	} else {
		err = workflow.Await(ctx, changed)
	}
	if err != nil {
		f.log.Debug("no longer waiting for a new spec", "error", err)
	}
}

// answer answers QueryState.
func (f *fleet) answer() api.FleetState {
	s := api.FleetState{
		Name: f.spec.Name, Spec: f.spec, OutputStore: f.ready.OutputStore, Problem: f.problem, Deleting: f.deleting,
		Totals: f.totals, Since: api.Time{Time: f.since}, Instances: []api.FleetInstanceState{},
	}
	for _, c := range f.containers {
		switch {
		case c.Next || c.Binding == schedule.Assigned:
			s.Assigned++
		case c.Binding == schedule.Running:
			s.Running++
		default:
			s.Queued++
		}
	}
	for _, m := range f.instances {
		s.Instances = append(s.Instances, api.FleetInstanceState{
			Name: m.Name, Type: m.Type, State: m.State, IdleBehavior: m.Behavior, CloudID: m.CloudID, Containers: m.containers,
		})
	}
	return s
}
