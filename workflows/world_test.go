package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"drover/internal/api"
	"drover/internal/fleetspec"
	"drover/workflows"
)

// world is what the activities of a workflow under test see of clouds, instances and
// other workflows. Its fields are scripts; the zero value is a world in which
// everything works at once and containers run until they are told otherwise.
type world struct {
	t      *testing.T
	env    *testsuite.TestWorkflowEnvironment
	counts map[string]int // of drover's metrics

	create    func(api.CreateInput) error
	creates   func(context.Context) error
	address   func() error
	bootProbe func() error
	// bootProbes is bootProbe with the activity's context.
	bootProbes func(context.Context) error
	copies     func(context.Context) error
	listings   func(context.Context) (api.Listing, error)
	destroys   func(context.Context) error
	explains   func(context.Context) error
	prepares   func() error
	run        func(context.Context, api.RunContainerInput) (api.RunContainerResult, error)
	kill       func(api.KillInput) (bool, error)
	revoke     func() error
	destroy    func() error
	watch      func(context.Context, api.WatchInput) (api.WatchResult, error)
	lastSeen   func() (api.Watched, error)
	missing    func(api.Message) bool
	doubtful   bool // what is missing

	mu         sync.Mutex
	did        []string
	revoked    []api.RevokeInput
	tags       []string
	tagFails   bool
	reports    []api.Report
	orders     []api.Orders
	outcomes   map[string][]api.Outcome // by workflow ID
	sent       []string                 // signals and their receivers, in order
	syncs      []api.SyncInput          // but for those that look once
	delivered  [][]api.Message          // by call
	started    []api.InstanceInput
	requests   []api.Request
	destroyed  int
	asked      int  // the fleet, for a container's status
	unknown    bool // the container, to the fleet
	fleetless  bool // there is no fleet any more
	bootProbed int
	found      []api.Found // what the cloud lists at first
	leftOver   []api.Found // what it lists when the fleet is about to end
	recallNext []byte      // the second page of containers that are told to submit themselves again
	lists      []string    // what the run probe lists
	tokens     map[string][]byte
}

func newWorld(t *testing.T) *world {
	var suite testsuite.WorkflowTestSuite
	counts := map[string]int{}
	suite.SetMetricsHandler(tally{counts: counts})
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute}) // on a busy machine, a second is no sign of one
	w := &world{t: t, env: env, counts: counts, outcomes: map[string][]api.Outcome{}, tokens: map[string][]byte{}}
	for name, function := range map[string]any{
		api.CreateInstanceActivity: w.createInstance, api.AwaitAddressActivity: w.awaitAddress,
		api.BootProbeActivity: w.probeBoot, api.CopyRunnerActivity: w.copyRunner, api.RunProbeActivity: w.probeRun,
		api.WatchActivity: w.watchInstance, api.LastSeenActivity: w.lastSeenOf, api.RunContainerActivity: w.runContainer, api.KillContainerActivity: w.killContainer,
		api.RevokeContainerActivity: w.revokeContainer,
		api.DestroyInstanceActivity: w.destroyInstance, api.TagInstanceActivity: w.tag, api.ExplainBootActivity: w.explain,
		api.PrepareFleetActivity: w.prepare, api.SyncFleetActivity: w.sync, api.RecallActivity: w.recall, api.DeliverActivity: w.deliver, api.SubmitActivity: w.submit, api.AskStatusActivity: w.ask,
	} {
		env.RegisterActivityWithOptions(function, activity.RegisterOptions{Name: name})
	}
	env.SetTestTimeout(20 * time.Second)
	return w
}

func (w *world) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.did = append(w.did, what)
}

func (w *world) createInstance(ctx context.Context, in api.CreateInput) (api.Machine, error) {
	w.note("create")
	in.Machine.CloudID = "i-1"
	if w.creates != nil {
		return in.Machine, w.creates(ctx)
	}
	if w.create != nil {
		return in.Machine, w.create(in)
	}
	return in.Machine, nil
}

func (w *world) awaitAddress(_ context.Context, m api.Machine) (api.Machine, error) {
	m.Address = "10.0.0.1:22"
	if w.address != nil {
		return m, w.address()
	}
	return m, nil
}

func (w *world) probeBoot(ctx context.Context, in api.BootProbeInput) error {
	if w.bootProbes != nil {
		return w.bootProbes(ctx)
	}
	w.note("boot probe " + in.Machine.Address)
	if w.bootProbe == nil {
		return nil
	}
	err := w.bootProbe()
	if w.bootProbed++; w.bootProbed > 1 && errors.Is(err, errNotYet) {
		return errRefused // the last try is not tried again
	}
	return err
}

func (w *world) copyRunner(ctx context.Context, _ api.CopyRunnerInput) (string, error) {
	w.note("copy runner")
	if w.copies != nil {
		return "/runner", w.copies(ctx)
	}
	return "/runner", nil
}

func (w *world) probeRun(ctx context.Context, _ api.Machine) (api.Listing, error) {
	w.note("run probe")
	if w.listings != nil {
		return w.listings(ctx)
	}
	return api.Listing{Containers: w.lists}, nil
}

func (w *world) watchInstance(ctx context.Context, in api.WatchInput) (api.WatchResult, error) {
	if w.watch != nil {
		return w.watch(ctx, in)
	}
	return api.WatchResult{}, activity.ErrResultPending // lasts: time goes on
}

func (w *world) lastSeenOf(context.Context, api.LastSeenInput) (api.Watched, error) {
	if w.lastSeen != nil {
		return w.lastSeen()
	}
	return api.Watched{}, nil
}

func (w *world) runContainer(ctx context.Context, in api.RunContainerInput) (api.RunContainerResult, error) {
	w.note("run " + in.Assignment.Container)
	if w.run != nil {
		return w.run(ctx, in)
	}
	return w.runsOn(ctx, in)
}

func (w *world) killContainer(_ context.Context, in api.KillInput) (bool, error) {
	w.note("kill " + in.Assignment.Container)
	if w.kill != nil {
		return w.kill(in)
	}
	return true, nil
}

func (w *world) revokeContainer(_ context.Context, in api.RevokeInput) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revoked = append(w.revoked, in)
	if w.revoke != nil {
		return w.revoke()
	}
	return nil
}

func (w *world) destroyInstance(ctx context.Context, _ api.DestroyInput) error {
	w.note("destroy")
	if w.destroys != nil {
		if err := w.destroys(ctx); err != nil {
			return err
		}
	}
	if w.destroy != nil {
		if err := w.destroy(); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.destroyed++
	return nil
}

func (w *world) tag(_ context.Context, in api.TagInput) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tagFails {
		return temporal.NewNonRetryableApplicationError("not authorized", "denied", nil)
	}
	w.tags = append(w.tags, string(in.Behavior))
	return nil
}

func (w *world) explain(ctx context.Context, _ api.ExplainInput) (string, error) {
	if w.explains != nil {
		if err := w.explains(ctx); err != nil {
			return "", err
		}
	}
	return "tried 7 times; last error: connection refused", nil
}

func (w *world) prepare(context.Context, fleetspec.Spec) (api.FleetReady, error) {
	if w.prepares != nil {
		if err := w.prepares(); err != nil {
			return api.FleetReady{}, err
		}
	}
	return api.FleetReady{OutputStore: "file:///output", Found: w.found}, nil
}

func (w *world) sync(ctx context.Context, in api.SyncInput) (api.SyncResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if in.Once {
		result := api.SyncResult{Found: w.leftOver}
		w.leftOver = nil
		return result, nil
	}
	w.syncs = append(w.syncs, in)
	w.tokens["sync"] = activity.GetInfo(ctx).TaskToken
	return api.SyncResult{}, activity.ErrResultPending
}

func (w *world) recall(_ context.Context, in api.RecallInput) ([]byte, error) {
	w.note("recall " + string(in.Page))
	if len(in.Page) == 0 {
		return w.recallNext, nil
	}
	return nil, nil
}

func (w *world) deliver(_ context.Context, messages []api.Message) (api.Delivery, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var delivery api.Delivery
	w.delivered = append(w.delivered, messages)
	for k, m := range messages {
		if w.missing != nil && w.missing(m) {
			delivery.Missing = append(delivery.Missing, k)
			if w.doubtful {
				delivery.Doubtful = append(delivery.Doubtful, k)
			}
			continue
		}
		if err := w.take(m); err != nil {
			return delivery, err
		}
	}
	return delivery, nil
}

func (w *world) take(m api.Message) error {
	decode := func(into any) error { return json.Unmarshal(m.Payload, into) }
	w.sent = append(w.sent, m.Signal+" to "+m.WorkflowID)
	switch m.Signal {
	case api.SignalReport:
		var report api.Report
		defer func() { w.reports = append(w.reports, report) }()
		return decode(&report)
	case api.SignalOrders:
		var orders api.Orders
		defer func() { w.orders = append(w.orders, orders) }()
		return decode(&orders)
	case api.SignalOutcome:
		var outcome api.Outcome
		defer func() { w.outcomes[m.WorkflowID] = append(w.outcomes[m.WorkflowID], outcome) }()
		return decode(&outcome)
	case "":
		var in api.InstanceInput
		defer func() { w.started = append(w.started, in) }()
		return decode(&in)
	}
	return fmt.Errorf("unexpected signal %s", m.Signal)
}

func (w *world) submit(_ context.Context, in api.SubmitInput) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if in.Fleet != "default" || w.fleetless {
		return temporal.NewNonRetryableApplicationError(fmt.Sprintf("fleet %q does not exist; fleets: default", in.Fleet), api.ErrorNoFleet, nil)
	}
	w.requests = append(w.requests, in.Request)
	return nil
}

func (w *world) ask(context.Context, api.AskInput) (api.ContainerState, error) {
	if w.asked++; w.unknown {
		return api.ContainerState{ID: "c-1", Fleet: "default"}, nil
	}
	return api.ContainerState{State: api.ContainerQueued, Status: "queue position 1"}, nil
}

// runsOn is a script for containers that run until finish is called.
func (w *world) runsOn(ctx context.Context, in api.RunContainerInput) (api.RunContainerResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens[in.Assignment.Container] = activity.GetInfo(ctx).TaskToken
	return api.RunContainerResult{}, activity.ErrResultPending
}

// finish ends a container of runsOn.
func (w *world) finish(d time.Duration, container string, result api.RunContainerResult) {
	w.after(d, func() {
		w.mu.Lock()
		token := w.tokens[container]
		w.mu.Unlock()
		require.NoError(w.t, w.env.CompleteActivity(token, result, nil))
	})
}

// after runs f when so much time has passed in the workflow.
func (w *world) after(d time.Duration, f func()) { w.env.RegisterDelayedCallback(f, d) }

// signal sends a signal when so much time has passed in the workflow.
func (w *world) signal(d time.Duration, name string, payload any) {
	w.after(d, func() { w.env.SignalWorkflow(name, payload) })
}

// orders sends orders with that Seq when so much time has passed.
func (w *world) order(d time.Duration, seq int64, orders api.Orders) {
	orders.Seq = seq
	w.signal(d, api.SignalOrders, orders)
}

// state is the answer to the query.
func query[T any](w *world) T {
	var state T
	answer, err := w.env.QueryWorkflow(api.QueryState)
	require.NoError(w.t, err)
	require.NoError(w.t, answer.Get(&state))
	return state
}

// details are what the Web UI shows on top of the workflow's page.
func (w *world) details() string {
	var metadata sdkpb.WorkflowMetadata
	answer, err := w.env.QueryWorkflow("__temporal_workflow_metadata")
	require.NoError(w.t, err)
	require.NoError(w.t, answer.Get(&metadata))
	return metadata.GetCurrentDetails()
}

// live runs the Instance workflow to its end.
func (w *world) live() api.InstanceState { return w.liveWith(instanceInput()) }

func (w *world) liveWith(in api.InstanceInput) api.InstanceState {
	w.env.ExecuteWorkflow(workflows.Instance, in)
	require.True(w.t, w.env.IsWorkflowCompleted(), "the workflow did not end")
	require.NoError(w.t, w.env.GetWorkflowError())
	var state api.InstanceState
	require.NoError(w.t, w.env.GetWorkflowResult(&state))
	require.Equal(w.t, api.StateGone, state.State)
	last := w.reports[len(w.reports)-1]
	require.True(w.t, last.Gone, "the last report says that the instance is gone")
	require.Equal(w.t, 1, w.bootOutcomes(), "one boot outcome in all reports")
	return state
}

// bootOutcomes counts the different boot outcomes of the reports.
func (w *world) bootOutcomes() int {
	var seen []string
	for _, r := range w.reports {
		if r.BootOutcome != "" && !slices.Contains(seen, r.BootOutcome) {
			seen = append(seen, r.BootOutcome)
		}
	}
	return len(seen)
}

// ended returns the ends of attempts of all reports.
func (w *world) ended() []api.Ended {
	var all []api.Ended
	for _, r := range w.reports {
		all = append(all, r.Ended...)
	}
	return all
}

func instanceInput() api.InstanceInput {
	spec := fleetspec.Default("default")
	t := spec.InstanceTypes[0]
	return api.InstanceInput{Name: "default-abc", Type: t, Spec: api.InstanceSpecOf(spec)}
}

func assignment(id string) api.Assignment {
	return api.Assignment{Container: id, Attempt: 1, Label: "true", Share: 0.5}
}

// exits is a script for containers that end with an exit code after a while.
func exits(code int) func(context.Context, api.RunContainerInput) (api.RunContainerResult, error) {
	return func(context.Context, api.RunContainerInput) (api.RunContainerResult, error) {
		now := time.Now()
		return api.RunContainerResult{How: api.Exited, ExitCode: code, StartedAt: now, FinishedAt: now.Add(time.Hour)}, nil
	}
}

// errNotYet is what an activity returns that is retried for ever. (The test environment
// itself gives up after 10 attempts, which no server does.)
var errNotYet = activity.ErrResultPending

// errRefused is the end of an activity that is tried once.
var errRefused = temporal.NewNonRetryableApplicationError("connection refused", "again", nil)

var errUnexpected = errors.New("unexpected")
