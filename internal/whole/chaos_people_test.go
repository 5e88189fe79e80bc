package whole

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"drover/internal/api"
)

// What people want.

// order has an operator give an instance an order, as a signal or as an update.
func (c *chaos) order(e event) {
	i, ok := c.pickInstance(e, func(victim) bool { return true })
	if !ok {
		return
	}
	orders := []api.Behavior{api.Hold, api.Hold, api.Drain, api.Run, api.Run, "destroy", "destroy"}
	order := orders[e.variant%uint64(len(orders))]
	byUpdate := e.variant/16%2 == 0
	id := api.InstanceWorkflowID("default", i.name)
	c.say(e.kind, "%s %s; update: %v", order, i.name, byUpdate)
	c.counts["order: "+string(order)]++
	c.try("order "+string(order), func() error {
		ctx, cancel := context.WithTimeout(c.Context(), chaosPatience)
		defer cancel()
		switch {
		case order == "destroy" && byUpdate:
			return c.update(id, api.UpdateDestroy, api.Destroy{Reason: "chaos"})
		case order == "destroy":
			return c.client.SignalWorkflow(ctx, id, "", api.SignalDestroy, "chaos")
		case byUpdate:
			return c.update(id, api.UpdateIdleBehavior, api.SetIdleBehavior{Behavior: order, By: "chaos"})
		}
		return c.client.SignalWorkflow(ctx, id, "", api.SignalSetIdleBehavior, string(order))
	})
}

func (c *chaos) cancelContainer(e event) {
	k, ok := choose(e.pick, c.witness.open(c))
	if !ok {
		c.say(e.kind, "none is open")
		return
	}
	c.say(e.kind, "%s", k.id)
	k.cancelled = true
	c.try(e.kind, func() error {
		ctx, cancel := context.WithTimeout(c.Context(), chaosPatience)
		defer cancel()
		return c.client.CancelWorkflow(ctx, k.run.GetID(), "")
	})
}

// setPriority changes a priority; below 0 the container is on hold.
func (c *chaos) setPriority(e event) {
	k, ok := choose(e.pick, c.witness.open(c))
	if !ok {
		c.say(e.kind, "none is open")
		return
	}
	k.priority = int(e.variant%6) - 1
	c.say(e.kind, "%s: %d", k.id, k.priority)
	c.try(e.kind, func() error {
		ctx, cancel := context.WithTimeout(c.Context(), chaosPatience)
		defer cancel()
		return c.client.SignalWorkflow(ctx, k.run.GetID(), "", api.SignalSetPriority, k.priority)
	})
}

// flood sends a workflow so many signals that it continues as new, whatever it is doing.
// They say nothing that it can use.
func (c *chaos) flood(e event) {
	id, name := api.FleetWorkflowID("default"), api.SignalReport
	switch c.counts[e.kind] % 3 { // in turn
	case 0:
		k, ok := choose(e.pick, c.witness.open(c))
		if !ok {
			c.say(e.kind, "no container is open")
			return
		}
		id, name = k.run.GetID(), api.SignalOutcome
	case 1:
		i, ok := c.pickInstance(e, func(victim) bool { return true })
		if !ok {
			return
		}
		id, name = api.InstanceWorkflowID("default", i.name), api.SignalSetIdleBehavior
	}
	c.say(e.kind, "%s", id)
	c.flooded[id] = true
	c.try(e.kind, func() error {
		ctx, cancel := context.WithTimeout(c.Context(), chaosPatience)
		defer cancel()
		const senders, each = 20, 30
		failed := make([]error, senders)
		var all sync.WaitGroup
		for k := range senders {
			all.Go(func() {
				for n := 0; n < each && failed[k] == nil; n++ {
					failed[k] = c.client.SignalWorkflow(ctx, id, "", name, fmt.Sprint("nonsense ", k, n))
				}
			})
		}
		all.Wait()
		return errors.Join(failed...)
	})
}
