package schedule

import (
	"cmp"
	"slices"
	"strings"
)

// future is an instance that can be bought, or will have room, once another one has
// ended. Containers that will have room on it ask for no further one.
type future struct {
	typ    int32
	count  int32
	room   Resources
	reason int32
}

// makeRoom sees to it that a container which is kept waiting by a limit on the number
// of instances gets an instance of the type it needs: it counts on one that is going
// already, or has an idle one shut down, or, for the first such container, has one
// take nothing new until it is empty. Otherwise containers that come after it could
// keep all instances busy for ever. It returns the reason to say; r is that of the
// limit.
func (p *planner) makeRoom(c *Container, st *shapeState, r int32) int32 {
	for ; st.future < len(p.futures); st.future++ {
		if f := &p.futures[st.future]; p.takeFuture(f, c.Shape) {
			return f.reason
		}
	}
	if st.noRoom != 0 {
		return st.noRoom
	}
	why := p.d.reasons[r]
	if !p.findFuture(c.Shape, why) {
		if p.emptying >= 0 {
			if s := &p.slots[p.emptying]; p.hasSpace(s.typ, s.count, &s.room, c.Shape) {
				why.hint, why.slot = hintKept, s.name
				r = p.because(why)
			}
		}
		st.noRoom = r
		return r
	}
	f := &p.futures[len(p.futures)-1]
	p.takeFuture(f, c.Shape)
	return f.reason
}

// takeFuture reserves room on f if there is enough for the shape.
func (p *planner) takeFuture(f *future, shape int) bool {
	if !p.hasSpace(f.typ, f.count, &f.room, shape) {
		return false
	}
	f.room.take(&p.w.Shapes[shape].Resources)
	f.count++
	return true
}

// findFuture adds a future instance with room for the shape, if there can be one.
func (p *planner) findFuture(shape int, why reason) bool {
	if !p.idleKnown {
		p.seeIdle(why.n)
	}
	typ := why.typ
	why.hint = hintGoing
	for p.free < 1 && len(p.idle) > 0 {
		s := &p.slots[p.idle[0]]
		p.idle = p.idle[1:]
		if s.count > 0 {
			continue
		}
		s.open = false
		p.free++
		p.d.ShutDown = append(p.d.ShutDown, s.name)
		why.hint, why.slot = hintShutDown, s.name
	}
	switch {
	case p.free >= 1:
		p.free--
	case p.emptying < 0 && p.empty(shape):
		s := &p.slots[p.emptying]
		why.hint, why.slot = hintEmptying, s.name
		switch {
		case !s.up:
			why.hint = hintBooting
		case p.fitsOf(shape)[s.typ]: // nothing ends for it: it waits for room, like everything
			why.hint, typ = hintNone, s.typ
		}
	default:
		return false
	}
	p.futures = append(p.futures, future{typ: typ, room: p.w.Types[typ].Resources, reason: p.because(why)})
	return true
}

// seeIdle lists the instances that may be shut down, longest idle first, and how many
// may be bought when those that are going are gone.
func (p *planner) seeIdle(limit int) {
	p.idleKnown = true
	p.free = p.going - (p.accepted + p.creating - limit)
	for i := range p.w.Instances {
		if s := &p.slots[i]; s.up && s.count == 0 {
			p.idle = append(p.idle, int32(i))
		}
	}
	slices.SortFunc(p.idle, func(a, b int32) int {
		x, y := &p.w.Instances[p.slots[a].instance], &p.w.Instances[p.slots[b].instance]
		return cmp.Or(x.IdleSince.Compare(y.IdleSince), strings.Compare(x.Name, y.Name))
	})
}

// empty closes the instance that will be empty soonest, as far as the number of its
// containers tells; among equals, one on which the shape will have room. One that
// boots for nobody is let go as soon as it is up.
func (p *planner) empty(shape int) bool {
	fits, best := p.fitsOf(shape), int32(-1)
	for i := range int32(len(p.w.Instances)) {
		s := &p.slots[i]
		if !s.open || !s.up && s.count > 0 {
			continue
		}
		if best >= 0 {
			b := &p.slots[best]
			if s.count > b.count || s.count == b.count && (fits[b.typ] && !fits[s.typ] ||
				fits[b.typ] == fits[s.typ] && s.name > b.name) {
				continue
			}
		}
		best = i
	}
	if best >= 0 {
		p.emptying = best
		p.slots[best].open = false
	}
	return best >= 0
}
