package workflows

import (
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// untilOver returns true when the instance's life is over, and false when this run has grown
// so long that the next must go on with it.
func (i *instance) untilOver(ctx workflow.Context) bool {
	for !i.over {
		if i.await(ctx, func() bool { return i.over || i.mustContinue(ctx) }); i.over {
			break
		}
		i.lookBack(ctx)
		if letOthersRun(ctx); i.mustContinue(ctx) {
			return false
		}
	}
	return true
}

// mustContinue reports whether this run has grown so long that the next must take
// over, and can. Containers run on meanwhile: their activities only attach.
func (i *instance) mustContinue(ctx workflow.Context) bool {
	return isLong(ctx, i.mail.received) && i.canContinue() && workflow.AllHandlersFinished(ctx)
}

// canContinue reports whether nothing is under way that the next run could not go on with.
// While the cloud is asked for the instance, only this run knows what it was asked for.
func (i *instance) canContinue() bool {
	asking := i.state.BootOutcome == "" && i.machine.CloudID == ""
	going := i.mustLeave() && !i.leaves()
	return !asking && !going && !i.over && !i.mail.pending() && !i.mail.gone && !i.tagging && !i.explains
}

// continueAsNew starts this workflow's next run, which carries on where this one is.
func (i *instance) continueAsNew(ctx workflow.Context) error {
	in := i.in
	carried := api.InstanceCarried{
		State: i.state, Machine: i.machine, Forget: i.forget, Tagged: i.tagged,
		Kept: i.kept, IdleSince: i.idleSince, BusyCost: i.busyCost,
		OrdersSeen: i.ordersSeen, OrdersFrom: i.ordersFrom, ReportsSent: i.mail.seq,
		Had: i.had, Unfit: i.unfit, Broken: i.broken, Unreachable: i.unreachable,
		Watched: api.Watched{LastProbe: i.state.LastProbe.Time, Listed: i.seen, StaleSince: i.staleSince}, Stale: i.stale,
		Listed: i.listed, AliveAt: i.aliveAt, Late: i.late, Explained: i.explained, Aged: i.aged,
	}
	for _, a := range i.attempts {
		carried.Containers = append(carried.Containers, api.CarriedAttempt{
			Assignment: a.Assignment, Killing: a.killing, KillBy: a.killBy,
			Revoking: a.revoking, GivenUp: a.givenUp, Unlisted: a.unlisted,
		})
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
	i.seen, i.stale, i.staleSince = c.Watched.Listed, c.Stale, c.Watched.StaleSince
	i.listed, i.aliveAt, i.late, i.explained, i.aged = c.Listed, c.AliveAt, c.Late, c.Explained, c.Aged
	i.created = true
}

// reattach goes on with the containers that the last run left. On an instance that is being
// destroyed none is started any more.
func (i *instance) reattach(ctx workflow.Context, c *api.InstanceCarried) {
	for _, carried := range c.Containers {
		a := i.start(ctx, carried.Assignment)
		a.givenUp, a.unlisted = carried.GivenUp, carried.Unlisted || i.leaves()
		a.killing = carried.GivenUp
	}
	for _, carried := range c.Containers {
		if carried.Killing {
			i.killBy(ctx, carried.OnInstance(), carried.KillBy)
		}
		if carried.Revoking {
			i.revoke(ctx, carried.OnInstance())
		}
	}
}
