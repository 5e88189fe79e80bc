package schedule

import (
	"slices"
	"strings"
	"time"
)

// Scope says how much a refusal rules out. Its values are those of the cloud
// package's Scope.
type Scope string

// The scopes of a refusal, from the narrowest.
const (
	ScopeType  Scope = "type"  // the instance type of that name
	ScopeGroup Scope = "group" // every instance type with that Group
	ScopeAll   Scope = "all"   // every instance type
)

// Learnt is what a fleet has learnt from the cloud's answers to its create requests.
// It is plain data, survives JSON unchanged, and stays small: one entry per instance
// type and group at most. The zero Learnt knows nothing.
type Learnt struct {
	Quota            Quota     `json:"quota,omitzero"`
	RateLimitedUntil time.Time `json:"rate_limited_until,omitzero"` // no create request before
	Pace             Pace      `json:"pace,omitzero"`
	Holdoffs         []Holdoff `json:"holdoffs,omitempty"`
}

// Quota is what is known of how many instances the cloud allows.
type Quota struct {
	// Worked is the largest number of instances that were ever alive at once.
	Worked int `json:"worked,omitempty"`
	// Limited is set once a quota was met or estimated; until then nothing is known
	// and the other fields are zero.
	Limited bool `json:"limited,omitempty"`
	// Level is the number of instances that is bought up to freely; beyond it they
	// are tried one at a time.
	Level int `json:"level,omitempty"`
	// Refused is the number that was alive when the cloud last refused: nothing is
	// bought until there are fewer. Where more have worked, one is tried at Next, or the
	// fleet would stay that small for as long as it is busy. Zero: no refusal stands.
	Refused int `json:"refused,omitempty"`
	// Again counts the refusals in a row at Refused.
	Again int `json:"again,omitempty"`
	// Next is when going beyond Level may be tried again. Zero: at once.
	Next time.Time `json:"next,omitzero"`
	// Times counts the refusals since going beyond Level last worked.
	Times int `json:"times,omitempty"`
}

// Kind is what a holdoff is about.
type Kind string

// The kinds of holdoff.
const (
	NoCapacity Kind = "capacity" // the cloud has none for the time being
	Failed     Kind = "failed"   // creating failed, and may work next time
	Denied     Kind = "denied"   // creating failed, and won't work until a person does something
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
	quotaFirst, quotaLast       = time.Minute, time.Hour
)

// maxReason bounds, in bytes, what is kept of the cloud's words.
const maxReason = 300

// NewLearnt returns what a fresh fleet knows. An estimate above zero is the number of
// instances from which the quota is approached one at a time (initial_quota_estimate).
func NewLearnt(initialQuotaEstimate int) Learnt {
	if initialQuotaEstimate <= 0 {
		return Learnt{}
	}
	return Learnt{Quota: Quota{Limited: true, Level: initialQuotaEstimate}}
}

// Created tells that the cloud has accepted an instance of type t, and that alive
// instances exist now, this one included and those in phase Creating not.
func (l *Learnt) Created(t InstanceType, alive int, now time.Time) {
	q := &l.Quota
	q.Worked = max(q.Worked, alive)
	if q.Limited && alive > q.Level {
		q.Level, q.Times, q.Next = alive, 0, time.Time{}
	}
	if alive >= q.Refused {
		q.Refused, q.Again = 0, 0
	}
	l.Holdoffs = slices.DeleteFunc(l.Holdoffs, func(h Holdoff) bool {
		return h.covers(&t) || h.forgotten(now)
	})
}

// QuotaRefused tells that the cloud refused an instance for its quota while alive
// instances existed (those in phase Creating not counted).
func (l *Learnt) QuotaRefused(alive int, now time.Time) {
	q := &l.Quota
	if alive != q.Refused {
		q.Again = 0
	}
	if !now.Before(q.Next) { // otherwise it is one of a burst, or Next says nothing about it
		q.Times++
		q.Again++
	}
	wait := quotaFirst
	switch {
	case alive == 0:
	case alive >= q.Worked: // more has never worked: expect less of the next try
		wait = doubled(quotaFirst, quotaLast, q.Times)
	default:
		wait = doubled(quotaFirst, quotaLast, q.Again)
	}
	q.Limited, q.Level, q.Refused, q.Next = true, alive, alive, now.Add(wait)
}

// CapacityRefused tells that the cloud has no capacity: for the type or group of that
// name, or, with ScopeAll, for anything (name is ignored). An unknown scope and an empty
// name count as ScopeAll. reason is what the cloud called it, such as
// InsufficientInstanceCapacity.
func (l *Learnt) CapacityRefused(scope Scope, name, reason string, now time.Time) {
	if scope != ScopeType && scope != ScopeGroup || name == "" {
		scope, name = ScopeAll, ""
	}
	l.holdOff(Holdoff{Kind: NoCapacity, Scope: scope, Name: name, Reason: reason}, now)
}

// RuledOut returns the scope and name, for CapacityRefused, of a refusal of that scope
// which an instance of type t met: a group that t names, or t alone where the cloud
// speaks of a group and t names none. Any other scope is everything.
func (t InstanceType) RuledOut(scope Scope) (Scope, string) {
	switch {
	case scope == ScopeGroup && t.Group != "":
		return ScopeGroup, t.Group
	case scope == ScopeGroup, scope == ScopeType:
		return ScopeType, t.Name
	}
	return ScopeAll, ""
}

// CreateFailed tells that creating an instance of the named type failed for another
// reason; an empty name means that it would fail for any type (bad credentials).
// permanent: it won't work until a person does something.
func (l *Learnt) CreateFailed(typeName, reason string, permanent bool, now time.Time) {
	h := Holdoff{Kind: Failed, Scope: ScopeType, Name: typeName, Reason: reason}
	if permanent {
		h.Kind = Denied
	}
	if typeName == "" {
		h.Scope = ScopeAll
	}
	l.holdOff(h, now)
}

// Forget drops what the cloud's errors taught (not the quota), so that creating is
// tried again at once: when a person has changed the fleet's spec or asks for it.
func (l *Learnt) Forget() {
	l.RateLimitedUntil, l.Pace, l.Holdoffs = time.Time{}, Pace{}, nil
}

// holdOff begins h, or prolongs the one that it repeats.
func (l *Learnt) holdOff(h Holdoff, now time.Time) {
	h.Reason = shorten(h.Reason)
	l.Holdoffs = slices.DeleteFunc(l.Holdoffs, func(o Holdoff) bool { return o.forgotten(now) })
	i := slices.IndexFunc(l.Holdoffs, func(o Holdoff) bool {
		return o.Scope == h.Scope && o.Name == h.Name && (o.Kind == NoCapacity) == (h.Kind == NoCapacity)
	})
	if i < 0 {
		l.Holdoffs = append(l.Holdoffs, h)
		i = len(l.Holdoffs) - 1
	}
	o := &l.Holdoffs[i]
	if o.Kind == h.Kind && now.Before(o.Until) { // one of a burst
		o.Reason = h.Reason
		return
	}
	if o.Kind == h.Kind {
		h.Times = o.Times
	}
	h.Times++
	first, last := h.Kind.waits()
	h.Until = now.Add(doubled(first, last, h.Times))
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

// forgotten reports whether h ended so long ago that another one would be the first.
func (h *Holdoff) forgotten(now time.Time) bool {
	_, last := h.Kind.waits()
	return now.After(h.Until.Add(last))
}

func (k Kind) waits() (first, last time.Duration) {
	switch k {
	case NoCapacity:
		return capacityFirst, capacityLast
	case Denied:
		return deniedFirst, deniedLast
	default:
		return failedFirst, failedLast
	}
}

// doubled returns the wait after so many refusals in a row.
func doubled(first, last time.Duration, times int) time.Duration {
	wait := first
	for i := 1; i < times && wait < last; i++ {
		wait *= 2
	}
	return min(wait, last)
}

// shorten cuts s to maxReason bytes, between two characters.
func shorten(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return strings.ToValidUTF8(s[:maxReason], "") + "…"
}
