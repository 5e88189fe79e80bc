package schedule

import (
	"slices"
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

// Learnt is what a fleet has learnt from the cloud's answers to its create requests, and
// from what became of the instances. It is plain data, survives JSON unchanged, and stays
// small: a few entries per instance type and group at most. The zero Learnt knows nothing.
type Learnt struct {
	Quota            Quota     `json:"quota,omitzero"`
	RateLimitedUntil time.Time `json:"rate_limited_until,omitzero"` // no create request before
	Pace             Pace      `json:"pace,omitzero"`
	Holdoffs         []Holdoff `json:"holdoffs,omitempty"`
	// Forgot is when Forget was last called: the boot of an instance that was asked for
	// before says nothing of those that are asked for since.
	Forgot time.Time `json:"forgot,omitzero"`
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
		return h.covers(&t) && !h.Kind.isBoot() || h.forgotten(now)
	})
}

// Booted tells that an instance of the named type has come up.
func (l *Learnt) Booted(typeName string) {
	l.Holdoffs = slices.DeleteFunc(l.Holdoffs, func(h Holdoff) bool {
		return h.Kind.isBoot() && h.Scope == ScopeType && h.Name == typeName
	})
}

// BootFailed tells that an instance of the named type, which was asked for at that time,
// was created and did not come up. Those that were asked for before the last one failed
// count as one with it. Zero: it is not known when.
func (l *Learnt) BootFailed(typeName, reason string, asked, now time.Time) {
	if !asked.IsZero() && asked.Before(l.Forgot) {
		return
	}
	l.holdOff(Holdoff{Kind: NoBoot, Scope: ScopeType, Name: typeName, Reason: reason}, asked, now)
}

// TakenBack is BootFailed for an instance that the cloud took back before it was up:
// that says nothing of what is on it.
func (l *Learnt) TakenBack(typeName, reason string, asked, now time.Time) {
	l.holdOff(Holdoff{Kind: TakenBack, Scope: ScopeType, Name: typeName, Reason: reason}, asked, now)
}

// QuotaRefused tells that the cloud refused an instance for the quota of all instances
// while alive of them existed (those in phase Creating not counted).
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
	l.ruleOut(NoCapacity, scope, name, reason, now)
}

// QuotaExceeded is CapacityRefused for a quota of its own that the type or group of that
// name has. It says nothing about how many instances there may be of others.
func (l *Learnt) QuotaExceeded(scope Scope, name, reason string, now time.Time) {
	l.ruleOut(OverQuota, scope, name, reason, now)
}

func (l *Learnt) ruleOut(kind Kind, scope Scope, name, reason string, now time.Time) {
	if scope != ScopeType && scope != ScopeGroup || name == "" {
		scope, name = ScopeAll, ""
	}
	l.holdOff(Holdoff{Kind: kind, Scope: scope, Name: name, Reason: reason}, time.Time{}, now)
}

// RuledOut returns the scope and name, for CapacityRefused and QuotaExceeded, of a refusal
// of that scope which an instance of type t met: a group that t names, or t alone where
// the cloud speaks of a group and t names none. Any other scope is everything.
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
	l.holdOff(h, time.Time{}, now)
}

// Forget drops what the cloud's errors taught (not the quota), so that creating is
// tried again at once: when a person has changed the fleet's spec or asks for it.
func (l *Learnt) Forget(now time.Time) {
	l.RateLimitedUntil, l.Pace, l.Holdoffs, l.Forgot = time.Time{}, Pace{}, nil, now.Truncate(time.Millisecond) // as is known of instances
}
