package activities

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"drover/internal/api"
)

// Watch probes an instance at an interval, over a kept-open connection, and returns
// only when there is something that the workflow does not know.
func (a *Activities) Watch(ctx context.Context, in api.WatchInput) (api.WatchResult, error) {
	w := &watcher{Activities: a, in: in, known: in.Known}
	last := in.LastProbe
	if activity.HasHeartbeatDetails(ctx) {
		var recorded time.Time
		if err := activity.GetHeartbeatDetails(ctx, &recorded); err == nil && recorded.After(last) {
			last = recorded
		}
	}
	w.lastProbe.Store(&last)
	ctx, stop := long(ctx, func() any { return *w.lastProbe.Load() })
	defer stop()
	for {
		if err := pause(ctx, time.Until(w.lastLook.Add(in.Interval.D()))); err != nil {
			return api.WatchResult{}, interrupted(ctx)
		}
		if w.lastLook.IsZero() && time.Since(last) < in.Interval.D() {
			w.lastLook = last
			continue
		}
		w.lastLook = time.Now()
		result, news := w.look(ctx)
		if err := interrupted(ctx); err != nil {
			return api.WatchResult{}, err
		}
		if news {
			result.LastProbe = *w.lastProbe.Load()
			return result, nil
		}
	}
}

// watcher is what one Watch activity keeps between its probes.
type watcher struct {
	*Activities
	in        api.WatchInput
	known     []string
	lastProbe atomic.Pointer[time.Time] // the last that succeeded; read by heartbeats
	stale     map[string]time.Time      // since when
	lastLook  time.Time
}

// look probes once and reports whether the result is news to the workflow.
func (w *watcher) look(ctx context.Context) (api.WatchResult, bool) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, max(w.in.Interval.D(), 10*time.Second))
	defer cancel()
	listing, err := w.list(ctx, w.in.Machine)
	if err != nil {
		return w.failed(ctx, err)
	}
	w.lastProbe.Store(&began)
	listing.Broken = listing.Broken || w.staleTooLong(listing.Stale, began)
	result := api.WatchResult{Listing: &listing}
	if w.in.Unreachable || listing.Broken != w.in.Broken {
		return result, true
	}
	return result, w.lists(ctx, listing)
}

// staleTooLong reports whether a container has been stale for too long.
func (w *watcher) staleTooLong(names []string, now time.Time) (tooLong bool) {
	since := map[string]time.Time{}
	for _, name := range names {
		since[name] = now
		if before, known := w.stale[name]; known {
			since[name] = before
		}
		tooLong = tooLong || now.Sub(since[name]) > w.in.StaleFor.D()
	}
	w.stale = since
	return tooLong
}

// lists reports whether the listing names a container that the workflow does not
// know. Containers start and end all the time, so the workflow is asked before it is
// woken.
func (w *watcher) lists(ctx context.Context, listing api.Listing) bool {
	unknown := func(name string) bool {
		id, _, err := api.ParseOnInstance(name)
		return err == nil && !slices.Contains(w.known, id)
	}
	if !slices.ContainsFunc(listing.Containers, unknown) {
		return false
	}
	info := activity.GetInfo(ctx).WorkflowExecution
	answer, err := w.client.QueryWorkflow(ctx, info.ID, info.RunID, api.QueryState)
	if err != nil {
		return false // the next probe asks again
	}
	var state api.InstanceState
	if err := answer.Get(&state); err != nil {
		return false
	}
	w.known = state.Running
	return slices.ContainsFunc(listing.Containers, unknown)
}

// failed says whether a failed probe is news: the cloud says that the instance is
// gone, or none has succeeded for the timeout.
func (w *watcher) failed(ctx context.Context, probe error) (api.WatchResult, bool) {
	var gone *temporal.ApplicationError
	if errors.As(w.checkAlive(context.WithoutCancel(ctx), w.in.Machine), &gone) {
		return api.WatchResult{Gone: gone.Message()}, true
	}
	if !w.in.Unreachable && time.Since(*w.lastProbe.Load()) > w.in.Timeout.D() {
		return api.WatchResult{Unreachable: probe.Error()}, true
	}
	return api.WatchResult{}, false
}
