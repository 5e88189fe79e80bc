package workflows

import (
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// mustContinue reports whether this run has grown so long that the next must take
// over, and can. Containers run on meanwhile: their activities only attach.
func (i *instance) mustContinue(ctx workflow.Context) bool {
	return isLong(ctx, i.mail.received) && !i.mail.pending() && !i.tagging && workflow.AllHandlersFinished(ctx)
}

// continueAsNew starts this workflow's next run, which carries on where this one is.
func (i *instance) continueAsNew(ctx workflow.Context) error {
	in := i.in
	carried := api.InstanceCarried{
		State: i.state, Machine: i.machine, Forget: i.forget, Tagged: i.tagged,
		Kept: i.kept, IdleSince: i.idleSince, BusyCost: i.busyCost,
		OrdersSeen: i.ordersSeen, OrdersFrom: i.ordersFrom, ReportsSent: i.mail.seq,
		Had: i.had, Unfit: i.unfit, Broken: i.broken, Unreachable: i.unreachable,
	}
	for _, a := range i.attempts {
		carried.Containers = append(carried.Containers, a.Assignment)
		if a.revoking {
			carried.Revoking = append(carried.Revoking, a.OnInstance())
		}
		switch {
		case a.givenUp:
			carried.GivenUp = append(carried.GivenUp, a.Container)
		case a.killing:
			carried.Killing = append(carried.Killing, a.OnInstance())
		}
	}
	in.Carried = &carried
	return workflow.NewContinueAsNewError(ctx, api.InstanceWorkflow, in)
}

// carryOn takes over what the last run has left.
func (i *instance) carryOn(c *api.InstanceCarried) {
	i.state, i.machine, i.forget = c.State, c.Machine, c.Forget
	i.ordersSeen, i.ordersFrom, i.mail.seq = c.OrdersSeen, c.OrdersFrom, c.ReportsSent
	i.idleSince, i.tagged, i.kept, i.busyCost = c.IdleSince, c.Tagged, c.Kept, c.BusyCost
	i.had, i.unfit, i.broken, i.unreachable = c.Had, c.Unfit, c.Broken, c.Unreachable
	i.created, i.listed = true, true
}
