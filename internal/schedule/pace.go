package schedule

import "time"

// Pace is how many create requests may be out at a time, so that the cloud's limit of
// their rate is kept busy and hardly run into: it grows as requests are accepted, and
// shrinks by a quarter when one is refused. The zero Pace has met no limit.
type Pace struct {
	// Window is the number of instances in phase Creating. Zero: no limit.
	Window int `json:"window,omitempty"`
	// Steady is set when Window has shrunk. For steadyFor it grows by one when so many
	// have been accepted, and else by one for each: it began small, or the limit allows
	// more than it did.
	Steady bool `json:"steady,omitempty"`
	// Passed counts the requests that were accepted since Window changed, if Steady.
	Passed int `json:"passed,omitempty"`
	// Cut is when Window was set for a refusal. Of requests from before, another refusal
	// says nothing new.
	Cut time.Time `json:"cut,omitzero"`
	// Times counts the refusals since a request was accepted, each burst as one.
	Times int `json:"times,omitempty"`
}

// steadyFor is much longer than a limit that is kept busy lets pass between two refusals.
const steadyFor = time.Minute

// windowLeast leaves room beside a request that the cloud does not answer.
const windowLeast = 2

// rateFirst and rateLast are the holdoffs after a refusal that names no time, doubling
// from the first to the last while none is accepted. A limit that refills faster than
// the first must not overflow meanwhile.
const rateFirst, rateLast = 500 * time.Millisecond, 30 * time.Second

// RateLimited tells that the cloud refused a create request that was decided on at
// asked, for its rate, and accepts none before until. A zero until: it did not say; a
// zero asked: it is not known.
func (l *Learnt) RateLimited(asked, until, now time.Time) {
	l.Pace.refused(asked, now)
	if until.IsZero() {
		until = now.Add(doubled(rateFirst, rateLast, l.Pace.Times))
	}
	if until.After(l.RateLimitedUntil) {
		l.RateLimitedUntil = until
	}
}

// Passed tells that the cloud accepted a create request that was decided on at asked; a
// zero asked: it is not known.
func (l *Learnt) Passed(asked, now time.Time) { l.Pace.accepted(asked, now) }

func (p *Pace) refused(asked, now time.Time) {
	if p.isOld(asked) {
		return // one of a burst
	}
	p.Times++
	p.Steady = p.Window > 0
	p.Window, p.Passed, p.Cut = max(windowLeast, p.Window*3/4), 0, now
}

func (p *Pace) accepted(asked, now time.Time) {
	p.Times = 0
	if p.Window == 0 || p.Steady && p.isOld(asked) {
		return
	}
	steady := p.Steady && now.Sub(p.Cut) < steadyFor
	if p.Passed++; !steady || p.Passed >= p.Window {
		p.Window, p.Passed = p.Window+1, 0
	}
}

// isOld reports whether a request was made before Window was set.
func (p *Pace) isOld(asked time.Time) bool {
	return p.Window > 0 && !asked.IsZero() && !asked.After(p.Cut)
}
