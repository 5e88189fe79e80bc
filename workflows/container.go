package workflows

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// Container is one container, from its submission to its result. Its input is an
// api.ContainerSpec. A command that exits non-zero is a result; the workflow fails
// when its input is wrong, when its fleet does not exist or can't run it, and when
// the machines have failed it too often. Cancelling the workflow kills the container.
func Container(ctx workflow.Context, input json.RawMessage) (api.ContainerResult, error) {
	c, err := newContainer(ctx, input)
	if err != nil {
		return api.ContainerResult{}, err
	}
	durable, _ := workflow.NewDisconnectedContext(ctx)
	if err := c.submit(durable); err != nil {
		return api.ContainerResult{}, c.failed(durable, err)
	}
	c.follow(durable, ctx)
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
	requests  int
	note      string // that a person should see
}

func newContainer(ctx workflow.Context, input json.RawMessage) (*container, error) {
	c := &container{info: workflow.GetInfo(ctx), spec: api.DefaultContainerSpec()}
	err := json.Unmarshal(input, &c.spec)
	if err == nil {
		err = c.spec.Validate()
	}
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
	return c.ask(ctx, "submit to fleet "+c.spec.Fleet, api.Request{
		Kind: api.Submit, Priority: c.spec.Priority, QueuedAt: c.state.QueuedAt.Time,
		VCPUs: c.spec.VCPUs, Memory: c.spec.Memory, Scratch: c.spec.Scratch, GPUs: c.spec.GPUs,
		Preemptible: c.spec.Preemptible, Attempts: c.spec.Attempts, Image: c.spec.Image != "", Label: c.spec.Label(48),
	})
}

// ask sends a request to the fleet.
func (c *container) ask(ctx workflow.Context, summary string, request api.Request) error {
	request.ID = c.state.ID
	request.WorkflowID = api.OtherWorkflowID(c.info.WorkflowExecution.ID)
	c.requests++
	in := api.SubmitInput{
		Fleet: c.spec.Fleet, Request: request,
		RequestID: fmt.Sprintf("%s/%d", c.info.WorkflowExecution.RunID, c.requests),
	}
	ctx = workflow.WithLocalActivityOptions(ctx, localOptions(summary))
	return workflow.ExecuteLocalActivity(ctx, api.SubmitActivity, in).Get(ctx, nil)
}

// follow blocks until the container has an outcome, passing on what its user wants
// meanwhile. outer is the context that a cancellation reaches.
func (c *container) follow(ctx, outer workflow.Context) {
	ctx, stop := workflow.WithCancel(ctx)
	defer stop()
	workflow.GoNamed(ctx, "outcome", func(ctx workflow.Context) {
		var outcome api.Outcome
		workflow.GetSignalChannel(ctx, api.SignalOutcome).Receive(ctx, &outcome)
		if c.outcome == nil {
			c.outcome = &outcome
		}
	})
	workflow.GoNamed(ctx, "priority", c.takePriorities)
	workflow.GoNamed(ctx, "status", c.refresh)
	workflow.GoNamed(ctx, "cancellation", func(ctx workflow.Context) {
		if workflow.Await(ctx, func() bool { return outer.Err() != nil }) != nil || c.outcome != nil {
			return
		}
		c.cancelled = true
		c.status(ctx, "cancelled: waits for its end")
		if err := c.ask(ctx, "cancel in fleet "+c.spec.Fleet, api.Request{Kind: api.Cancel}); err != nil && c.outcome == nil {
			c.outcome = &api.Outcome{Cancelled: true} // there is no fleet that could run it
		}
	})
	if err := workflow.Await(ctx, func() bool { return c.outcome != nil }); err != nil {
		workflow.GetLogger(ctx).Error("await failed", "error", err)
	}
}

// takePriorities passes changes of priority on to the fleet. What is no integer is
// ignored, logged and said.
func (c *container) takePriorities(ctx workflow.Context) {
	for channel := workflow.GetSignalChannel(ctx, api.SignalSetPriority); ; {
		var value converter.RawValue
		channel.Receive(ctx, &value)
		if ctx.Err() != nil {
			return
		}
		var priority int
		if err := json.Unmarshal(value.Payload().GetData(), &priority); err != nil {
			c.note = fmt.Sprintf("ignored signal %s: %q is not an integer", api.SignalSetPriority, value.Payload().GetData())
			workflow.GetLogger(ctx).Warn(c.note)
			c.show(ctx)
			continue
		}
		c.state.Priority = priority
		c.show(ctx)
		if err := c.ask(ctx, fmt.Sprintf("set priority %d", priority), api.Request{Kind: api.Prioritize, Priority: priority}); err != nil {
			workflow.GetLogger(ctx).Warn("priority not passed on", "error", err)
		}
	}
}

// refresh asks the fleet, ever less often, why the container is where it is, so that
// the Web UI can say it. Containers that are done soon cost nothing.
func (c *container) refresh(ctx workflow.Context) {
	unknown := 0
	for wait := 10 * time.Second; ; wait = min(2*wait, 6*time.Hour) {
		timer := workflow.NewTimerWithOptions(ctx, wait, workflow.TimerOptions{Summary: "until the status is refreshed"})
		if timer.Get(ctx, nil) != nil {
			return
		}
		var seen api.ContainerState
		options := localOptions("ask fleet " + c.spec.Fleet + " for the status")
		options.ScheduleToCloseTimeout, options.StartToCloseTimeout = 5*time.Second, 5*time.Second
		in := api.AskInput{Fleet: c.spec.Fleet, Container: c.state.ID}
		err := workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, options), api.AskStatusActivity, in).Get(ctx, &seen)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.status(ctx, "the fleet does not answer: "+reasonOf(err))
			continue
		}
		if seen.State == "" {
			// Its outcome may be on its way. If not, the fleet has been created anew.
			if unknown++; unknown > 1 && c.submit(ctx) == nil {
				unknown = 0
			}
			wait = 5 * time.Second
			continue
		}
		c.state.State, c.state.Instance, c.state.StartedAt = seen.State, seen.Instance, seen.StartedAt
		c.status(ctx, seen.Status)
	}
}

// conclude turns the outcome into the workflow's result.
func (c *container) conclude(ctx workflow.Context) (api.ContainerResult, error) {
	o := c.outcome
	switch {
	case o.Refused != "":
		return api.ContainerResult{}, c.failed(ctx, temporal.NewNonRetryableApplicationError(o.Refused, api.ErrorInvalid, nil))
	case o.Failed != "":
		return api.ContainerResult{}, c.failed(ctx, temporal.NewNonRetryableApplicationError(o.Failed, api.ErrorFailed, nil))
	case o.Result == nil:
		c.end(ctx, api.ContainerCancelled, cmp.Or(o.Story, "cancelled before it started"))
		return api.ContainerResult{}, temporal.NewCanceledError()
	}
	r := *o.Result
	r.QueuedAt = c.state.QueuedAt
	c.state.ExitCode = &r.ExitCode
	c.state.Instance, c.state.StartedAt, c.state.FinishedAt = r.Instance, r.StartedAt, r.FinishedAt
	if c.cancelled && r.ExitCode != 0 {
		c.end(ctx, api.ContainerCancelled, fmt.Sprintf("cancelled; exit code %d", r.ExitCode))
		return r, temporal.NewCanceledError(r)
	}
	c.end(ctx, api.ContainerExited, fmt.Sprintf("exit code %d%s", r.ExitCode, because(r.Error)))
	return r, nil
}

// failed shows an error as the end of the container, and returns it.
func (c *container) failed(ctx workflow.Context, err error) error {
	c.end(ctx, api.ContainerFailed, reasonOf(err))
	return temporal.NewNonRetryableApplicationError(reasonOf(err), typeOf(err), nil)
}

// end shows how the container ended.
func (c *container) end(ctx workflow.Context, state, status string) {
	c.state.State = state
	if c.state.FinishedAt.IsZero() {
		c.state.FinishedAt = api.Time{Time: workflow.Now(ctx)}
	}
	c.status(ctx, status)
	updates := []temporal.SearchAttributeUpdate{api.AttributeState.ValueSet(state)}
	if o := c.outcome; o != nil && o.Result != nil {
		updates = append(updates, api.AttributeInstanceType.ValueSet(o.Result.InstanceType), api.AttributeCloudID.ValueSet(o.Result.CloudID))
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, updates...); err != nil {
		workflow.GetLogger(ctx).Error("search attributes could not be set", "error", err)
	}
}

func (c *container) status(ctx workflow.Context, status string) {
	c.state.Status = status
	c.show(ctx)
}

// show puts the state into the workflow's current details.
func (c *container) show(ctx workflow.Context) {
	s := c.state
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("**%s**%s\n\n- command: `%s`\n- fleet: %s; instance: %s; priority: %d\n- asks for: %g vCPUs, %s memory, %s scratch, %d GPUs\n%s\n",
		s.State, because(s.Status), s.Command, s.Fleet, orNone(s.Instance), s.Priority,
		c.spec.VCPUs, c.spec.Memory, c.spec.Scratch, c.spec.GPUs, c.note))
}
