package workflows

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// handle registers the query and the updates.
func (i *instance) handle(ctx workflow.Context) error {
	err := errors.Join(
		workflow.SetQueryHandler(ctx, api.QueryState, func() (api.InstanceState, error) { return i.state, nil }),
		workflow.SetQueryHandler(ctx, api.QueryAttempts, func() ([]string, error) { return i.names(), nil }))
	if err != nil {
		return err
	}
	err = workflow.SetUpdateHandlerWithOptions(ctx, api.UpdateIdleBehavior,
		func(ctx workflow.Context, order api.SetIdleBehavior) (api.InstanceState, error) {
			i.setBehavior(ctx, order)
			return i.state, nil
		}, workflow.UpdateHandlerOptions{Validator: i.refuseBehavior, Description: "run, hold or drain"})
	if err != nil {
		return err
	}
	return workflow.SetUpdateHandlerWithOptions(ctx, api.UpdateDestroy,
		func(ctx workflow.Context, order api.Destroy) (api.InstanceState, error) {
			i.orderDestroy(ctx, order)
			return i.state, nil
		}, workflow.UpdateHandlerOptions{Validator: api.Destroy.Validate, Description: "shut down now, whatever runs"})
}

// refuseBehavior says why an order can't be carried out, if so.
func (i *instance) refuseBehavior(order api.SetIdleBehavior) error {
	if err := order.Validate(); err != nil {
		return err
	}
	switch {
	case i.leaves():
		return fmt.Errorf("its idle behavior can no longer change: it is in state %s", i.state.State)
	case i.destroy || i.gone != "": // what it is in the middle of is not over yet
		return fmt.Errorf("its idle behavior can no longer change: it is about to leave (%s)", i.whyLeave())
	}
	return nil
}

// listen starts the coroutines that receive signals, and one that takes a
// cancellation of the workflow as an order to destroy.
func (i *instance) listen(ctx, outer workflow.Context) {
	receive := func(name string, handle func(workflow.Context, json.RawMessage) error) {
		workflow.GoNamed(ctx, name, func(ctx workflow.Context) {
			for channel := workflow.GetSignalChannel(ctx, name); ; {
				var value converter.RawValue
				channel.Receive(ctx, &value)
				i.mail.received++
				i.take(ctx, name, value, handle)
			}
		})
	}
	receive(api.SignalSetIdleBehavior, func(ctx workflow.Context, data json.RawMessage) error {
		var order api.SetIdleBehavior
		if err := json.Unmarshal(data, &order); err != nil {
			return err
		}
		order = order.Clipped()
		if err := i.refuseBehavior(order); err != nil {
			return err
		}
		i.setBehavior(ctx, order)
		return nil
	})
	receive(api.SignalDestroy, func(ctx workflow.Context, data json.RawMessage) error {
		var order api.Destroy
		if err := json.Unmarshal(data, &order); err != nil {
			return err
		}
		i.orderDestroy(ctx, order.Clipped())
		return nil
	})
	receive(api.SignalOrders, i.takeOrders)
	workflow.GoNamed(ctx, "cancellation", func(ctx workflow.Context) {
		i.await(ctx, func() bool { return outer.Err() != nil })
		i.orderDestroy(ctx, api.Destroy{Reason: "the workflow was cancelled"})
	})
}

// take handles one signal. An invalid one is ignored, logged and noted.
func (i *instance) take(ctx workflow.Context, name string, value converter.RawValue, handle func(workflow.Context, json.RawMessage) error) {
	data := json.RawMessage("null")
	if payload := value.Payload(); payload != nil {
		encoding := string(payload.GetMetadata()[converter.MetadataEncoding])
		switch encoding {
		case converter.MetadataEncodingJSON:
			data = payload.GetData()
		case converter.MetadataEncodingNil, "":
		default:
			i.note(ctx, fmt.Sprintf("ignored signal %s: its payload is %.100s; allowed: JSON", name, encoding))
			return
		}
	}
	if err := handle(ctx, data); err != nil {
		i.note(ctx, fmt.Sprintf("ignored signal %s: %v", name, err))
	}
}

// setBehavior carries out an order that has been found valid.
func (i *instance) setBehavior(ctx workflow.Context, order api.SetIdleBehavior) {
	if order.Behavior == api.Run {
		if i.state.IdleBehavior != api.Hold {
			i.unfit = "" // whoever takes back a drain knows why it drained
		}
		if unfit := i.whyUnfit(); unfit != "" {
			i.note(ctx, "drains instead: "+unfit)
			order = api.SetIdleBehavior{Behavior: api.Drain, Reason: unfit, By: "drover"}
		} else if i.state.IdleBehavior != api.Run {
			i.idleSince = workflow.Now(ctx)
		}
	}
	i.leave = "" // the idle timeout that has just passed was for another behavior
	i.state.IdleBehavior = order.Behavior
	i.state.BehaviorReason, i.state.BehaviorBy = order.Reason, order.By
	i.endStale(ctx)
	i.changed(ctx)
	i.report()
}

// whyUnfit says why the instance can't run containers, if so. That it is broken may pass,
// also while it is on hold.
func (i *instance) whyUnfit() string {
	if i.broken {
		return whyBroken
	}
	return i.unfit
}

// drain makes the instance go once nothing runs on it, unless it is on hold: then
// it is only said, and done when the hold is lifted.
func (i *instance) drain(ctx workflow.Context, why string) {
	i.note(ctx, why)
	switch i.state.IdleBehavior {
	case api.Run:
		i.setBehavior(ctx, api.SetIdleBehavior{Behavior: api.Drain, Reason: why, By: "drover"})
	case api.Hold:
		if why != whyBroken {
			i.unfit = why
		}
	}
}

// orderDestroy makes the instance go now. If it goes already, that is why it goes.
func (i *instance) orderDestroy(ctx workflow.Context, order api.Destroy) {
	if i.destroy || i.leaves() {
		return
	}
	i.destroy = true
	i.state.Reason = "destroyed" + because(order.Reason)
	if order.By != "" {
		i.state.Reason += " (by " + order.By + ")"
	}
	i.changed(ctx)
}

// takeOrders carries out what the fleet says, unless it has been.
func (i *instance) takeOrders(ctx workflow.Context, data json.RawMessage) error {
	var orders api.Orders
	if err := json.Unmarshal(data, &orders); err != nil {
		return err
	}
	if orders.Fleet != i.ordersFrom {
		i.ordersFrom, i.ordersSeen = orders.Fleet, 0
		i.report()
	}
	if orders.Greet {
		i.report()
	}
	i.ordersSeen = max(i.ordersSeen, orders.Seq)
	for _, a := range orders.Run {
		switch {
		case slices.Contains(i.names(), a.OnInstance()):
			i.report() // a fleet that was created anew learns that it runs
		case i.takesContainers() && !slices.Contains(i.known(), a.Container) && !slices.Contains(i.had, a.OnInstance()):
			i.start(ctx, a)
		default:
			i.mail.refused = append(i.mail.refused, a.OnInstance())
			i.report()
		}
	}
	for _, name := range i.mail.refused {
		i.revokeAfter(ctx, name)
	}
	for _, a := range orders.Resume {
		if found := i.attempt(a.OnInstance()); found != nil {
			found.Label, found.Share, found.QueuedAt = a.Label, a.Share, a.QueuedAt // it may have been adopted
		} else if !slices.Contains(i.known(), a.Container) && !slices.Contains(i.had, a.OnInstance()) {
			i.resume(ctx, a)
		}
		i.report()
	}
	for _, name := range orders.Kill {
		i.kill(ctx, name)
	}
	for _, name := range orders.Revoke {
		i.revoke(ctx, name)
	}
	if orders.Drain != "" {
		i.drain(ctx, orders.Drain)
	}
	if orders.Keep != nil && i.kept != *orders.Keep {
		i.kept = *orders.Keep
		i.report()
	}
	if orders.Leave != "" && len(i.attempts) == 0 && i.takesContainers() {
		i.leave = orders.Leave
	}
	return nil
}

// takesContainers reports whether a container may be started now.
func (i *instance) takesContainers() bool {
	up := i.state.State == api.StateIdle || i.state.State == api.StateRunning
	return up && i.state.IdleBehavior == api.Run && !i.mustLeave() && !i.broken
}

// keepTags writes the idle behavior to the cloud's tag when it differs.
func (i *instance) keepTags(ctx workflow.Context) {
	for {
		i.await(ctx, func() bool { return i.tagged != i.state.IdleBehavior && i.state.CloudID != "" && !i.mustLeave() })
		i.tagging = true
		wanted := i.state.IdleBehavior
		in := api.TagInput{Machine: i.machine, Behavior: wanted}
		options := activityOptions(fmt.Sprintf("tag %s: idle behavior %s", i.called(), wanted), 30*time.Second)
		options.RetryPolicy.MaximumAttempts = 100
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), api.TagInstanceActivity, in).Get(ctx, nil)
		i.tagging = false
		if err == nil {
			i.tagged = wanted
			continue
		}
		i.note(ctx, "the idle behavior's tag could not be written: "+reasonOf(err))
		pause := workflow.TimerOptions{Summary: "until the tag is tried again"}
		if workflow.NewTimerWithOptions(ctx, 10*time.Minute, pause).Get(ctx, nil) != nil {
			return
		}
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
