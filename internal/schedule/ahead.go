package schedule

import (
	"cmp"
	"slices"
	"time"
)

// Brief is how long containers run, at most, that make their instance be sent the next one
// ahead; and how long that one waits there, at most, before it is called back.
//
// What it gains is the time between two containers, which matters to short ones only; and
// while it waits for one that turns out to be long, others may overtake it.
const Brief = 5 * time.Second

// seat is an instance that can be sent a container ahead: it is full of short ones.
type seat struct {
	slot  int32
	heirs []choice // of whose room; none: it has been sent one
}

// lookAhead sends containers that wait ahead to instances where they can begin as soon as
// another one ends, and calls back those that should no longer begin where they are.
func (p *planner) lookAhead(order []entry) {
	brief := slices.ContainsFunc(p.w.Instances, func(i Instance) bool { return i.Brief })
	if !brief && len(p.next) == 0 {
		return
	}
	waiting := slices.DeleteFunc(order, func(e entry) bool { return p.d.outcomes[e.index].kind != outcomeQueued })
	p.callBack(waiting)
	seats, hopeless := p.seats(), make([]bool, len(p.w.Shapes))
	later := false // than whom an instance is emptied for
	for _, e := range waiting {
		if len(seats) == 0 {
			return
		}
		shape, inTime := p.w.Containers[e.index].Shape, !later
		later = later || e.index == p.emptyFor
		if hopeless[shape] {
			continue
		}
		at := slices.IndexFunc(seats, func(s seat) bool { return (s.slot != p.emptying || inTime) && p.canSit(shape, s) })
		if at < 0 {
			hopeless[shape] = true
			continue
		}
		p.sendAhead(e, seats[at])
		seats[at].heirs = nil
		for len(seats) > 0 && seats[0].heirs == nil {
			seats = seats[1:]
		}
	}
}

// canSit reports whether a container of the shape can be sent ahead to the seat.
func (p *planner) canSit(shape int, s seat) bool {
	return p.fitsOf(shape)[p.slots[s.slot].typ] &&
		slices.ContainsFunc(s.heirs, func(h choice) bool { return p.leavesRoom(h, shape) })
}

// leavesRoom reports whether what a container takes is enough for one of the shape.
func (p *planner) leavesRoom(c choice, shape int) bool {
	return p.w.Shapes[shape].within(&p.w.Shapes[p.w.Containers[c.index].Shape].Resources)
}

// sendAhead sends a container ahead.
func (p *planner) sendAhead(e entry, s seat) {
	c := &p.w.Containers[e.index]
	ahead := Succession{Container: c.ID, Index: int(e.index), Instance: p.slots[s.slot].name}
	for _, h := range s.heirs {
		if p.leavesRoom(h, c.Shape) {
			ahead.After = append(ahead.After, int(h.index))
		}
	}
	p.d.Ahead = append(p.d.Ahead, ahead)
	p.wakeAt(p.w.Now.Add(Brief))
}

// seats returns the instances that can be sent a container ahead, in standing order.
func (p *planner) seats() []seat {
	heirs := make([]choice, 0, len(p.w.Instances))
	add := func(s, index int32) {
		if s >= 0 && p.takesNext(s) && p.w.Instances[p.slots[s].instance].Brief {
			heirs = append(heirs, choice{index: index, slot: s})
		}
	}
	for i := range p.w.Containers {
		if c := &p.w.Containers[i]; c.Binding == Running && !c.Next && p.w.Now.Sub(c.Since) < Brief {
			add(p.slotNamed(c.Instance), int32(i))
		}
	}
	for _, c := range p.chosen {
		add(c.slot, c.index)
	}
	slices.SortFunc(heirs, func(a, b choice) int {
		return cmp.Or(cmp.Compare(a.slot, b.slot), cmp.Compare(p.w.Containers[a.index].ID, p.w.Containers[b.index].ID))
	})
	taken := make([]bool, len(p.slots))
	for _, i := range p.next {
		if s := p.slotNamed(p.w.Containers[i].Instance); s >= 0 {
			taken[s] = true
		}
	}
	var seats []seat
	for len(heirs) > 0 {
		n := 1
		for n < len(heirs) && heirs[n].slot == heirs[0].slot {
			n++
		}
		if !taken[heirs[0].slot] {
			seats = append(seats, seat{heirs[0].slot, heirs[:n]})
		}
		heirs = heirs[n:]
	}
	return seats
}

// takesNext reports whether a container may begin on the slot in the place of another: one
// that is to become empty is so for the first that waits.
func (p *planner) takesNext(s int32) bool {
	return p.slots[s].up && (p.slots[s].open || s == p.emptying)
}

// callBack calls back what was sent ahead and has waited for too long, would find room now,
// is on hold, or is on an instance that takes nothing new; and, the last first, those in
// whose place one of a higher priority could be.
func (p *planner) callBack(waiting []entry) {
	cs := p.w.Containers
	slices.SortFunc(p.next, func(a, b int32) int {
		return cmp.Or(cmp.Compare(cs[a].Priority, cs[b].Priority), cmp.Compare(cs[b].Order, cs[a].Order), cmp.Compare(cs[b].ID, cs[a].ID))
	})
	for _, i := range p.next {
		c := &cs[i]
		s := p.slotNamed(c.Instance)
		stays := c.Priority >= 0 && s >= 0 && p.takesNext(s) && p.w.Now.Sub(c.Since) < Brief
		if free := p.search(c.Shape, p.shape(c.Shape)); stays && free >= 0 && p.slots[free].up {
			p.place(free, c.Shape) // for the next decision
			stays = false
		}
		if stays && len(waiting) > 0 {
			first := &cs[waiting[0].index]
			fits := p.fitsOf(first.Shape)[p.slots[s].typ] && p.w.Shapes[first.Shape].within(&p.w.Shapes[c.Shape].Resources)
			if first.Priority > c.Priority && fits {
				waiting, stays = waiting[1:], false
			}
		}
		if !stays {
			p.d.CallBack = append(p.d.CallBack, c.ID)
			continue
		}
		p.wakeAt(c.Since.Add(Brief))
	}
}
