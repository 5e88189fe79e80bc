package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"drover/internal/api"
	"drover/internal/pause"
	"drover/internal/sshexec"
)

// placement is where the fleet has placed a container, seen from an instance that was
// told to start an attempt of it.
type placement struct {
	how api.EndKind // with which the attempt ends that must not be started here; empty: it may be
	why string
	err error // it can't be said now
}

// mayStart says whether the attempt is to be started here, or goes on here. One that has
// begun does, whatever the fleet says, and also when there is none that could say
// anything: its end must be known when it happens.
func (r *remote) mayStart(ctx context.Context) placement {
	if activity.GetInfo(ctx).Attempt > 1 && r.hasBegun(ctx) {
		return placement{}
	}
	p := r.placed(ctx)
	if p.err != nil && r.hasBegun(ctx) {
		return placement{}
	}
	return p
}

// hasBegun reports whether the instance has a record of the attempt, as far as it says.
func (r *remote) hasBegun(ctx context.Context) bool {
	name := r.in.Assignment.OnInstance()
	listing, err := r.list(ctx, r.in.Machine)
	if err != nil || slices.Contains(listing.Containers, name) {
		return err == nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return r.call(ctx, sshexec.Command{}, "wait", name) == nil // it has ended, or there is none
}

// placed asks the fleet, right before an attempt is started, whether it is to be started
// here. An order to start may come from a workflow task of the fleet that failed
// afterwards: the next try of the task may place the container elsewhere, and then this
// order has never been given. What a query answers is in the history.
func (r *remote) placed(ctx context.Context) placement {
	for began := time.Now(); ; {
		known, err := r.registers.of(r.in.Machine.Fleet).ask(ctx, r.in.Assignment.Container)
		switch here := known.Instance == r.in.Machine.Name; {
		case err != nil:
			return placement{err: fmt.Errorf("ask fleet %s: %w", r.in.Machine.Fleet, err)}
		case r.isElsewhere(known), here && known.Attempt > r.in.Assignment.Attempt:
			return placement{how: api.Unwanted, why: fmt.Sprintf("the fleet has placed attempt %d on %s", known.Attempt, known.Instance)}
		case here && known.Attempt == r.in.Assignment.Attempt && len(known.After) > 0 && !slices.Equal(known.After, r.in.Assignment.After):
			return placement{how: api.Revoked, why: fmt.Sprintf("the fleet has it begin after %s", strings.Join(known.After, " or "))}
		case here && isPlaced(known) && known.Attempt == r.in.Assignment.Attempt:
			return placement{}
		case time.Since(began) > patience:
			return placement{err: fmt.Errorf("fleet %s has not placed container %s here", r.in.Machine.Fleet, r.in.Assignment.Container)}
		}
		if err := pause.For(ctx, soon(began)); err != nil {
			return placement{err: err}
		}
	}
}

// isElsewhere reports whether a container runs on another instance, as its fleet says.
func (r *remote) isElsewhere(known api.ContainerState) bool {
	return isPlaced(known) && known.Instance != r.in.Machine.Name
}

// isPlaced reports whether an instance was told to run a container, or to begin it after
// another.
func isPlaced(known api.ContainerState) bool {
	return known.State == api.ContainerRunning || len(known.After) > 0
}
