package activities

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"drover/internal/api"
	"drover/internal/cloud"
	"drover/internal/pause"
	"drover/internal/sshexec"
)

// Watch probes an instance at an interval, over a kept-open connection, and returns
// only when there is something that the workflow does not know.
func (a *Activities) Watch(ctx context.Context, in api.WatchInput) (api.WatchResult, error) {
	w := a.newWatcher(in)
	if activity.HasHeartbeatDetails(ctx) {
		var earlier api.Watched
		if err := activity.GetHeartbeatDetails(ctx, &earlier); err == nil && earlier.LastProbe.After(in.LastProbe) {
			w.kept.Store(&earlier)
		}
	}
	ctx, stop := long(ctx, func() any { return *w.kept.Load() })
	defer stop()
	if last := w.kept.Load().LastProbe; time.Since(last) < in.Interval.D() {
		w.lastLook = last
	}
	for {
		if err := pause.For(ctx, time.Until(w.next())); err != nil {
			return api.WatchResult{}, interrupted(ctx)
		}
		result, news := w.step(ctx)
		if err := interrupted(ctx); err != nil {
			return api.WatchResult{}, err
		}
		if news {
			kept := w.kept.Load()
			result.LastProbe, result.StaleSince = kept.LastProbe, kept.StaleSince
			return result, nil
		}
	}
}

// watcher is what one Watch activity keeps between its probes.
type watcher struct {
	*Activities
	in       api.WatchInput
	known    []string                    // attempts that the workflow knew when it was last asked
	foreign  []string                    // attempts of other fleets
	kept     atomic.Pointer[api.Watched] // read by heartbeats
	absent   map[string]int              // how many probes in a row have not listed what was listed
	failures int                         // probes in a row
	lastLook time.Time

	noticeCommand string // "": no notice is given
	lastNotice    time.Time
}

// newWatcher returns what a Watch activity begins with.
func (a *Activities) newWatcher(in api.WatchInput) *watcher {
	w := &watcher{Activities: a, in: in, known: in.Known, absent: map[string]int{}, noticeCommand: a.noticeCommand(in)}
	w.kept.Store(&api.Watched{LastProbe: in.LastProbe, Listed: in.Listed, StaleSince: in.StaleSince})
	return w
}

// noticeInterval is how often an instance is asked whether its provider takes it.
const noticeInterval = 5 * time.Second

// next returns when there is something to do.
func (w *watcher) next() time.Time {
	look := w.lastLook.Add(w.in.Interval.D())
	if notice := w.lastNotice.Add(noticeInterval); w.noticeCommand != "" && notice.Before(look) {
		return notice
	}
	return look
}

// step does what is due and reports whether the result is news to the workflow.
func (w *watcher) step(ctx context.Context) (api.WatchResult, bool) {
	if w.noticeCommand != "" && time.Since(w.lastNotice) >= noticeInterval {
		w.lastNotice = time.Now()
		if at := w.notice(ctx); !at.IsZero() {
			return api.WatchResult{Notice: at}, true
		}
	}
	if time.Since(w.lastLook) < w.in.Interval.D() {
		return api.WatchResult{}, false
	}
	w.lastLook = time.Now()
	return w.look(ctx)
}

// look probes once and reports whether the result is news to the workflow.
func (w *watcher) look(ctx context.Context) (api.WatchResult, bool) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, max(w.in.Interval.D(), 10*time.Second))
	defer cancel()
	listing, err := w.list(ctx, w.in.Machine)
	if err != nil {
		w.failures++
		return w.failed(ctx, began, err)
	}
	w.failures = 0
	before := w.kept.Load()
	w.kept.Store(&api.Watched{LastProbe: began, Listed: w.remember(before.Listed, listing.Containers), StaleSince: before.StaleSince})
	unlisted, added, err := w.compare(ctx, listing)
	if err != nil {
		return api.WatchResult{}, false // the next probe asks again
	}
	listing = without(listing, w.foreign)
	listing.Broken = listing.Broken || w.staleTooLong(listing.Stale, began)
	news := w.in.Unreachable || added || len(unlisted) > 0 || listing.Broken != w.in.Broken || listing.Broken && w.newlyStale(listing)
	return api.WatchResult{Listing: &listing, Unlisted: unlisted}, news
}

// remember returns what has been listed and may still have to be missed.
func (w *watcher) remember(before, now []string) []string {
	all := slices.Clone(now)
	for _, name := range before {
		if slices.Contains(now, name) {
			continue
		}
		w.absent[name]++
		all = append(all, name)
	}
	for _, name := range now {
		delete(w.absent, name)
	}
	return all
}

// staleTooLong reports whether a container has been stale for too long, and keeps since when.
// What was so before this activity began is still.
func (w *watcher) staleTooLong(names []string, now time.Time) (tooLong bool) {
	kept, since := *w.kept.Load(), map[string]time.Time{}
	for _, name := range names {
		since[name] = now
		if before, known := kept.StaleSince[name]; known {
			since[name] = before
		}
		tooLong = tooLong || w.in.Broken || now.Sub(since[name]) > w.in.StaleFor.D()
	}
	kept.StaleSince = since
	w.kept.Store(&kept)
	return tooLong
}

// newlyStale reports whether a container is stale that the workflow does not know to be:
// on a broken instance it is ended.
func (w *watcher) newlyStale(listing api.Listing) bool {
	return slices.ContainsFunc(listing.Stale, func(name string) bool { return !slices.Contains(w.in.Stale, name) })
}

// unknown reports whether an attempt is unknown to the workflow, as far as the watcher
// knows.
func (w *watcher) unknown(name string) bool {
	_, _, err := api.ParseOnInstance(name)
	return err == nil && !slices.Contains(w.known, name) && !slices.Contains(w.foreign, name)
}

// compare holds the listing against what the workflow knows. It returns the attempts
// that the workflow still knows and that two probes have not listed, and whether there
// is one that the workflow does not know. Containers start and end all the time, so the
// workflow is asked before it is woken.
func (w *watcher) compare(ctx context.Context, listing api.Listing) (unlisted []string, added bool, err error) {
	unlisted = w.missed()
	if len(unlisted) == 0 && !slices.ContainsFunc(listing.Containers, w.unknown) {
		return nil, false, nil
	}
	info := activity.GetInfo(ctx).WorkflowExecution
	answer, err := w.client.QueryWorkflow(ctx, info.ID, info.RunID, api.QueryAttempts)
	if err != nil {
		return nil, false, err
	}
	var known []string
	if err := answer.Get(&known); err != nil {
		return nil, false, err
	}
	w.known = known
	w.noLongerMiss(unlisted)
	added, err = w.hasStrangers(ctx, listing)
	return slices.DeleteFunc(unlisted, w.unknown), added, err
}

// hasStrangers reports whether the instance runs what the workflow does not know and
// what is of no other fleet.
func (w *watcher) hasStrangers(ctx context.Context, listing api.Listing) (bool, error) {
	strangers := slices.DeleteFunc(slices.Clone(listing.Containers), func(name string) bool { return !w.unknown(name) })
	if len(strangers) == 0 {
		return false, nil
	}
	// What had ended when the workflow was asked was known to it before.
	now, err := w.list(ctx, w.in.Machine)
	if err != nil {
		return false, err
	}
	strangers = slices.DeleteFunc(strangers, func(name string) bool { return !slices.Contains(now.Containers, name) })
	foreign, err := w.foreigners(ctx, w.in.Machine.Fleet, strangers)
	w.foreign = append(w.foreign, foreign...)
	return len(strangers) > len(foreign), err
}

// missed returns, in order, the attempts that two probes in a row have not listed.
func (w *watcher) missed() []string {
	var names []string
	for name, times := range w.absent {
		if times >= 2 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// noLongerMiss forgets attempts that were missed.
func (w *watcher) noLongerMiss(names []string) {
	kept := *w.kept.Load()
	kept.Listed = slices.DeleteFunc(slices.Clone(kept.Listed), func(name string) bool { return slices.Contains(names, name) })
	w.kept.Store(&kept)
	for _, name := range names {
		delete(w.absent, name)
	}
}

// minFailures is how many probes must fail in a row, on one worker, before an instance
// counts as unreachable: the probe timeout may have passed while no worker was there.
const minFailures = 3

// failed says whether a failed probe is news: the cloud says that the instance is
// gone, or none has succeeded for the timeout.
func (w *watcher) failed(ctx context.Context, began time.Time, probe error) (api.WatchResult, bool) {
	var gone *temporal.ApplicationError
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // the probe may have used up its own time
	defer cancel()
	if errors.As(w.checkAlive(asking, w.in.Machine), &gone) {
		return api.WatchResult{Gone: gone.Message()}, true
	}
	if !w.in.Unreachable && w.failures >= minFailures && began.Sub(w.kept.Load().LastProbe) > w.in.Timeout.D() {
		return api.WatchResult{Unreachable: probe.Error()}, true
	}
	return api.WatchResult{}, false
}

// noticeCommand returns the command that prints when the provider takes an instance.
func (a *Activities) noticeCommand(in api.WatchInput) string {
	if !in.Preemptible || in.Noticed {
		return ""
	}
	driver, err := a.driver(in.Machine.Fleet, in.Machine.Driver, in.Machine.Local, nil) // whose calls do not matter here
	if noticer, ok := driver.(cloud.Noticer); err == nil && ok {
		return noticer.NoticeCommand()
	}
	return ""
}

// notice asks the instance when its provider takes it. The zero value: it has not said
// so, or can't be asked now.
func (w *watcher) notice(ctx context.Context) time.Time {
	pool, target, err := w.target(w.in.Machine)
	if err != nil {
		return time.Time{}
	}
	ctx, cancel := context.WithTimeout(ctx, noticeInterval)
	defer cancel()
	var out bytes.Buffer
	if err := pool.Run(ctx, target, sshexec.Command{Line: w.noticeCommand, Stdout: &out}); err != nil {
		return time.Time{} // whether it can be reached is for the probe to say
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(out.String()))
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}
