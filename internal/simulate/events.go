package simulate

import (
	"container/heap"
	"time"

	"drover/internal/schedule"
)

// event is something that happens at a time, unless it is stale by then.
type event struct {
	at   time.Duration
	seq  int64 // settles the order of events at one time
	kind kind
	m    *machine
	j    *job
	// attempt is the job's that the event belongs to.
	attempt int
}

type kind uint8

const (
	begun       kind = iota // the simulation
	answered                // the cloud has answered a create request
	booted                  // an instance is up
	ended                   // a container has run for its time
	idled                   // an instance may have been idle for the idle timeout
	aged                    // an instance has lived for the maximum age
	interrupted             // the cloud takes an instance back
	gone                    // an instance has shut down
)

// stale reports whether the event no longer means anything.
func (e *event) stale() bool {
	switch e.kind {
	case begun:
		return false
	case ended:
		return e.j.binding != schedule.Running || e.j.attempt != e.attempt
	case idled:
		return e.m.phase == over || e.m.leaving || len(e.m.jobs) > 0
	case aged:
		return e.m.phase == over || e.m.leaving
	default:
		return e.m.phase == over
	}
}

// agenda is the events to come, the next one first.
type agenda struct {
	events []event
	seq    int64
}

func (a *agenda) Len() int { return len(a.events) }

func (a *agenda) Less(i, k int) bool {
	if a.events[i].at != a.events[k].at {
		return a.events[i].at < a.events[k].at
	}
	return a.events[i].seq < a.events[k].seq
}

func (a *agenda) Swap(i, k int) { a.events[i], a.events[k] = a.events[k], a.events[i] }

// Push is for package heap: use add.
func (a *agenda) Push(e any) { a.events = append(a.events, *e.(*event)) }

// Pop is for package heap: use take.
func (a *agenda) Pop() any {
	last := len(a.events) - 1
	a.events = a.events[:last]
	return nil
}

func (a *agenda) add(e event) {
	a.seq++
	e.seq = a.seq
	heap.Push(a, &e)
}

// next returns when the next event that is not stale happens.
func (a *agenda) next() (at time.Duration, ok bool) {
	for len(a.events) > 0 && a.events[0].stale() {
		heap.Pop(a)
	}
	if len(a.events) == 0 {
		return 0, false
	}
	return a.events[0].at, true
}

// take removes and returns an event at that time, if there is one.
func (a *agenda) take(at time.Duration) (event, bool) {
	if next, ok := a.next(); !ok || next != at {
		return event{}, false
	}
	e := a.events[0]
	heap.Pop(a)
	return e, true
}
