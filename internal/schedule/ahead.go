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
	heirs []int32 // of whose room, by index into World.Containers
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
	for _, e := range waiting {
		shape := p.w.Containers[e.index].Shape
		if len(seats) == 0 {
			return
		}
		if hopeless[shape] {
			continue
		}
		at := slices.IndexFunc(seats, func(s seat) bool {
			return (s.slot != p.emptying || e.index == p.emptyFor) && slices.ContainsFunc(s.heirs, p.yieldsTo(s, shape))
		})
		if at < 0 {
			hopeless[shape] = e.index != p.emptyFor
			continue
		}
		s := seats[at]
		seats = slices.Delete(seats, at, at+1)
		ahead := Succession{Container: p.w.Containers[e.index].ID, Index: int(e.index), Instance: p.slots[s.slot].name}
		for _, i := range s.heirs {
			if p.yieldsTo(s, shape)(i) {
				ahead.After = append(ahead.After, int(i))
			}
		}
		p.d.Ahead = append(p.d.Ahead, ahead)
		p.wakeAt(p.w.Now.Add(Brief))
	}
}

// yieldsTo returns what reports whether the room of a container in the seat is enough for
// one of the shape, which may run there.
func (p *planner) yieldsTo(s seat, shape int) func(index int32) bool {
	need, may := &p.w.Shapes[shape], p.fitsOf(shape)[p.slots[s.slot].typ]
	return func(index int32) bool {
		return may && need.within(&p.w.Shapes[p.w.Containers[index].Shape].Resources)
	}
}

// seats returns the instances that can be sent a container ahead, in standing order.
func (p *planner) seats() []seat {
	seats := make([]seat, len(p.slots))
	add := func(s, index int32) {
		if s >= 0 && p.takesNext(s) && p.w.Instances[p.slots[s].instance].Brief {
			seats[s].heirs = append(seats[s].heirs, index)
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
	for _, i := range p.next {
		if s := p.slotNamed(p.w.Containers[i].Instance); s >= 0 {
			seats[s].heirs = nil
		}
	}
	for s := range seats {
		seats[s].slot = int32(s)
		slices.SortFunc(seats[s].heirs, func(a, b int32) int { return cmp.Compare(p.w.Containers[a].ID, p.w.Containers[b].ID) })
	}
	return slices.DeleteFunc(seats, func(s seat) bool { return len(s.heirs) == 0 })
}

// takesNext reports whether a container may begin on the slot in the place of another: one
// that is to become empty is so for the first that waits.
func (p *planner) takesNext(s int32) bool {
	return p.slots[s].up && p.slots[s].instance >= 0 && (p.slots[s].open || s == p.emptying)
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
		if free := p.search(c.Shape, p.shape(c.Shape)); stays && free >= 0 {
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
