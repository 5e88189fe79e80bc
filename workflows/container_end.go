package workflows

import (
	"cmp"
	"encoding/json"
	"fmt"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// takeOutcome takes in how the container ended. What does not say that is not drover's, and
// ignored.
func (c *container) takeOutcome(ctx workflow.Context) {
	for channel := workflow.GetSignalChannel(ctx, api.SignalOutcome); c.outcome == nil; {
		var value converter.RawValue
		channel.Receive(ctx, &value)
		var outcome api.Outcome
		if err := json.Unmarshal(value.Payload().GetData(), &outcome); err != nil || outcome == (api.Outcome{}) {
			workflow.GetLogger(ctx).Warn("ignored an outcome that says nothing", "error", err)
			continue
		}
		if c.outcome == nil {
			c.outcome = &outcome
		}
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
