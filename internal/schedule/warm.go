package schedule

import (
	"slices"
	"strconv"
)

// keepWarm sees to min_idle: it keeps the idle instances that are most useful, and
// creates those that are missing.
func (p *planner) keepWarm() {
	missing := p.w.Limits.MinIdle
	if missing <= 0 {
		return
	}
	var idle []int32
	for i := range p.slots {
		if s := &p.slots[i]; s.open && s.count == 0 {
			idle = append(idle, int32(i))
		}
	}
	slices.SortFunc(idle, func(a, b int32) int { return p.warmth(&p.slots[a], &p.slots[b]) })
	for _, i := range idle {
		if missing--; missing < 0 {
			break
		}
		if p.slots[i].up {
			p.d.Keep = append(p.d.Keep, p.slots[i].name)
		}
	}
	for ; missing > 0; missing-- {
		p.creating += p.spare
		why := p.stopped()
		p.creating -= p.spare
		if why.stop != stopNone {
			p.wakeAt(why.until)
			return
		}
		t := p.warmType()
		if t < 0 {
			for i := range p.held {
				p.wakeAt(p.held[i].until)
			}
			return
		}
		p.create(t, "min_idle is "+strconv.Itoa(p.w.Limits.MinIdle))
	}
}

// warmth orders idle instances: those that are up, that any container may use, and
// that are cheap come first.
func (p *planner) warmth(a, b *slot) int {
	if a.up != b.up {
		return rank(a, b)
	}
	if x, y := p.w.Types[a.typ].Preemptible, p.w.Types[b.typ].Preemptible; x != y {
		if y {
			return -1
		}
		return 1
	}
	return rank(a, b)
}

// warmType returns the type to keep idle: the cheapest that is not preemptible, since
// any container may use it, else the cheapest. -1: all are held off or on trial.
func (p *planner) warmType() int32 {
	best := int32(-1)
	for _, t := range p.byPrice {
		if !p.held[t].until.IsZero() || p.onTrial(t) >= 0 {
			continue
		}
		if !p.w.Types[t].Preemptible {
			return t
		}
		if best < 0 {
			best = t
		}
	}
	return best
}
