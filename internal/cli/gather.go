package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"drover/internal/api"
	"drover/internal/pause"
)

// gathering waits for the elements of an array to end, while more may be submitted.
type gathering struct {
	session *Session
	array   *Array
	// screen shows what happens. Nil: nothing is shown.
	screen *Screen

	mu         sync.Mutex
	containers map[int]Container // those that exist
	claimed    map[int]bool      // somebody waits for their end
	endings    map[int]Ending
	whole      bool     // no more come
	waiters    int      // that wait for one end each
	next       int      // all elements before this one are claimed
	places     counts   // where those are that have not ended, as seen last
	why        string   // the first of them waits
	silent     int      // looks in a row at which a fleet did not answer
	wake       chan any // something has changed
}

func gather(s *Session, a *Array, screen *Screen) *gathering {
	g := &gathering{session: s, array: a, screen: screen, containers: maps.Clone(a.Containers),
		claimed: map[int]bool{}, endings: map[int]Ending{}, wake: make(chan any, 1)}
	if g.containers == nil {
		g.containers = map[int]Container{}
	}
	return g
}

// add takes in a container that has been submitted.
func (g *gathering) add(index int, c Container) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.containers[index] = c
	g.changed()
}

// close says that no more containers come.
func (g *gathering) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.whole = true
	g.changed()
}

func (g *gathering) changed() {
	select {
	case g.wake <- nil:
	default:
	}
}

// wait returns when all containers have ended.
func (g *gathering) wait(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var others sync.WaitGroup
	defer others.Wait()
	defer stop()
	others.Go(func() { g.watch(ctx) })
	for {
		for index, c := range g.claimNext() {
			others.Go(func() {
				g.await(ctx, index, c)
				g.mu.Lock()
				defer g.mu.Unlock()
				g.waiters--
				g.changed()
			})
		}
		if g.done() {
			stop()
			others.Wait() // or it would be shown once more
			g.show(true)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-g.wake:
		}
	}
}

func (g *gathering) done() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.whole && len(g.endings) == len(g.containers)
}

// claimNext returns the containers whose end is to be waited for next: a server has
// limits for how many may be waited for at once.
func (g *gathering) claimNext() map[int]Container {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := map[int]Container{}
	elements := g.array.Elements
	for g.next < len(elements) && g.claimed[elements[g.next]] {
		g.next++
	}
	for _, index := range elements[g.next:] {
		if g.waiters == concurrency {
			break
		}
		c, exists := g.containers[index]
		if !exists || g.claimed[index] {
			continue
		}
		g.waiters++
		g.claimed[index] = true
		next[index] = c
	}
	return next
}

// await waits for the end of a container that is claimed.
func (g *gathering) await(ctx context.Context, index int, c Container) {
	e, err := g.session.Await(ctx, c, func(text string) {
		if g.screen != nil {
			g.screen.Status(text)
		}
	})
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		e = Ending{Failure: "how it ended is not known: " + err.Error()}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.endings[index] = e
}

// watch looks, ever again, which containers have ended without anybody waiting for
// them, and where the others are. The longer that takes, the rarer it is done.
func (g *gathering) watch(ctx context.Context) {
	for wait := quiet; ; {
		if pause.For(ctx, wait) != nil {
			return
		}
		began := time.Now()
		g.collect(ctx)
		if g.screen != nil {
			g.locate(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		g.show(false)
		wait = max(longestPoll, 4*time.Since(began))
	}
}

// collect takes in those that visibility says have ended.
func (g *gathering) collect(ctx context.Context) {
	found, err := g.session.list(ctx, ofArrays(g.array.Name)+" AND "+over, 0)
	if err != nil {
		return // the next look may succeed, and all are waited for in the end
	}
	ended := map[int]Container{}
	g.mu.Lock()
	for _, info := range found {
		_, index, ok := elementOf(info)
		c, exists := g.containers[index]
		if ok && exists && c.WorkflowID == info.GetExecution().GetWorkflowId() && !g.claimed[index] {
			g.claimed[index] = true
			ended[index] = c
		}
	}
	g.mu.Unlock()
	order := slices.Sorted(maps.Keys(ended))
	each(len(order), func(i int) { g.await(ctx, order[i], ended[order[i]]) })
	g.changed()
}

// locate asks the fleets where the containers are that have not ended.
func (g *gathering) locate(ctx context.Context) {
	g.mu.Lock()
	fleets := map[string]bool{}
	byID := map[string]bool{}
	for index, c := range g.containers {
		if _, ended := g.endings[index]; !ended {
			fleets[c.Fleet], byID[c.ID] = true, true
		}
	}
	g.mu.Unlock()
	places, why := counts{}, ""
	for fleet := range fleets {
		err := g.session.scheduled(ctx, fleet, func(c api.ContainerState) bool {
			if byID[c.ID] {
				places[c.State]++
				if why == "" && c.State != api.ContainerRunning {
					why = c.Status
				}
			}
			// Those that wait come last, and can be very many.
			return c.State != api.ContainerQueued || why == "" && places[api.ContainerRunning] == 0
		})
		if isNotFound(err) {
			why = fmt.Sprintf("fleet %q does not exist", fleet)
		} else if err != nil {
			g.unanswered("fleet " + fleet + " does not answer: " + reason(err))
			return
		}
	}
	delete(places, api.ContainerQueued) // the rest
	g.mu.Lock()
	defer g.mu.Unlock()
	g.places, g.why, g.silent = places, why, 0
}

// patience is at how many looks in a row a fleet may not answer before that is said:
// one that takes in many containers is slow to.
const patience = 3

// unanswered says that a fleet has not answered, if that lasts. What was seen before
// still counts.
func (g *gathering) unanswered(why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.silent++; g.silent >= patience {
		g.why = why
	}
}
