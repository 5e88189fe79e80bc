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
	open     bool  // takes containers
	last     int32 // the last placement on it, an index into planner.placed, -1: none
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
		if c.Next {
			p.next = append(p.next, int32(i))
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
	s := slot{name: in.Name, typ: -1, instance: i, creation: -1, last: -1, up: in.Phase == Up}
	if t, ok := types[in.Type]; ok {
		s.typ, s.price, s.room = t, p.w.Types[t].Price, p.w.Types[t].Resources
		s.open = in.Phase == Up || in.Phase == Booting || in.Phase == Creating
	}
	if in.Phase == Creating {
		p.creating++
	} else {
		p.accepted++
	}
	p.countTrial(in, s.typ)
	return s
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
	st.known = true
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
	return s.open && p.hasSpace(s.typ, s.count, &s.room, shape)
}

// hasSpace is hasRoom for an instance of that type with so many containers and so much
// room left, if it were open.
func (p *planner) hasSpace(typ, count int32, room *Resources, shape int) bool {
	most := p.w.Limits.MaxContainersPerInstance
	return typ >= 0 && p.w.Shapes[shape].within(room) &&
		p.fits[shape*len(p.w.Types)+int(typ)] && (most <= 0 || int(count) < most)
}

// place puts a container of that shape on a slot.
func (p *planner) place(s int32, shape int) {
	sl := &p.slots[s]
	sl.room.take(&p.w.Shapes[shape].Resources)
	sl.count++
	if sl.last < 0 {
		p.used = append(p.used, s)
	}
	sl.last = int32(len(p.placed))
	p.placed = append(p.placed, placement{slot: s, count: sl.count, room: sl.room})
}
