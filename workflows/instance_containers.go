package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// start begins an attempt of a container and stays with it.
func (i *instance) start(ctx workflow.Context, assignment api.Assignment) *attempt {
	a := &attempt{Assignment: assignment}
	i.attempts = append(i.attempts, a)
	i.state.LastContainer = a.Container
	if i.state.FirstAt.IsZero() {
		i.state.FirstAt = api.Time{Time: workflow.Now(ctx)}
		i.time(ctx, "drover_first_container_duration", i.state.CreatedAt, i.state.FirstAt)
	}
	workflow.GoNamed(ctx, "container "+a.Container, func(ctx workflow.Context) {
		ctx, _ = workflow.NewDisconnectedContext(ctx)
		i.stay(ctx, a)
	})
	i.settle(ctx)
	return a
}

// resume goes on with an attempt that an earlier workflow of the instance was given.
// What was lost with the instance is reported when that is confirmed gone.
func (i *instance) resume(ctx workflow.Context, assignment api.Assignment) {
	switch i.state.State {
	case api.StateGone:
	case api.StateShutdown:
		i.attempts = append(i.attempts, &attempt{Assignment: assignment})
	default:
		i.start(ctx, assignment)
	}
}

// stay has the container started, unless it was, and stays with it until its end.
func (i *instance) stay(ctx workflow.Context, a *attempt) {
	here := func() bool { return slices.Contains(i.attempts, a) }
	i.await(ctx, func() bool { return i.listed || !here() }) // then it can be reached
	for here() {
		asked := a.unlisted
		result, err := i.runContainer(ctx, a)
		var application *temporal.ApplicationError
		switch {
		case !here():
			return // ended otherwise
		case err == nil:
			i.ran(ctx, a, result)
			return
		case temporal.IsCanceledError(err) && a.unlisted && !asked:
			continue
		case errors.As(err, &application) && application.Type() == api.ErrorGone:
			i.gone = application.Message() // shutDown reports the container lost
			return
		case temporal.IsCanceledError(err):
			return // detached: the next run attaches
		case i.state.State == api.StateShutdown:
			return // the machine went under it: shutDown reports the container lost
		}
		i.end(ctx, a, api.Ended{How: api.StartFailed, Detail: reasonOf(err)})
	}
}

// runContainer runs the activity that stays with a container.
func (i *instance) runContainer(ctx workflow.Context, a *attempt) (result api.RunContainerResult, err error) {
	timeouts := i.in.Spec.Timeouts
	in := api.RunContainerInput{
		Machine: i.machine, Assignment: a.Assignment, Engine: i.in.Spec.Engine, Output: i.in.Spec.Output,
		Own:    i.in.Spec.Runner.Source == fleetspec.RunnerEmbedded,
		Forget: i.forget, Unlisted: a.unlisted, Signal: timeouts.Signal, Term: timeouts.Term,
	}
	i.forget = nil
	options := lasting(activityOptions(fmt.Sprintf("container %s: %s", a.Container, a.Label), forever), i.in.Spec.Intervals.Heartbeat)
	attached, detach := workflow.WithCancel(i.runs)
	a.detach = detach
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(attached, options), api.RunContainerActivity, in).Get(ctx, &result)
	return result, err
}

// unlist has the result of a container fetched that the instance no longer lists.
func (i *instance) unlist(name string) {
	for _, a := range i.attempts {
		if a.OnInstance() == name && !a.unlisted && a.detach != nil {
			a.unlisted = true
			a.detach()
		}
	}
}

// ran records that an attempt has ended on the instance, or can't be ended.
func (i *instance) ran(ctx workflow.Context, a *attempt, r api.RunContainerResult) {
	preempted := r.How == api.Exited && r.ExitCode != 0 && a.killing && !i.state.NoticeAt.IsZero()
	switch {
	case r.How == api.Unkillable:
		i.giveUp(ctx, a)
		return
	case preempted:
		r.How = api.Preempted
		r.Detail = fmt.Sprintf("its instance is taken at %s; exit code %d", stamp(i.state.NoticeAt), r.ExitCode)
	case i.tookDown(r): // it runs nowhere any more, although the machine may still exist
		r.How = api.Lost
		r.Detail = fmt.Sprintf("its instance is being destroyed; exit code %d", r.ExitCode)
	case r.How == api.Exited:
		took := r.FinishedAt.Sub(r.StartedAt)
		i.mail.outcome(api.WorkflowOf(a.Container, a.WorkflowID+r.WorkflowID), api.Outcome{Result: &api.ContainerResult{
			ExitCode: r.ExitCode, Output: r.Output, OutputTruncated: r.OutputTruncated, Error: r.Detail,
			Instance: i.state.Name, CloudID: i.state.CloudID, InstanceType: i.state.Type,
			Attempts: max(a.Count, 1), QueuedAt: api.Time{Time: a.QueuedAt},
			StartedAt: api.Time{Time: r.StartedAt}, FinishedAt: api.Time{Time: r.FinishedAt},
			Cost: i.state.Price * took.Hours() * a.Share,
		}})
	}
	i.forget = append(i.forget, a.OnInstance())
	i.end(ctx, a, api.Ended{How: r.How, Detail: r.Detail})
}

// tookDown reports whether an attempt has ended because the instance is being destroyed: a
// machine that is told to end tells what runs on it. The machine's clock may be a little
// behind.
func (i *instance) tookDown(r api.RunContainerResult) bool {
	return i.leaves() && r.How == api.Exited && r.ExitCode != 0 && r.FinishedAt.After(i.state.LeftAt.Add(-time.Second))
}

// hadAtMost is how many ended attempts are remembered. Orders come again within seconds,
// if at all.
const hadAtMost = 500

// end takes an attempt off the instance and tells the fleet.
func (i *instance) end(ctx workflow.Context, a *attempt, ended api.Ended) {
	ended.Container, ended.Attempt = a.Container, a.Attempt
	i.had = append(i.had, a.OnInstance())
	i.had = i.had[max(0, len(i.had)-hadAtMost):]
	i.attempts = slices.DeleteFunc(i.attempts, func(b *attempt) bool { return b == a })
	if ended.How != api.Exited {
		i.revokeAfter(ctx, a.OnInstance())
	}
	i.mail.ended = append(i.mail.ended, ended)
	now := workflow.Now(ctx)
	i.state.LastBusy, i.aliveAt = api.Time{Time: now}, now
	if len(i.attempts) == 0 {
		i.idleSince = now
	}
	i.settle(ctx)
	i.report()
}

// attempt returns the attempt on the instance that the runner calls so, or nil.
func (i *instance) attempt(name string) *attempt {
	at := slices.IndexFunc(i.attempts, func(a *attempt) bool { return a.OnInstance() == name })
	if at < 0 {
		return nil
	}
	return i.attempts[at]
}

// kill ends an attempt of a container, by the runner's name for it, with SIGTERM, again
// and again, or gives it up.
func (i *instance) kill(ctx workflow.Context, name string) { i.killBy(ctx, name, time.Time{}) }

// killBy is kill with the time at which the attempt is given up. The zero value: when the
// term timeout has passed since it could be reached.
func (i *instance) killBy(ctx workflow.Context, name string, at time.Time) {
	a := i.attempt(name)
	if a == nil || a.killing {
		return
	}
	a.killing, a.killBy = true, at
	workflow.GoNamed(ctx, "kill "+name, func(ctx workflow.Context) {
		ctx, _ = workflow.NewDisconnectedContext(ctx)
		i.await(ctx, func() bool { return i.listed || !slices.Contains(i.attempts, a) })
		if a.killBy.IsZero() {
			a.killBy = workflow.Now(ctx).Add(i.in.Spec.Timeouts.Term.D())
		}
		term := max(a.killBy.Sub(workflow.Now(ctx)), time.Second)
		in := api.KillInput{
			Machine: i.machine, Assignment: a.Assignment,
			Interval: i.in.Spec.Timeouts.Signal, Timeout: fleetspec.Duration(term),
		}
		options := activityOptions("kill container "+name, term+time.Minute)
		var ended bool
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(i.runs, options), api.KillContainerActivity, in).Get(ctx, &ended)
		if temporal.IsCanceledError(err) || ended || !slices.Contains(i.attempts, a) {
			return // an ended container's own activity tells its end
		}
		i.giveUp(ctx, a)
	})
}

// revoke sees to it that an attempt does not begin if it has not.
func (i *instance) revoke(ctx workflow.Context, name string) {
	a := i.attempt(name)
	if a == nil || a.revoking {
		return
	}
	a.revoking = true
	workflow.GoNamed(ctx, "revoke "+name, func(ctx workflow.Context) {
		ctx, _ = workflow.NewDisconnectedContext(ctx)
		here := func() bool { return slices.Contains(i.attempts, a) }
		i.await(ctx, func() bool { return i.listed || !here() })
		if !here() {
			return
		}
		in := api.RevokeInput{Machine: i.machine, Assignment: a.Assignment}
		options := workflow.WithActivityOptions(i.runs, activityOptions("revoke container "+name, 30*time.Second))
		err := workflow.ExecuteActivity(options, api.RevokeContainerActivity, in).Get(ctx, nil)
		if err != nil && !temporal.IsCanceledError(err) {
			i.note(ctx, fmt.Sprintf("container %s could not be revoked: %s", name, reasonOf(err)))
		}
	})
}

// revokeAfter revokes what was to begin after an attempt that has not ended by itself: that
// may never have been on the instance's record, and would be waited for in vain.
func (i *instance) revokeAfter(ctx workflow.Context, name string) {
	for _, a := range i.attempts {
		if slices.Contains(a.After, name) {
			i.revoke(ctx, a.OnInstance())
		}
	}
}

// giveUp records that a container can't be killed.
func (i *instance) giveUp(ctx workflow.Context, a *attempt) {
	a.killing, a.givenUp = true, true
	i.drain(ctx, fmt.Sprintf("container %s can't be killed", a.Container))
}

// noticed prepares for the end that the provider has announced: nothing new is placed
// on the instance, and its containers get SIGTERM with the time that is left.
func (i *instance) noticed(ctx workflow.Context, at time.Time) {
	if at.Equal(i.state.NoticeAt.Time) {
		return
	}
	i.state.NoticeAt = api.Time{Time: at}
	i.drain(ctx, fmt.Sprintf("the provider takes it at %s", stamp(i.state.NoticeAt)))
	for _, name := range i.names() {
		i.killBy(ctx, name, at)
	}
	i.report()
}
