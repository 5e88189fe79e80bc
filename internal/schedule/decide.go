package schedule

import (
	"cmp"
	"slices"
)

// planner is one decision in the making.
type planner struct {
	w *World
	d *Decision

	slots  []slot  // first those of World.Instances in standing order, then those to be created
	slotOf []int32 // by index into World.Instances
	byName map[string]int32
	placed []placement // every placement so far
	used   []int32     // the slots that something was placed on
	chosen []choice    // the containers that were placed, in order
	shapes []shapeState
	fits   []bool // of each shape in use × instance type: fits, at a price that is allowed

	byPrice   []int32 // indexes of World.Types, cheapest first
	held      []held  // by index into World.Types
	trials    []int32 // instances that will tell whether each holdoff still holds
	accepted  int     // instances alive
	creating  int     // instances asked for, those of this decision included
	spare     int     // instances that min_idle must not take from what waits
	going     int     // instances that will be gone without anything being done
	free      int     // of going and of those shut down now, less what is spoken for
	idle      []int32 // slots that may be shut down, the next one first
	idleKnown bool
	futures   []future
	next      []int32 // indexes of the containers that were sent ahead
	emptying  int32   // slot that takes nothing more until it is empty, -1: none
	emptyFor  int32   // whom that is for, by index into World.Containers
}

// entry is a container's place in the order.
type entry struct {
	priority int
	order    int64
	index    int32
	own      int32 // slot that boots and that it is assigned to, -1: none
}

// choice is a container and the slot that it was placed on.
type choice struct{ index, slot int32 }

// Decide says which container runs where, and what is bought and let go for it. It is
// a pure function of w, which it does not change.
func Decide(w *World) Decision {
	var d Decision
	d.begin(w)
	p := &planner{w: w, d: &d, emptying: -1}
	p.seeTypes()
	p.seeInstances()
	order := p.keepPlaces(p.order())
	for _, e := range order {
		p.handle(e)
	}
	p.keepWarm()
	p.lookAhead(order)
	p.report()
	d.byPrice, d.held, d.fits = p.byPrice, p.held, p.fits
	return d
}

// order returns the containers that wait, by priority and time of submission, and
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
		e := entry{priority: c.Priority, order: c.Order, index: int32(i), own: -1}
		if c.Binding == Assigned {
			if s := p.slotNamed(c.Instance); s >= 0 && p.slots[s].open && !p.slots[s].up {
				e.own = s
			}
		}
		order = append(order, e)
	}
	slices.SortFunc(order, func(a, b entry) int {
		if a.priority != b.priority {
			return cmp.Compare(b.priority, a.priority)
		}
		if a.order != b.order {
			return cmp.Compare(a.order, b.order)
		}
		return cmp.Compare(cs[a.index].ID, cs[b.index].ID)
	})
	few := min(len(order), 4*len(p.slots))
	p.placed, p.chosen = make([]placement, 0, few), make([]choice, 0, few)
	return order
}

// keepPlaces has the containers that are assigned to an instance which still boots
// keep that place, whoever comes with a higher priority, and returns the others. An
// assigned one to which room on an instance that is up falls in its turn is among the
// others: it goes there, and its place is free for those who come before it.
func (p *planner) keepPlaces(order []entry) []entry {
	last := len(order) - 1
	for last >= 0 && order[last].own < 0 {
		last--
	}
	if last < 0 {
		return order
	}
	moves := p.moves(order[:last+1])
	rest := order[:0]
	for i, e := range order {
		shape := p.w.Containers[e.index].Shape
		if e.own < 0 || moves[i] {
			rest = append(rest, e)
			continue
		}
		if p.shape(shape); !p.hasRoom(&p.slots[e.own], shape) {
			rest = append(rest, e)
			continue
		}
		p.choose(e.index, e.own)
	}
	return rest
}

// moves returns which of the containers, served in this order, find room on an
// instance that is up.
func (p *planner) moves(order []entry) []bool {
	up := planner{w: p.w, byPrice: p.byPrice, fits: p.fits,
		slots: slices.Clone(p.slots), shapes: make([]shapeState, len(p.shapes))}
	for i := range up.slots {
		up.slots[i].open = up.slots[i].open && up.slots[i].up
	}
	moves := make([]bool, len(order))
	if !slices.ContainsFunc(order, func(e entry) bool {
		shape := p.w.Containers[e.index].Shape
		return e.own >= 0 && up.search(shape, up.shape(shape)) >= 0
	}) {
		return moves
	}
	for i, e := range order {
		shape := p.w.Containers[e.index].Shape
		if s := up.search(shape, up.shape(shape)); s >= 0 {
			up.place(s, shape)
			moves[i] = true
		}
	}
	return moves
}

// handle finds a place for one container, or says why there is none.
func (p *planner) handle(e entry) {
	c := &p.w.Containers[e.index]
	st := p.shape(c.Shape)
	s := p.search(c.Shape, st)
	if s < 0 && st.blocked == 0 {
		s, st.blocked = p.buy(c, st)
	}
	if s < 0 {
		p.queue(e.index, c, st)
		return
	}
	p.choose(e.index, s)
}

// queue says why a container without a place waits. What rules out buying rules it
// out for all that follow of its shape, but they may share a future instance.
func (p *planner) queue(index int32, c *Container, st *shapeState) {
	p.d.queued++
	r := st.blocked
	if p.d.reasons[r].atLimit() {
		before := p.emptying
		if r = p.makeRoom(c, st, r); p.emptying != before {
			p.emptyFor = index
		}
	}
	if p.d.reasons[r].stop != stopUnfit {
		p.spare = 1
	}
	p.d.outcomes[index] = outcome{kind: outcomeQueued, position: p.d.queued, ref: r}
}

// choose places a container on a slot, and notes it.
func (p *planner) choose(index, s int32) {
	p.place(s, p.w.Containers[index].Shape)
	p.chosen = append(p.chosen, choice{index: index, slot: s})
	switch sl := &p.slots[s]; {
	case sl.up:
		p.d.outcomes[index] = outcome{kind: outcomeStarting, ref: sl.instance}
	case sl.instance >= 0 && p.w.Instances[sl.instance].Phase == Booting:
		p.d.outcomes[index] = outcome{kind: outcomeBooting, ref: sl.typ}
	default:
		p.d.outcomes[index] = outcome{kind: outcomeCreating, ref: sl.typ}
	}
}

// report writes down where containers were placed.
func (p *planner) report() {
	up := 0
	for _, c := range p.chosen {
		if p.slots[c.slot].up {
			up++
		}
	}
	if up > 0 {
		p.d.Assign = make([]Assignment, 0, up)
	}
	if booting := len(p.chosen) - up; booting > 0 {
		p.d.Reserve = make([]Reservation, 0, booting)
	}
	for _, c := range p.chosen {
		sl, id := &p.slots[c.slot], p.w.Containers[c.index].ID
		if sl.up {
			p.d.Assign = append(p.d.Assign, Assignment{Container: id, Index: int(c.index), Instance: sl.name})
		} else {
			p.d.Reserve = append(p.d.Reserve,
				Reservation{Container: id, Index: int(c.index), Instance: sl.name, Creation: int(sl.creation)})
		}
	}
}
