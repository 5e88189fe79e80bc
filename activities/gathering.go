package activities

import "sync"

// gathering collects what comes while something is under way, for the next round of it.
// The zero gathering is ready for use.
type gathering[T any] struct {
	mu      sync.Mutex
	waiting []T
	working bool // somebody takes rounds until there is none
}

// add adds one, and has work called, in a goroutine of its own, unless that is under way.
func (g *gathering[T]) add(one T, work func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, one)
	if !g.working {
		g.working = true
		go work()
	}
}

// round takes out the first of what waits: as many as size says, one at least. None: the
// work is done.
func (g *gathering[T]) round(size func(waiting []T) int) []T {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.working = len(g.waiting) > 0
	if !g.working {
		return nil
	}
	n := size(g.waiting)
	taken := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return taken
}
