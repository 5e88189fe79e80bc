package cli

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"drover/internal/api"
	"drover/internal/pause"
)

const (
	// quiet is how long a container may take before it is asked about: most of those
	// that are short have ended by then.
	quiet = 150 * time.Millisecond
	// The fleet is asked from firstPoll on, ever less often, and least often while
	// the container runs.
	firstPoll   = 250 * time.Millisecond
	longestPoll = time.Second
	runningPoll = 2 * time.Second
	// withoutFleet is how often the fleet must not have been there for that to be said.
	withoutFleet = 5
)

// Follower shows a container until it ends: what it waits for, and its output.
type Follower struct {
	Session   *Session
	Container Container
	Screen    *Screen
	// Attempt is the only one that is shown. 0: the latest, and those that come.
	Attempt int
}

// Follow returns how the container has ended, once all its output is shown. An error
// means that nobody knows how it ended, or that the output can't be written.
func (f *Follower) Follow(ctx context.Context) (Ending, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	reader := &reader{follower: f, running: make(chan struct{}), broken: make(chan error, 1)}
	defer reader.close()
	var watchers sync.WaitGroup
	watchers.Go(func() { f.watch(watching, reader) })
	watchers.Go(func() { reader.run(watching) })

	ended := make(chan struct{})
	var ending Ending
	var lost error
	go func() {
		defer close(ended)
		ending, lost = f.Session.Await(watching, f.Container, f.Screen.Status)
	}()
	var err error
	select {
	case <-ended:
		err = lost
	case err = <-reader.broken:
	}
	stop()
	<-ended
	watchers.Wait()
	f.Screen.Clear()
	if err != nil {
		return Ending{}, err
	}
	return ending, reader.finish(ctx, ending)
}

// watch shows what the container waits for, as its fleet says. Without a fleet a container
// ends at once, and says so itself, if there is a worker.
func (f *Follower) watch(ctx context.Context, r *reader) {
	wait, without := quiet, 0
	for poll := firstPoll; ; poll = min(poll*3/2, longestPoll) {
		if pause.For(ctx, wait) != nil {
			return
		}
		wait = poll
		text, running, err := f.status(ctx)
		if ctx.Err() != nil {
			return
		}
		if isNotFound(err) {
			if without++; without < withoutFleet {
				continue
			}
		}
		if text != "" {
			f.Screen.Status(f.Container.ID + ": " + text)
		}
		if running {
			r.begin()
			wait = runningPoll
		}
	}
}

// status returns what the container's fleet says about it; nothing when the fleet
// does not know it any more, or not yet. With the error that kept it from saying anything,
// text says so.
func (f *Follower) status(ctx context.Context) (text string, running bool, err error) {
	var page api.ContainersPage
	err = f.Session.query(ctx, api.FleetWorkflowID(f.Container.Fleet), "", api.QueryContainers, &page, api.ContainersQuery{ID: f.Container.ID})
	switch {
	case isNotFound(err):
		return fmt.Sprintf("fleet %q does not exist", f.Container.Fleet), false, err
	case err != nil:
		return "its fleet does not answer: " + reason(err), false, err
	case len(page.Containers) == 0:
		return "", false, nil
	}
	c := page.Containers[0]
	return c.Status, c.State == api.ContainerRunning, nil
}

// exact returns the whole output of the last attempt, if a result has all of it,
// byte for byte.
func exact(result *api.ContainerResult) (string, bool) {
	if result == nil || result.OutputTruncated || strings.ContainsRune(result.Output, utf8.RuneError) {
		return "", false
	}
	return result.Output, true
}
