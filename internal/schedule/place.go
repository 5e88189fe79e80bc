package schedule

import (
	"cmp"
	"math"
	"slices"
)

// slot is an instance as the decision sees it: what is left of it, and how it ranks.
type slot struct {
	name     string // empty: to be created
	room     Resources
	price    float64
	count    int32 // containers on it, those placed by this decision included
	typ      int32 // index into World.Types, -1: not there
	instance int32 // index into World.Instances, -1: to be created
	creation int32 // index into Decision.Create, -1: exists
	up       bool
	open     bool // takes containers
	touched  bool // something was placed on it by this decision
}

// touch is a placement.
type touch struct {
	slot  int32
	first bool // on that slot
}

// shapeState is the state of the search for room for one shape. Room only shrinks
// while a decision is made, so a slot without room for a shape is never looked at
// again for it.
type shapeState struct {
	known      bool
	standing   int32   // slots before have no room
	seen       int     // touches before are taken into account
	candidates []int32 // touched slots that may have room
	best       int32   // the first of them in rank, -1: none
	blocked    int32   // reason why nothing is bought for it, 0: not known yet
	future     int     // futures before have no room
	noRoom     int32   // reason when there is no future with room either, 0: not known yet
}

// seeTypes sorts the types and finds which of them are held off.
func (p *planner) seeTypes() {
	ts := p.w.Types
	p.byPrice = make([]int32, len(ts))
	p.held = make([]held, len(ts))
	p.trials = make([]int32, len(p.d.holdoffs))
	for i := range ts {
		p.byPrice[i] = int32(i)
		p.held[i] = heldBy(p.d.holdoffs, &ts[i], p.w.Now)
	}
	slices.SortFunc(p.byPrice, func(a, b int32) int {
		return cmp.Or(cmp.Compare(ts[a].Price, ts[b].Price), cmp.Compare(ts[a].Name, ts[b].Name))
	})
	p.shapes = make([]shapeState, len(p.w.Shapes))
	p.fits = make([]bool, len(p.w.Shapes)*len(ts))
}

// seeInstances makes the slots, and counts what runs on them.
func (p *planner) seeInstances() {
	is := p.w.Instances
	types := make(map[string]int32, len(p.w.Types))
	for i := range p.w.Types {
		types[p.w.Types[i].Name] = int32(i)
	}
	p.slots = make([]slot, len(is), len(is)+16)
	p.slotOf = make([]int32, len(is))
	p.byName = make(map[string]int32, len(is))
	for i := range is {
		p.byName[is[i].Name] = int32(i)
		p.slots[i] = p.slotFor(int32(i), types)
	}
	for i := range p.w.Containers {
		c := &p.w.Containers[i]
		if c.Binding != Running {
			continue
		}
		if s, ok := p.byName[c.Instance]; ok { // still the index of the instance
			p.slots[s].room.take(&p.w.Shapes[c.Shape].Resources)
			p.slots[s].count++
		}
	}
	for i := range is {
		if is[i].Phase == Leaving && p.slots[i].count == 0 {
			p.going++
		}
	}
	slices.SortFunc(p.slots, func(a, b slot) int { return rank(&a, &b) })
	for i := range p.slots {
		p.slotOf[p.slots[i].instance] = int32(i)
	}
}

func (p *planner) slotFor(i int32, types map[string]int32) slot {
	in := &p.w.Instances[i]
	s := slot{name: in.Name, typ: -1, instance: i, creation: -1, up: in.Phase == Up}
	if t, ok := types[in.Type]; ok {
		s.typ, s.price, s.room = t, p.w.Types[t].Price, p.w.Types[t].Resources
		s.open = in.Phase == Up || in.Phase == Booting || in.Phase == Creating
	}
	switch {
	case in.Phase != Creating:
		p.accepted++
	case s.typ >= 0:
		p.tries(s.typ)
	default:
		p.creating++
	}
	return s
}

// rank orders the slots that have room: which is filled first. Slots to be created
// follow those that exist, in the order of their creation.
func rank(a, b *slot) int {
	switch {
	case a.up != b.up:
		if a.up {
			return -1
		}
		return 1
	case a.count != b.count:
		return cmp.Compare(b.count, a.count)
	case a.price != b.price:
		return cmp.Compare(a.price, b.price)
	case a.room != b.room:
		return a.room.compare(&b.room)
	case a.creation != b.creation:
		return cmp.Compare(a.creation, b.creation)
	default:
		return cmp.Compare(a.name, b.name)
	}
}

// slotNamed returns the slot of the instance with that name, or -1.
func (p *planner) slotNamed(name string) int32 {
	if i, ok := p.byName[name]; ok {
		return p.slotOf[i]
	}
	return -1
}

// shape returns the state of a shape, working out at first use which types it may run on.
func (p *planner) shape(shape int) *shapeState {
	st := &p.shapes[shape]
	if st.known {
		return st
	}
	st.known, st.best = true, -1
	s, fits := &p.w.Shapes[shape], p.fitsOf(shape)
	limit, onDemand := -1.0, -1.0 // of the price; negative: no such type has been seen
	for _, t := range p.byPrice {
		typ := &p.w.Types[t]
		if !fitsType(s, typ) {
			continue
		}
		if limit < 0 {
			limit = p.dearest(typ.Price)
		}
		if onDemand < 0 && p.w.Limits.OnDemandFallback && !typ.Preemptible {
			onDemand = p.dearest(typ.Price)
		}
		fits[t] = typ.Price <= limit || !typ.Preemptible && typ.Price <= onDemand
	}
	return st
}

// dearest returns the highest price that is allowed where the cheapest type has that
// price.
func (p *planner) dearest(cheapest float64) float64 {
	factor := p.w.Limits.MaxPriceFactor
	if factor <= 0 {
		return math.Inf(1)
	}
	return cheapest * max(factor, 1) * (1 + 1e-9) // 1e-9: 0.1 × 3 is 0.3
}

// fitsOf returns, by index into World.Types, what a shape may run on.
func (p *planner) fitsOf(shape int) []bool {
	n := len(p.w.Types)
	return p.fits[shape*n : (shape+1)*n]
}

// hasRoom reports whether a container of that shape can be placed on s now.
func (p *planner) hasRoom(s *slot, shape int) bool {
	return s.open && p.hasSpace(s, shape)
}

// hasSpace is hasRoom for a slot that may be closed.
func (p *planner) hasSpace(s *slot, shape int) bool {
	most := p.w.Limits.MaxContainersPerInstance
	return s.typ >= 0 && p.w.Shapes[shape].within(&s.room) &&
		p.fits[shape*len(p.w.Types)+int(s.typ)] && (most <= 0 || int(s.count) < most)
}

// search returns the slot that ranks first among those with room for the shape, or -1.
// It is the first in standing order with room or, since a placement only improves a
// slot's rank, one of those that something was placed on.
func (p *planner) search(shape int, st *shapeState) int32 {
	for ; st.seen < len(p.touched); st.seen++ {
		t := p.touched[st.seen]
		if !p.hasRoom(&p.slots[t.slot], shape) {
			continue
		}
		if t.first {
			st.candidates = append(st.candidates, t.slot)
		}
		if st.best < 0 || rank(&p.slots[t.slot], &p.slots[st.best]) < 0 {
			st.best = t.slot
		}
	}
	if st.best >= 0 && !p.hasRoom(&p.slots[st.best], shape) {
		p.searchCandidates(shape, st)
	}
	standing := int32(len(p.w.Instances))
	for st.standing < standing && !p.hasRoom(&p.slots[st.standing], shape) {
		st.standing++
	}
	if st.standing < standing && (st.best < 0 || rank(&p.slots[st.standing], &p.slots[st.best]) < 0) {
		return st.standing
	}
	return st.best
}

// searchCandidates finds the best candidate anew and drops those without room.
func (p *planner) searchCandidates(shape int, st *shapeState) {
	st.best = -1
	st.candidates = slices.DeleteFunc(st.candidates, func(s int32) bool { return !p.hasRoom(&p.slots[s], shape) })
	for _, s := range st.candidates {
		if st.best < 0 || rank(&p.slots[s], &p.slots[st.best]) < 0 {
			st.best = s
		}
	}
}

// place puts a container of that shape on a slot.
func (p *planner) place(s int32, shape int) {
	sl := &p.slots[s]
	sl.room.take(&p.w.Shapes[shape].Resources)
	sl.count++
	p.touched = append(p.touched, touch{slot: s, first: !sl.touched})
	sl.touched = true
}
