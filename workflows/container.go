package workflows

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// Container is one container, from its submission to its result. Its input is an
// api.ContainerSpec. A command that exits non-zero is a result; the workflow fails
// when its input is wrong, when its fleet does not exist or can't run it, and when
// the machines have failed it too often. Cancelling the workflow kills the container.
// carried is what an earlier run of the same workflow left: nil in the first.
func Container(ctx workflow.Context, input json.RawMessage, carried *api.ContainerCarried) (api.ContainerResult, error) {
	c, err := newContainer(ctx, input, carried)
	if err != nil {
		return api.ContainerResult{}, err
	}
	durable, _ := workflow.NewDisconnectedContext(ctx)
	if carried == nil {
		err = c.submit(durable)
	}
	if err != nil {
		return api.ContainerResult{}, c.failed(durable, err)
	}
	c.follow(durable, ctx)
	if c.outcome == nil {
		return api.ContainerResult{}, c.continueAsNew(durable, input)
	}
	return c.conclude(durable)
}

// container is what the coroutines of one Container workflow share.
type container struct {
	spec    api.ContainerSpec
	state   api.ContainerState
	info    *workflow.Info
	outcome *api.Outcome
	// cancelled: the user wants it ended.
	cancelled bool
	passed    int // the priority that the fleet knows
	requests  int
	asking    int    // requests and questions that are under way
	received  int    // signals, in this run of the workflow
	unknown   int    // how often in a row the fleet has said that it does not know it
	again     bool   // it has been submitted before
	note      string // that a person should see
}

func newContainer(ctx workflow.Context, input json.RawMessage, carried *api.ContainerCarried) (*container, error) {
	c := &container{info: workflow.GetInfo(ctx)}
	var err error
	c.spec, err = api.ParseContainerSpec(input)
	if id := c.info.WorkflowExecution.ID; err == nil && strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r > '~' }) {
		err = fmt.Errorf("workflow ID %q is not allowed: printable ASCII only, or nobody can answer it", id)
	}
	if err != nil {
		return nil, temporal.NewNonRetryableApplicationError(err.Error(), api.ErrorInvalid, nil)
	}
	c.state = api.ContainerState{
		ID: api.ContainerID(c.info.WorkflowExecution.ID), Fleet: c.spec.Fleet, Priority: c.spec.Priority,
		Command: c.spec.Label(200), State: api.ContainerQueued, QueuedAt: api.Time{Time: workflow.Now(ctx)},
		Status: "submitted to fleet " + c.spec.Fleet,
	}
	c.passed = c.spec.Priority
	if carried != nil {
		c.state, c.cancelled, c.note, c.passed = carried.State, carried.Cancelled, carried.Note, carried.Passed
	}
	err = workflow.SetQueryHandler(ctx, api.QueryState, func() (api.ContainerState, error) { return c.state, nil })
	if err != nil {
		return nil, err
	}
	attributes := workflow.GetTypedSearchAttributes(ctx)
	if _, set := attributes.GetKeyword(api.AttributeFleet); !set {
		err = workflow.UpsertTypedSearchAttributes(ctx, api.AttributeFleet.ValueSet(c.spec.Fleet), api.AttributeState.ValueSet(c.state.State))
	}
	c.show(ctx)
	return c, err
}

// submit has the fleet queue the container.
func (c *container) submit(ctx workflow.Context) error {
	c.passed = c.state.Priority
	return c.ask(ctx, "submit to fleet "+c.spec.Fleet, api.Request{
		Kind: api.Submit, Priority: c.state.Priority, QueuedAt: c.state.QueuedAt.Time,
		VCPUs: c.spec.VCPUs, Memory: c.spec.Memory, Scratch: c.spec.Scratch, GPUs: c.spec.GPUs,
		Preemptible: c.spec.Preemptible, Attempts: c.spec.Attempts, Image: c.spec.Image != "", Label: c.spec.Label(48),
		Again: c.again,
	})
}

// ask sends a request to the fleet.
func (c *container) ask(ctx workflow.Context, summary string, request api.Request) error {
	request.ID = c.state.ID
	request.WorkflowID = api.OtherWorkflowID(c.info.WorkflowExecution.ID)
	c.requests++
	c.asking++
	defer func() { c.asking-- }()
	content, err := json.Marshal(request)
	if err != nil {
		return err
	}
	in := api.SubmitInput{
		Fleet: c.spec.Fleet, Request: request,
		RequestID: requestID(c.info.WorkflowExecution.RunID, int64(c.requests), content),
	}
	if request.Kind == api.Submit {
		ctx = workflow.WithLocalActivityOptions(ctx, localOptions(summary))
		return workflow.ExecuteLocalActivity(ctx, api.SubmitActivity, in).Get(ctx, nil)
	}
	// What people ask for may come in a stream, and a local activity would keep the workflow
	// task open: the server ends one during which a hundred signals have come in.
	ctx = workflow.WithActivityOptions(ctx, activityOptions(summary, 30*time.Second))
	return workflow.ExecuteActivity(ctx, api.SubmitActivity, in).Get(ctx, nil)
}

// follow blocks until the container has an outcome, or this run must end, passing on
// what its user wants meanwhile. outer is the context that a cancellation reaches.
func (c *container) follow(ctx, outer workflow.Context) {
	ctx, stop := workflow.WithCancel(ctx)
	defer stop()
	workflow.GoNamed(ctx, "outcome", c.takeOutcome)
	workflow.GoNamed(ctx, "priorities", c.takePriorities)
	workflow.GoNamed(ctx, "priority", c.passPriorities)
	workflow.GoNamed(ctx, "status", c.refresh)
	workflow.GoNamed(ctx, "recall", c.recalled)
	workflow.GoNamed(ctx, "cancellation", func(ctx workflow.Context) {
		if workflow.Await(ctx, func() bool { return outer.Err() != nil }) != nil || c.outcome != nil || c.cancelled {
			return
		}
		c.cancelled = true
		c.status(ctx, "cancelled: waits for its end")
		if err := c.ask(ctx, "cancel in fleet "+c.spec.Fleet, api.Request{Kind: api.Cancel}); err != nil && c.outcome == nil {
			c.outcome = &api.Outcome{Cancelled: true} // there is no fleet that could run it
		}
	})
	for c.outcome == nil {
		if err := workflow.Await(ctx, func() bool { return c.outcome != nil || c.mustContinue(ctx) }); err != nil {
			workflow.GetLogger(ctx).Error("await failed", "error", err)
		}
		if letOthersRun(ctx); c.mustContinue(ctx) {
			return
		}
	}
}

// mustContinue reports whether this run has grown so long that the next must take
// over, and can.
func (c *container) mustContinue(ctx workflow.Context) bool {
	return isLong(ctx, c.received) && c.asking == 0
}

// continueAsNew starts this workflow's next run, which carries on where this one is.
func (c *container) continueAsNew(ctx workflow.Context, input json.RawMessage) error {
	return workflow.NewContinueAsNewError(ctx, api.ContainerWorkflow, input,
		api.ContainerCarried{State: c.state, Cancelled: c.cancelled, Note: c.note, Passed: c.passed})
}
