package schedule

import (
	"cmp"
	"slices"
)

// planner is one decision in the making.
type planner struct {
	w *World
	d *Decision

	slots   []slot  // first those of World.Instances in standing order, then those to be created
	slotOf  []int32 // by index into World.Instances
	byName  map[string]int32
	touched []touch // every placement so far, for the searches of shapes
	shapes  []shapeState
	fits    []bool // of each shape in use × instance type: fits, at a price that is allowed

	byPrice   []int32 // indexes of World.Types, cheapest first
	held      []held  // by index into World.Types
	accepted  int     // instances alive
	creating  int     // instances asked for, those of this decision included
	going     int     // instances that will be gone without anything being done
	free      int     // of going and of those shut down now, less what is spoken for
	idle      []int32 // slots that may be shut down, the next one first
	idleKnown bool
	futures   []future
	emptying  int32 // slot that takes nothing more until it is empty, -1: none
}

// entry is a container's place in the order.
type entry struct {
	class    uint8
	priority int
	order    int64
	index    int32
}

// The classes of the order. Running containers come before both.
const (
	classAssigned uint8 = iota // waits for an instance that still boots
	classQueued
)

// Decide says which container runs where, and what is bought and let go for it. It is
// a pure function of w, which it does not change.
func Decide(w *World) Decision {
	var d Decision
	d.begin(w)
	p := &planner{w: w, d: &d, emptying: -1}
	p.seeTypes()
	p.seeInstances()
	for _, e := range p.order() {
		p.handle(e)
	}
	p.keepWarm()
	d.byPrice, d.held, d.fits = p.byPrice, p.held, p.fits
	return d
}

// order returns the containers that wait, in the order in which they are served, and
// notes those on hold.
func (p *planner) order() []entry {
	cs := p.w.Containers
	order := make([]entry, 0, len(cs))
	for i := range cs {
		c := &cs[i]
		if c.Binding == Running {
			continue
		}
		if c.Priority < 0 {
			p.d.outcomes[i] = outcome{kind: outcomeOnHold}
			continue
		}
		class := classQueued
		if c.Binding == Assigned {
			if s := p.slotNamed(c.Instance); s >= 0 && p.slots[s].open && !p.slots[s].up {
				class = classAssigned
			}
		}
		order = append(order, entry{class: class, priority: c.Priority, order: c.Order, index: int32(i)})
	}
	slices.SortFunc(order, func(a, b entry) int {
		if a.class != b.class {
			return cmp.Compare(a.class, b.class)
		}
		if a.priority != b.priority {
			return cmp.Compare(b.priority, a.priority)
		}
		if a.order != b.order {
			return cmp.Compare(a.order, b.order)
		}
		return cmp.Compare(cs[a.index].ID, cs[b.index].ID)
	})
	return order
}

// handle finds a place for one container, or says why there is none.
func (p *planner) handle(e entry) {
	c := &p.w.Containers[e.index]
	st := p.shape(c.Shape)
	s := p.search(c.Shape, st)
	if e.class == classAssigned && (s < 0 || !p.slots[s].up) {
		if own := p.slotNamed(c.Instance); p.hasRoom(&p.slots[own], c.Shape) {
			s = own
		}
	}
	if s < 0 && st.blocked == 0 {
		s, st.blocked = p.buy(c, st)
	}
	if s < 0 {
		p.queue(e.index, c, st)
		return
	}
	p.place(s, c.Shape)
	p.report(e.index, s)
}

// queue says why a container without a place waits. What rules out buying rules it
// out for all that follow of its shape, but they may share a future instance.
func (p *planner) queue(index int32, c *Container, st *shapeState) {
	p.d.queued++
	r := st.blocked
	if p.d.reasons[r].atLimit() {
		r = p.makeRoom(c, st, r)
	}
	p.d.outcomes[index] = outcome{kind: outcomeQueued, position: p.d.queued, ref: r}
}

// report writes down where a container was placed.
func (p *planner) report(index, s int32) {
	sl, id := &p.slots[s], p.w.Containers[index].ID
	if sl.up {
		p.d.Assign = append(p.d.Assign, Assignment{Container: id, Index: int(index), Instance: sl.name})
		p.d.outcomes[index] = outcome{kind: outcomeStarting, ref: sl.instance}
		return
	}
	p.d.Reserve = append(p.d.Reserve,
		Reservation{Container: id, Index: int(index), Instance: sl.name, Creation: int(sl.creation)})
	p.d.outcomes[index] = outcome{kind: outcomeBooting, ref: sl.typ}
}
