package workflows

import (
	"encoding/json"
	"fmt"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// takePriorities takes in changes of priority. What is no integer is ignored, logged
// and said.
func (c *container) takePriorities(ctx workflow.Context) {
	for channel := workflow.GetSignalChannel(ctx, api.SignalSetPriority); ; {
		var value converter.RawValue
		channel.Receive(ctx, &value)
		if ctx.Err() != nil {
			return
		}
		c.takePriority(ctx, value)
		c.show(ctx)
	}
}

// passPriorities tells the fleet about changes of priority: of several that come in a
// stream the last, once a second.
func (c *container) passPriorities(ctx workflow.Context) {
	for ctx.Err() == nil {
		if workflow.Await(ctx, func() bool { return c.passed != c.state.Priority }) != nil {
			return
		}
		request := api.Request{Kind: api.Prioritize, Priority: c.state.Priority}
		if err := c.ask(ctx, fmt.Sprintf("set priority %d", request.Priority), request); err != nil {
			workflow.GetLogger(ctx).Warn("priority not passed on", "error", err)
		}
		c.passed = request.Priority
		if c.passed != c.state.Priority {
			options := workflow.TimerOptions{Summary: "until the next change of priority is passed on"}
			if workflow.NewTimerWithOptions(ctx, time.Second, options).Get(ctx, nil) != nil {
				return
			}
		}
	}
}

// takePriority takes in one signal.
func (c *container) takePriority(ctx workflow.Context, value converter.RawValue) {
	c.received++
	var priority *int
	data := value.Payload().GetData()
	if err := json.Unmarshal(data, &priority); err != nil || priority == nil {
		c.note = fmt.Sprintf("ignored signal %s: %.100q is not an integer; allowed: a number such as 5, below 0 to hold it", api.SignalSetPriority, data)
		workflow.GetLogger(ctx).Warn(c.note)
		return
	}
	c.state.Priority = *priority
}

// refresh asks the fleet, ever less often, why the container is where it is, so that
// the Web UI can say it. Containers that are done soon cost nothing.
func (c *container) refresh(ctx workflow.Context) {
	for wait := 10 * time.Second; ; wait = min(2*wait, 6*time.Hour) {
		timer := workflow.NewTimerWithOptions(ctx, wait, workflow.TimerOptions{Summary: "until the status is refreshed"})
		if timer.Get(ctx, nil) != nil {
			return
		}
		var seen api.ContainerState
		options := localOptions("ask fleet " + c.spec.Fleet + " for the status")
		options.ScheduleToCloseTimeout, options.StartToCloseTimeout = 5*time.Second, 5*time.Second
		in := api.AskInput{Fleet: c.spec.Fleet, Container: c.state.ID}
		c.asking++
		err := workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, options), api.AskStatusActivity, in).Get(ctx, &seen)
		c.asking--
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.status(ctx, "the fleet does not answer: "+reasonOf(err))
			wait = min(wait, withoutFleet)
			continue
		}
		if seen.State == "" {
			wait = c.submitAgain(ctx, wait)
			continue
		}
		c.unknown = 0
		c.state.State, c.state.Instance, c.state.StartedAt = seen.State, seen.Instance, seen.StartedAt
		c.status(ctx, seen.Status)
	}
}

// withoutFleet is how long, at most, it takes a container to notice that its fleet has been
// created anew.
const withoutFleet = 10 * time.Minute

// submitAgain has a fleet that does not know the container, and has said so twice, queue
// it, for it has been created anew. It returns how long to wait before it is asked again.
func (c *container) submitAgain(ctx workflow.Context, wait time.Duration) time.Duration {
	const soon = 5 * time.Second
	if c.unknown++; c.unknown == 1 {
		return soon // its outcome may be on its way
	}
	err := c.submitOnce(ctx)
	if err != nil {
		c.status(ctx, reasonOf(err))
		return min(wait, withoutFleet)
	}
	c.unknown = 0
	return soon
}

// recalled submits the container again whenever its fleet was created anew.
func (c *container) recalled(ctx workflow.Context) {
	for channel := workflow.GetSignalChannel(ctx, api.SignalSubmitAgain); ; {
		channel.Receive(ctx, nil)
		if ctx.Err() != nil || c.outcome != nil {
			return
		}
		c.received++
		if err := c.submitOnce(ctx); err != nil {
			workflow.GetLogger(ctx).Warn("not submitted again", "error", err)
		}
	}
}

// submitOnce has a fleet that may not know the container queue it, with what has become
// of it since.
func (c *container) submitOnce(ctx workflow.Context) error {
	c.again = true
	err := c.submit(ctx)
	if err == nil && c.cancelled {
		err = c.ask(ctx, "cancel in fleet "+c.spec.Fleet, api.Request{Kind: api.Cancel})
	}
	return err
}
