package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"

	"drover/internal/api"
	"drover/internal/pause"
	"drover/internal/runner"
	"drover/internal/sshexec"
)

// RunContainer starts a container, unless an earlier call has, and stays with it
// until it has ended and its output is stored. When it is cancelled, or its worker
// stops, it detaches: the container runs on.
func (a *Activities) RunContainer(ctx context.Context, in api.RunContainerInput) (api.RunContainerResult, error) {
	var doing atomic.Pointer[string]
	say := func(s string) { doing.Store(&s) }
	say("starting")
	ctx, stop := long(ctx, func() any { return *doing.Load() })
	defer stop()
	r, err := a.newRemote(in)
	if err != nil {
		return api.RunContainerResult{}, err
	}
	result, err := r.runWhileWanted(ctx, say)
	if interruption := interrupted(ctx); interruption != nil {
		return api.RunContainerResult{}, interruption
	}
	if err != nil {
		return result, again(time.Second, err)
	}
	return result, nil
}

// wantedFirst is when it is first looked whether anybody still waits for a container, and
// wantedLast how often after a while.
const wantedFirst, wantedLast = 30 * time.Second, 5 * time.Minute

// runWhileWanted runs the container, and kills it when its workflow has closed without
// it: somebody terminated it.
func (r *remote) runWhileWanted(ctx context.Context, say func(string)) (api.RunContainerResult, error) {
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workflowID atomic.Pointer[string]
	usual := api.WorkflowOf(r.in.Assignment.Container, r.in.Assignment.WorkflowID)
	workflowID.Store(&usual)
	go func() {
		for wait := wantedFirst; pause.For(running, wait) == nil; wait = min(2*wait, wantedLast) {
			if runs, err := r.runs(running, *workflowID.Load()); err == nil && !runs {
				cancel(errUnwanted)
			}
		}
	}()
	result, err := r.run(running, say, func(found string) { workflowID.Store(&found) })
	if err != nil && errors.Is(context.Cause(running), errUnwanted) {
		return r.killUnwanted(ctx)
	}
	return result, err
}

var errUnwanted = errors.New("its workflow has closed")

// run starts the container, follows its output and waits for its end. An error means
// that the outcome is not known yet.
func (r *remote) run(ctx context.Context, say, adopted func(string)) (api.RunContainerResult, error) {
	begun, spec, err := r.begin(ctx)
	if err != nil || begun.How != "" {
		return begun, err
	}
	if begun.WorkflowID != "" {
		adopted(begun.WorkflowID)
	}
	l, err := r.attend(ctx, spec, func() { say("running") })
	if refused := (*startError)(nil); errors.As(err, &refused) {
		return r.refused(ctx, begun, refused)
	}
	return r.became(begun, l, err)
}

// refused returns what became of a container that the instance did not start when it was
// asked to: an earlier call may have started it.
func (r *remote) refused(ctx context.Context, begun api.RunContainerResult, why *startError) (api.RunContainerResult, error) {
	listing, err := r.list(ctx, r.in.Machine)
	if err != nil {
		return api.RunContainerResult{}, errors.Join(why, err)
	}
	if slices.Contains(listing.Containers, r.in.Assignment.OnInstance()) {
		return api.RunContainerResult{}, fmt.Errorf("it runs, but can't be attached to: %w", why)
	}
	r.in.Unlisted = true // if it has ended, its output and its result are there
	if _, err := r.wait(ctx); exitedWith(err, runnerUnknownID) {
		return api.RunContainerResult{How: api.StartFailed, Detail: why.text}, nil
	}
	l, err := r.attend(ctx, nil, func() {})
	return r.became(begun, l, err)
}

// became tells what became of a container that was attended. An error means that it is not
// known yet.
func (r *remote) became(begun api.RunContainerResult, l life, err error) (api.RunContainerResult, error) {
	switch {
	case exitedWith(err, runnerUnknownID):
		return api.RunContainerResult{How: api.Lost, Detail: "the instance has lost its record"}, nil
	case errors.Is(err, errNoResult):
		return api.RunContainerResult{How: api.Lost, Detail: err.Error()}, nil
	case errors.Is(err, errCantWait), err == nil && l.end.Revoked:
		return api.RunContainerResult{How: api.Revoked}, nil
	case err != nil:
		return api.RunContainerResult{}, err
	case l.end.ExitCode < 0: // the runner does not know one: the machine failed it
		return api.RunContainerResult{How: api.Lost, Detail: l.end.Error}, nil
	}
	return api.RunContainerResult{
		How: api.Exited, WorkflowID: begun.WorkflowID, Detail: l.end.Error, ExitCode: l.end.ExitCode,
		StartedAt: l.end.StartedAt, FinishedAt: l.end.FinishedAt,
		Output: strings.ToValidUTF8(string(l.tail), "\uFFFD"), OutputTruncated: l.truncated,
	}, nil
}

// begin finds out what is to be done: the container is to be started when there is a
// spec, and nothing is to be done when the result has a How. What the instance has listed
// before and lists no longer has been started: if there is no record of it any more it
// must not run again.
func (r *remote) begin(ctx context.Context) (_ api.RunContainerResult, spec []byte, err error) {
	var begun api.RunContainerResult
	switch {
	case r.in.Assignment.Adopted:
		begun, err = r.adopt(ctx)
	case !r.in.Unlisted:
		return r.specToStart(ctx)
	}
	return begun, nil, err
}

// specToStart returns what the runner is to start, or why it is not to be started.
func (r *remote) specToStart(ctx context.Context) (api.RunContainerResult, []byte, error) {
	asking, enough := context.WithCancel(ctx)
	defer enough()
	placed := make(chan placement, 1)
	go func() { placed <- r.mayStart(asking) }()
	spec, wanted, err := r.containerSpec(ctx, r.in.Assignment)
	if err != nil {
		return api.RunContainerResult{}, nil, fmt.Errorf("read the spec of container %s: %w", r.in.Assignment.Container, err)
	}
	if !wanted {
		return api.RunContainerResult{How: api.Unwanted, Detail: "its workflow has closed"}, nil, nil
	}
	if p := <-placed; p.err != nil || p.how != "" {
		return api.RunContainerResult{How: p.how, Detail: p.why}, nil, p.err
	}
	input, err := json.Marshal(runnerSpec{
		Command: spec.Command, Env: spec.Env, Image: spec.Image, Engine: r.in.Engine,
		Memory: int64(spec.Memory), VCPUs: spec.VCPUs, GPUs: spec.GPUs, Fleet: r.in.Machine.Fleet, Timeout: spec.Timeout,
	})
	return api.RunContainerResult{}, input, err
}

// adopt finds the workflow of a container that was found on the instance. If nobody
// wants it, it is killed.
func (r *remote) adopt(ctx context.Context) (api.RunContainerResult, error) {
	id := r.in.Assignment.Container
	known, err := r.registers.of(r.in.Machine.Fleet).ask(ctx, id)
	switch {
	case err != nil && !isFinal(err): // there may be no fleet
		return api.RunContainerResult{}, err
	case r.isElsewhere(known), isPlaced(known) && known.Attempt != r.in.Assignment.Attempt: // no container runs twice
		return r.killUnwanted(ctx)
	case err == nil && known.State != "":
		return api.RunContainerResult{WorkflowID: known.WorkflowID}, nil
	}
	for _, workflowID := range []string{"", id} {
		runs, err := r.runs(ctx, api.WorkflowOf(id, workflowID))
		if err != nil || runs {
			return api.RunContainerResult{WorkflowID: workflowID}, err
		}
	}
	other, err := r.workflowCalled(ctx, r.in.Machine.Fleet, id)
	if err != nil || other != "" {
		return api.RunContainerResult{WorkflowID: other}, err
	}
	return r.killUnwanted(ctx)
}

// killUnwanted ends a container that nobody waits for. It has ended when the instance
// no longer lists it.
func (r *remote) killUnwanted(ctx context.Context) (api.RunContainerResult, error) {
	name := r.in.Assignment.OnInstance()
	for deadline := time.Now().Add(r.in.Term.D()); ; {
		err := r.call(ctx, sshexec.Command{}, "kill", name)
		if err == nil || exitedWith(err, runnerUnknownID) {
			var listing api.Listing
			if listing, err = r.list(ctx, r.in.Machine); err == nil && !slices.Contains(listing.Containers, name) {
				return api.RunContainerResult{How: api.Unwanted, Detail: "no workflow waits for it: killed"}, nil
			}
		}
		if time.Now().After(deadline) {
			return api.RunContainerResult{How: api.Unkillable, Detail: "no workflow waits for it"}, nil
		}
		if err := pause.For(ctx, r.in.Signal.D()); err != nil {
			return api.RunContainerResult{}, err
		}
	}
}

// RevokeContainer sees to it that a container does not begin any more if it has not. What
// became of it, the call that stays with it says.
func (a *Activities) RevokeContainer(ctx context.Context, in api.RevokeInput) error {
	r, err := a.newRemote(api.RunContainerInput{Machine: in.Machine, Assignment: in.Assignment})
	if err != nil {
		return err
	}
	err = r.call(ctx, sshexec.Command{}, "revoke", in.Assignment.OnInstance())
	if err == nil || exitedWith(err, runner.ExitBegun) || exitedWith(err, runnerUsage) { // one that can't revoke can't wait either
		return nil
	}
	return again(time.Second, err)
}

// KillContainer sends SIGTERM to a container at an interval until it no longer runs,
// and returns true, or until the timeout has passed, and returns false if it runs still. One
// that the instance does not know may be about to start.
func (a *Activities) KillContainer(ctx context.Context, in api.KillInput) (bool, error) {
	deadline := time.Now().Add(in.Timeout.D())
	if activity.HasHeartbeatDetails(ctx) { // an earlier worker's
		if err := activity.GetHeartbeatDetails(ctx, &deadline); err != nil {
			return false, err
		}
	}
	activity.RecordHeartbeat(ctx, deadline)
	ctx, stop := long(ctx, func() any { return deadline })
	defer stop()
	r, err := a.newRemote(api.RunContainerInput{Machine: in.Machine, Assignment: in.Assignment})
	if err != nil {
		return false, err
	}
	for {
		err := r.call(ctx, sshexec.Command{}, "kill", in.Assignment.OnInstance())
		if err == nil {
			return true, nil
		}
		if interruption := interrupted(ctx); interruption != nil {
			return false, interruption
		}
		if time.Now().After(deadline) {
			return exitedWith(err, runnerUnknownID), nil
		}
		if pause.For(ctx, in.Interval.D()) != nil {
			return false, interrupted(ctx)
		}
	}
}
