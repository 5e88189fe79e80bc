package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is what a holdoff is about.
type Kind string

// The kinds of holdoff. NoBoot and TakenBack are about instances that the cloud has
// accepted: only one that comes up disproves them.
const (
	NoCapacity Kind = "capacity"   // the cloud has none for the time being
	OverQuota  Kind = "quota"      // the account may have no more of them
	Failed     Kind = "failed"     // creating failed, and may work next time
	Denied     Kind = "denied"     // creating failed, and won't work until a person does something
	NoBoot     Kind = "boot"       // they are created, and don't come up
	TakenBack  Kind = "taken-back" // the cloud takes them back before they are up
)

// Holdoff is a time during which instances of some types are not created.
type Holdoff struct {
	Kind   Kind      `json:"kind"`
	Scope  Scope     `json:"scope"`
	Name   string    `json:"name,omitempty"` // of the type or group; empty for ScopeAll
	Until  time.Time `json:"until"`
	Times  int       `json:"times"`  // how often in a row
	Reason string    `json:"reason"` // what the cloud said, for a person
}

// The holdoffs, each doubling from the first to the last as refusals repeat.
const (
	capacityFirst, capacityLast = time.Minute, 15 * time.Minute
	failedFirst, failedLast     = 10 * time.Second, 10 * time.Minute
	deniedFirst, deniedLast     = 10 * time.Minute, time.Hour
	bootFirst, bootLast         = 30 * time.Second, time.Hour
	quotaFirst, quotaLast       = time.Minute, time.Hour
)

// retrial is for how long after its end a holdoff is remembered that the next try may
// take long to confirm: it boots, or has to be destroyed.
const retrial = 2 * time.Hour

// maxReason bounds, in bytes, what is kept of the cloud's words.
const maxReason = 300

// holdOff begins h, or prolongs the one that it repeats. asked is when the instance was
// asked for that h is about; zero: it does not matter.
func (l *Learnt) holdOff(h Holdoff, asked, now time.Time) {
	h.Reason = shorten(h.Reason)
	l.Holdoffs = slices.DeleteFunc(l.Holdoffs, func(o Holdoff) bool { return o.forgotten(now) })
	i := slices.IndexFunc(l.Holdoffs, func(o Holdoff) bool {
		return o.Scope == h.Scope && o.Name == h.Name && o.Kind.isReplacedBy(h.Kind)
	})
	if i < 0 {
		l.Holdoffs = append(l.Holdoffs, h)
		i = len(l.Holdoffs) - 1
	}
	o := &l.Holdoffs[i]
	if o.Kind == h.Kind && o.Times > 0 && (now.Before(o.Until) || !asked.IsZero() && asked.Before(o.began())) { // one of a burst
		o.Reason = h.Reason
		return
	}
	if o.Kind == h.Kind {
		h.Times = o.Times
	}
	h.Times++
	h.Until = now.Add(h.wait())
	*o = h
}

// covers reports whether h keeps instances of type t from being created.
func (h *Holdoff) covers(t *InstanceType) bool {
	switch h.Scope {
	case ScopeType:
		return h.Name == t.Name
	case ScopeGroup:
		return h.Name == t.Group
	default:
		return true
	}
}

// isTriedBy reports whether an instance that h covers will tell whether h still holds.
func (h *Holdoff) isTriedBy(in *Instance) bool {
	return in.Phase == Creating || in.Phase == Booting && h.Kind.isBoot() || in.Doubtful
}

// wait returns how long h lasts.
func (h *Holdoff) wait() time.Duration {
	first, last, _ := h.Kind.waits()
	return doubled(first, last, h.Times)
}

// began returns when h was last prolonged.
func (h *Holdoff) began() time.Time { return h.Until.Add(-h.wait()) }

// forgotten reports whether h ended so long ago that another one would be the first.
func (h *Holdoff) forgotten(now time.Time) bool {
	_, _, remembered := h.Kind.waits()
	return now.After(h.Until.Add(remembered))
}

// isReplacedBy reports whether a holdoff of kind n takes the place of one of kind k.
func (k Kind) isReplacedBy(n Kind) bool {
	return k == n || k.isCreation() && n.isCreation()
}

// isCreation reports whether k is an error of the creation that is no refusal.
func (k Kind) isCreation() bool { return k == Failed || k == Denied }

// isBoot reports whether only an instance that comes up disproves k.
func (k Kind) isBoot() bool { return k == NoBoot || k == TakenBack }

// waits returns the first and the last holdoff of kind k, and for how long after its end
// one is remembered.
func (k Kind) waits() (first, last, remembered time.Duration) {
	switch k {
	case NoCapacity, OverQuota:
		return capacityFirst, capacityLast, capacityLast
	case Denied:
		return deniedFirst, deniedLast, deniedLast
	case NoBoot:
		return bootFirst, bootLast, retrial
	case TakenBack:
		return capacityFirst, capacityLast, retrial
	default:
		return failedFirst, failedLast, retrial
	}
}

// sentence says that h keeps instances from being created, and until when.
func (h *Holdoff) sentence(clock func(time.Time) string) string {
	what, until := h.what(), clock(h.Until)
	switch h.Kind {
	case NoCapacity:
		return fmt.Sprintf("no capacity for %s until %s (%s)", what, until, h.Reason)
	case OverQuota:
		return fmt.Sprintf("the quota of %s is used up: %s (next try at %s)", what, h.Reason, until)
	case Denied:
		return fmt.Sprintf("creating %s is not possible until somebody acts: %s (next try at %s)", what, h.Reason, until)
	case NoBoot:
		return fmt.Sprintf("%s does not boot: %s (failed %s, next try at %s)", what, h.Reason, inARow(h.Times), until)
	case TakenBack:
		return fmt.Sprintf("the cloud takes %s back before it is up: %s (%s, next try at %s)", what, h.Reason, inARow(h.Times), until)
	default:
		return fmt.Sprintf("creating %s failed: %s (next try at %s)", what, h.Reason, until)
	}
}

// story says, while the next try is made, what became of those before.
func (h *Holdoff) story() string {
	what := h.what()
	switch h.Kind {
	case NoCapacity:
		return fmt.Sprintf("there was no capacity for %s (%s)", what, h.Reason)
	case OverQuota:
		return fmt.Sprintf("the quota of %s was used up (%s)", what, h.Reason)
	case NoBoot:
		return fmt.Sprintf("%s has failed to boot %s: %s", what, inARow(h.Times), h.Reason)
	case TakenBack:
		return fmt.Sprintf("the cloud has taken %s back %s: %s", what, inARow(h.Times), h.Reason)
	default:
		return fmt.Sprintf("creating %s failed: %s", what, h.Reason)
	}
}

// what says what h keeps from being created.
func (h *Holdoff) what() string {
	switch h.Scope {
	case ScopeType:
		return h.Name
	case ScopeGroup:
		return "group " + h.Name
	default:
		return "any instance"
	}
}

// inARow says how often something has happened in a row.
func inARow(times int) string {
	if times <= 1 {
		return "once"
	}
	return fmt.Sprintf("%d times in a row", times)
}

// doubled returns the wait after so many refusals in a row.
func doubled(first, last time.Duration, times int) time.Duration {
	wait := first
	for i := 1; i < times && wait < last; i++ {
		wait *= 2
	}
	return min(wait, last)
}

// shorten makes one line of s, and cuts it to maxReason bytes, between two characters.
func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= maxReason {
		return s
	}
	return strings.ToValidUTF8(s[:maxReason], "") + "…"
}
