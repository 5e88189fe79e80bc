package schedule

import "time"

// held says until when a type is held off, and by which of the holdoffs. The zero
// held is not.
type held struct {
	until time.Time
	by    int32
}

// heldBy returns which holdoff keeps t from being created for longest.
func heldBy(hs []Holdoff, t *InstanceType, now time.Time) held {
	var h held
	for i := range hs {
		if hs[i].covers(t) && hs[i].Until.After(now) && hs[i].Until.After(h.until) {
			h = held{until: hs[i].Until, by: int32(i)}
		}
	}
	return h
}

// buy creates an instance for a container and returns its slot, or -1 and the reason.
func (p *planner) buy(c *Container, st *shapeState) (slot, blocked int32) {
	t, why := p.cheapest(c.Shape)
	if t >= 0 {
		if why = p.stopped(); why.stop == stopNone {
			return p.create(t, "container "+c.ID+" fits on no instance"), st.blocked
		}
		why.typ = t
	}
	return -1, p.because(why)
}

// cheapest returns the cheapest type that a shape may run on and that is neither held
// off nor on trial, or -1 and the reason.
func (p *planner) cheapest(shape int) (int32, reason) {
	why := reason{stop: stopUnfit, shape: int32(shape)}
	fits := p.fitsOf(shape)
	for _, t := range p.byPrice {
		if !fits[t] {
			continue
		}
		if p.held[t].until.IsZero() {
			h := p.onTrial(t)
			if h < 0 {
				return t, reason{}
			}
			why.stop, why.holdoff = stopTrial, h
			continue
		}
		if why.stop != stopTrial {
			why.stop = stopHeld
		}
		if why.until.IsZero() || p.held[t].until.Before(why.until) {
			why.until = p.held[t].until
		}
	}
	return -1, why
}

// onTrial returns the holdoff of t that has ended without being disproved, if there is
// an instance already that will tell, otherwise -1. After a refusal one
// instance is tried, and not as many as wait.
func (p *planner) onTrial(t int32) int32 {
	typ := &p.w.Types[t]
	for i := range p.d.holdoffs {
		if h := &p.d.holdoffs[i]; p.trials[i] > 0 && h.covers(typ) && !h.forgotten(p.w.Now) {
			return int32(i)
		}
	}
	return -1
}

// tries notes that an instance of type t is being created.
func (p *planner) tries(t int32) {
	p.creating++
	for i := range p.d.holdoffs {
		if p.d.holdoffs[i].covers(&p.w.Types[t]) {
			p.trials[i]++
		}
	}
}

// countTrial notes which holdoffs an instance of type t will tell about.
func (p *planner) countTrial(in *Instance, t int32) {
	for i := range p.d.holdoffs {
		if t >= 0 && p.d.holdoffs[i].covers(&p.w.Types[t]) && p.d.holdoffs[i].isTriedBy(in) {
			p.trials[i]++
		}
	}
}

// stopped returns why no instance at all can be created now; stopNone: one can.
func (p *planner) stopped() reason {
	l, total := &p.w.Limits, p.accepted+p.creating
	quota := p.quota(total)
	if l.MaxInstances > 0 && total >= l.MaxInstances && (quota.stop != stopQuota || l.MaxInstances <= quota.n) {
		return reason{stop: stopMax, n: l.MaxInstances}
	}
	switch {
	case quota.stop != stopNone:
		return quota
	case l.CreateConcurrency > 0 && p.creating >= l.CreateConcurrency:
		return reason{stop: stopConcurrency, n: p.creating, of: l.CreateConcurrency}
	case p.w.Learnt.RateLimitedUntil.After(p.w.Now):
		return reason{stop: stopRate, until: p.w.Learnt.RateLimitedUntil}
	case p.w.Learnt.Pace.Window > 0 && p.creating >= p.w.Learnt.Pace.Window:
		return reason{stop: stopPace, n: p.creating, of: p.w.Learnt.Pace.Window}
	}
	return reason{}
}

// quota returns why what is known of the quota rules out one more instance.
func (p *planner) quota(total int) reason {
	q := &p.w.Learnt.Quota
	switch {
	case !q.Limited || total < q.Refused:
		return reason{}
	case q.Refused > 0 && q.Refused >= q.Worked:
		return reason{stop: stopQuota, n: q.Refused}
	case q.Refused == 0 && total < q.Level:
		return reason{}
	case q.Next.After(p.w.Now):
		return reason{stop: stopQuota, n: q.Level, until: q.Next}
	case p.creating > 0:
		return reason{stop: stopOneByOne, n: p.creating, of: q.Level}
	}
	return reason{}
}

// create adds an instance to be created and returns its slot.
func (p *planner) create(t int32, why string) int32 {
	typ := &p.w.Types[t]
	p.tries(t)
	p.d.Create = append(p.d.Create, Creation{Type: typ.Name, Reason: why})
	p.slots = append(p.slots, slot{room: typ.Resources, price: typ.Price, typ: t, instance: -1, last: -1,
		creation: int32(len(p.d.Create) - 1), open: true})
	return int32(len(p.slots) - 1)
}

// because notes a reason, and when it may cease to hold.
func (p *planner) because(r reason) int32 {
	p.wakeAt(r.until)
	p.d.reasons = append(p.d.reasons, r)
	return int32(len(p.d.reasons) - 1)
}

// wakeAt has the fleet decide again at t, if that is not zero.
func (p *planner) wakeAt(t time.Time) {
	if !t.IsZero() && (p.d.Wake.IsZero() || t.Before(p.d.Wake)) {
		p.d.Wake = t
	}
}
