package schedule

import (
	"fmt"
	"strings"
	"time"
)

// outcome is what became of a container, in few bytes.
type outcome struct {
	kind     outcomeKind
	position int32 // in the queue, from 1
	ref      int32
}

type outcomeKind uint8

const (
	outcomeNone     outcomeKind = iota // it runs
	outcomeOnHold                      // its priority is negative
	outcomeStarting                    // assigned; ref: index into World.Instances
	outcomeCreating                    // reserved on an instance that is not accepted yet; ref: index into World.Types
	outcomeBooting                     // reserved on one that is; ref: index into World.Types
	outcomeQueued                      // ref: index into Decision.reasons
)

// stop is what keeps an instance from being created.
type stop uint8

const (
	stopNone        stop = iota
	stopUnfit            // no type fits
	stopHeld             // every type that fits is held off
	stopTrial            // a holdoff has ended, and one instance is tried first
	stopMax              // max_instances
	stopQuota            // the cloud's quota
	stopOneByOne         // approaching the quota
	stopConcurrency      // create_concurrency
	stopRate             // the cloud's rate limit
	stopPace             // the pace at which that is kept
)

// hint is how a container will get room in spite of a limit.
type hint uint8

const (
	hintNone     hint = iota
	hintGoing         // an instance is shutting down anyway
	hintShutDown      // an idle one is shut down for it
	hintEmptying      // one of another type takes nothing new until it is empty
	hintBooting       // one that boots for nobody is let go when it is up
	hintKept          // it would have room on one that is kept for another
)

// reason is why containers of a shape are queued, from which the sentence is made
// when somebody asks.
type reason struct {
	stop  stop
	hint  hint
	typ   int32 // the type that would be bought
	shape int32
	// holdoff is an index into Decision.holdoffs, for stopTrial.
	holdoff int32
	n, of   int       // instances: how many there are, and may be
	until   time.Time // when it may cease to hold, zero: not known
	slot    string    // the instance that hint is about
}

// atLimit reports whether an instance could be bought if another one ended.
func (r *reason) atLimit() bool { return r.stop == stopMax || r.stop == stopQuota }

// maxHeld is how many held types a sentence names.
const maxHeld = 3

func (d *Decision) begin(w *World) {
	d.w = w
	d.outcomes = make([]outcome, len(w.Containers))
	d.reasons = make([]reason, 1, 16) // 0 is none
	d.holdoffs = append([]Holdoff(nil), w.Learnt.Holdoffs...)
}

// Status returns one sentence that says what the container with the given ID waits
// for. Empty if the container is Running or not in the World. It takes time linear in
// the number of containers; StatusAt does not. Times of day are UTC.
func (d *Decision) Status(id string) string {
	if d.w == nil {
		return ""
	}
	for i := range d.w.Containers {
		if d.w.Containers[i].ID == id {
			return d.StatusAt(i)
		}
	}
	return ""
}

// StatusAt is Status for the container at index i of World.Containers.
func (d *Decision) StatusAt(i int) string {
	if i < 0 || i >= len(d.outcomes) {
		return ""
	}
	switch o := d.outcomes[i]; o.kind {
	case outcomeOnHold:
		return "on hold: priority is negative"
	case outcomeStarting:
		return "starting on " + d.w.Instances[o.ref].Name
	case outcomeCreating, outcomeBooting:
		t := &d.w.Types[o.ref]
		return fmt.Sprintf("waiting for a %s instance to boot", t.Name) + d.failureBefore(t, o.kind == outcomeBooting)
	case outcomeQueued:
		return fmt.Sprintf("queue position %d: %s", o.position, d.sentence(&d.reasons[o.ref]))
	default:
		return ""
	}
}

func (d *Decision) sentence(r *reason) string {
	switch r.stop {
	case stopHeld:
		return d.heldSentence(r)
	case stopTrial:
		return "one instance is tried first, since " + d.holdoffs[r.holdoff].story()
	case stopMax:
		return fmt.Sprintf("fleet is at its limit of %s (max_instances)", plural(float64(r.n), "instance")) + d.hintSentence(r)
	case stopQuota:
		return d.quotaSentence(r) + d.hintSentence(r)
	case stopOneByOne:
		return fmt.Sprintf("%s being created, one at a time beyond the %d that the quota is known to allow", are(r.n), r.of)
	case stopConcurrency:
		return fmt.Sprintf("%s being created, at most %d at a time", are(r.n), r.of)
	case stopPace:
		return fmt.Sprintf("%s being created, at most %d at a time since the cloud limits the rate of requests", are(r.n), r.of)
	case stopRate:
		return "the cloud limits the rate of requests, next try at " + d.clock(r.until)
	default:
		return d.unfitSentence(r)
	}
}

func (d *Decision) quotaSentence(r *reason) string {
	s := "fleet is at its quota of " + plural(float64(r.n), "instance")
	if r.n == 0 {
		s = "the cloud's quota allows no instance now"
	}
	if !r.until.IsZero() {
		s += ", one more is tried at " + d.clock(r.until)
	}
	return s
}

func (d *Decision) hintSentence(r *reason) string {
	typ := d.w.Types[r.typ].Name
	switch r.hint {
	case hintGoing:
		return fmt.Sprintf("; an instance that is shutting down makes room for a %s", typ)
	case hintShutDown:
		return fmt.Sprintf("; idle %s is shut down to make room for a %s", r.slot, typ)
	case hintEmptying:
		return fmt.Sprintf("; %s takes nothing new, to make room for a %s once it is empty", r.slot, typ)
	case hintBooting:
		return fmt.Sprintf("; %s, which boots, is let go once it is up, to make room for a %s", r.slot, typ)
	case hintKept:
		return fmt.Sprintf("; %s is kept for a container before it", r.slot)
	default:
		return ""
	}
}

// unfitSentence says why no type fits: the fleet's types have changed since the
// container was submitted.
func (d *Decision) unfitSentence(r *reason) string {
	return fmt.Sprint(Check(d.w.Shapes[r.shape], d.w.Types))
}

// heldSentence says what holds off the types that fit, cheapest first.
func (d *Decision) heldSentence(r *reason) string {
	var parts []string
	more := 0
	said := make([]bool, len(d.holdoffs))
	n := len(d.w.Types)
	for _, t := range d.byPrice {
		if !d.fits[int(r.shape)*n+int(t)] || said[d.held[t].by] {
			continue
		}
		said[d.held[t].by] = true
		if len(parts) == maxHeld {
			more++
			continue
		}
		parts = append(parts, d.holdoffs[d.held[t].by].sentence(d.clock))
	}
	if more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}

// failureBefore says what has become of the last instance of type t, if it has failed at
// what the one that is accepted, or is still to be, may fail at.
func (d *Decision) failureBefore(t *InstanceType, accepted bool) string {
	var last *Holdoff
	for i := range d.holdoffs {
		h := &d.holdoffs[i]
		failed := h.Kind.isBoot() || h.Kind.isCreation() && !accepted
		if failed && h.covers(t) && !h.forgotten(d.w.Now) && (last == nil || h.Until.After(last.Until)) {
			last = h
		}
	}
	if last == nil {
		return ""
	}
	return "; " + last.story()
}

// clock says a time of day, with the date if it is another day.
func (d *Decision) clock(t time.Time) string {
	t, now := t.UTC(), d.w.Now.UTC()
	if !t.Truncate(24 * time.Hour).Equal(now.Truncate(24 * time.Hour)) {
		return t.Format("2006-01-02 15:04:05")
	}
	return t.Format("15:04:05")
}

// are says that so many instances are something.
func are(n int) string {
	if n == 1 {
		return "1 instance is"
	}
	return fmt.Sprintf("%d instances are", n)
}
