package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// watch stays with the instance. The activity probes it and returns only when
// something is new, so that a quiet hour leaves nothing in the history.
func (i *instance) watch(ctx workflow.Context) {
	spec := i.in.Spec
	i.watches++
	defer func() { i.watches-- }()
	for ctx.Err() == nil {
		known := i.names()
		in := api.WatchInput{
			Machine: i.machine, Interval: spec.Intervals.Probe, Timeout: spec.Timeouts.Probe, StaleFor: spec.Timeouts.StaleRunLock,
			LastProbe: i.state.LastProbe.Time, Known: known, Listed: i.seen, Stale: i.stale, StaleSince: i.staleSince,
			Unreachable: i.unreachable != "", Broken: i.broken, Noticed: !i.state.NoticeAt.IsZero(), Preemptible: i.in.Type.Preemptible,
		}
		if i.state.State == api.StateUnknown {
			in.Timeout = spec.Timeouts.Boot
		}
		options := lasting(activityOptions("watch "+i.where(), forever), spec.Intervals.Heartbeat)
		var result api.WatchResult
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), api.WatchActivity, in).Get(ctx, &result)
		if temporal.IsCanceledError(err) {
			return
		}
		if err != nil {
			i.note(ctx, "watching failed: "+reasonOf(err))
			pause := workflow.TimerOptions{Summary: "until watching is tried again"}
			if workflow.NewTimerWithOptions(ctx, spec.Intervals.Probe.D(), pause).Get(ctx, nil) != nil {
				return
			}
			continue
		}
		i.watched(ctx, result, known)
	}
}

// watched takes in what the watch activity has seen.
func (i *instance) watched(ctx workflow.Context, result api.WatchResult, known []string) {
	if result.LastProbe.After(i.state.LastProbe.Time) {
		i.state.LastProbe, i.staleSince = api.Time{Time: result.LastProbe}, result.StaleSince
	}
	for _, name := range result.Unlisted {
		i.unlist(name)
	}
	switch {
	case result.Gone != "":
		i.gone = result.Gone
	case result.Unreachable != "":
		if i.unreachable == "" {
			i.note(ctx, "unreachable: "+result.Unreachable)
		}
		i.unreachable = result.Unreachable
	case result.Listing != nil:
		i.unreachable = ""
		i.observe(ctx, *result.Listing, known)
	}
	if !result.Notice.IsZero() {
		i.noticed(ctx, result.Notice)
	}
	i.changed(ctx)
}

// observe takes in a listing of what runs on the instance: a container that nobody
// here started was started by a predecessor, and is adopted.
func (i *instance) observe(ctx workflow.Context, listing api.Listing, known []string) {
	for _, name := range listing.Containers {
		id, attempt, err := api.ParseOnInstance(name)
		if err != nil || slices.Contains(known, name) || slices.Contains(i.names(), name) {
			continue
		}
		i.note(ctx, fmt.Sprintf("adopted container %s, found on the instance", id))
		i.start(ctx, api.Assignment{Container: id, Attempt: attempt, Count: attempt, Label: "found on the instance", QueuedAt: workflow.Now(ctx), Adopted: true})
	}
	i.seen, i.stale = i.stillMissed(listing.Containers), listing.Stale
	if listing.Broken && !i.broken {
		i.drain(ctx, whyBroken)
	}
	i.broken = listing.Broken
	i.endStale(ctx)
	i.settle(ctx)
}

// stillMissed returns what a listing has, and those of the earlier ones whose absence may be
// a matter of a moment: the next watch looks for them, too.
func (i *instance) stillMissed(listed []string) []string {
	all := slices.Clone(listed)
	for _, name := range i.seen {
		if a := i.attempt(name); a != nil && !a.unlisted && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// lookBack takes in what the heartbeats of the watch activity have said, which ends with
// this run: the next would count the probe timeout from when there was news last. It is no
// local activity, which would keep open the workflow task that continues as new.
func (i *instance) lookBack(ctx workflow.Context) {
	if i.watches == 0 || workflow.Now(ctx).Sub(i.lookedBack) < i.in.Spec.Intervals.Probe.D() {
		return
	}
	i.lookedBack = workflow.Now(ctx)
	options := activityOptions("what has been seen of "+i.called(), 30*time.Second)
	options.RetryPolicy.MaximumAttempts = 5
	in := api.LastSeenInput{WorkflowID: i.state.WorkflowID, RunID: i.state.RunID}
	var seen api.Watched
	err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), api.LastSeenActivity, in).Get(ctx, &seen)
	if err != nil {
		i.note(ctx, "when it was last seen is not known: "+reasonOf(err))
		return
	}
	if seen.LastProbe.After(i.state.LastProbe.Time) {
		i.state.LastProbe, i.seen, i.staleSince = api.Time{Time: seen.LastProbe}, seen.Listed, seen.StaleSince
	}
}

// whyBroken is why a broken instance drains.
const whyBroken = "the instance says that it can't run containers"

// endStale ends what is left of containers that nobody looks after any more, on an
// instance that counts as broken and is not on hold.
func (i *instance) endStale(ctx workflow.Context) {
	if !i.broken || i.state.IdleBehavior == api.Hold {
		return
	}
	for _, name := range i.stale {
		i.kill(ctx, name)
	}
}

// known are the containers that start or run on the instance.
func (i *instance) known() []string {
	ids := make([]string, 0, len(i.attempts))
	for _, a := range i.attempts {
		ids = append(ids, a.Container)
	}
	return ids
}

// names are what the runner calls the containers that start or run on the instance.
func (i *instance) names() []string {
	names := make([]string, 0, len(i.attempts))
	for _, a := range i.attempts {
		names = append(names, a.OnInstance())
	}
	return names
}

// called is the instance's name as people see it in the cloud's console.
func (i *instance) called() string {
	if i.state.CloudID == "" || i.state.CloudID == i.state.Name {
		return i.state.Name
	}
	return i.state.CloudID
}

// where is what the instance is called and where it is.
func (i *instance) where() string { return i.called() + " at " + i.state.Address }

// list joins the parts for people.
func list(parts []string) string {
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
