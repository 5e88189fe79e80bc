package schedule

import "cmp"

// shapeState is the state of the search for room for one shape. Room only shrinks
// while a decision is made, so a slot without room for a shape is never looked at
// again for it.
type shapeState struct {
	known    bool
	standing int32   // slots before have no room
	seen     int     // placements before are taken into account
	heap     []int32 // placements on slots that had room afterwards, the first in rank at the top
	blocked  int32   // reason why nothing is bought for it, 0: not known yet
	future   int     // futures before have no room
	noRoom   int32   // reason when there is no future with room either, 0: not known yet
}

// placement is what a slot was like after a container was placed on it.
type placement struct {
	slot  int32
	count int32
	room  Resources
}

// rank orders the slots that have room: which is filled first. Slots to be created
// follow those that exist, in the order of their creation.
func rank(a, b *slot) int { return rankAt(a, a.count, &a.room, b, b.count, &b.room) }

// rankAt is rank for slots with that many containers and that much room.
func rankAt(a *slot, aCount int32, aRoom *Resources, b *slot, bCount int32, bRoom *Resources) int {
	switch {
	case a.up != b.up:
		if a.up {
			return -1
		}
		return 1
	case aCount != bCount:
		return cmp.Compare(bCount, aCount)
	case a.price != b.price:
		return cmp.Compare(a.price, b.price)
	case *aRoom != *bRoom:
		return aRoom.compare(bRoom)
	case a.creation != b.creation:
		return cmp.Compare(a.creation, b.creation)
	default:
		return cmp.Compare(a.name, b.name)
	}
}

// search returns the slot that ranks first among those with room for the shape, or -1.
// It is the first in standing order with room or, since a placement only improves a
// slot's rank, one of those that something was placed on.
func (p *planner) search(shape int, st *shapeState) int32 {
	p.catchUp(shape, st)
	best := int32(-1)
	for len(st.heap) > 0 {
		top := st.heap[0]
		s := p.placed[top].slot
		if p.slots[s].last == top && p.hasRoom(&p.slots[s], shape) {
			best = s
			break
		}
		p.pop(st)
	}
	standing := int32(len(p.w.Instances))
	for st.standing < standing && !p.hasRoom(&p.slots[st.standing], shape) {
		st.standing++
	}
	if st.standing < standing && (best < 0 || rank(&p.slots[st.standing], &p.slots[best]) < 0) {
		return st.standing
	}
	return best
}

// catchUp adds the placements since the shape was searched for last to its heap, as far
// as they are the last on their slot and left room for it.
func (p *planner) catchUp(shape int, st *shapeState) {
	if len(p.placed)-st.seen > len(p.used) {
		for _, s := range p.used {
			if last := p.slots[s].last; int(last) >= st.seen && p.hasRoom(&p.slots[s], shape) {
				p.push(st, last)
			}
		}
		st.seen = len(p.placed)
	}
	for ; st.seen < len(p.placed); st.seen++ {
		if s := &p.slots[p.placed[st.seen].slot]; int(s.last) == st.seen && p.hasRoom(s, shape) {
			p.push(st, int32(st.seen))
		}
	}
}

// before reports whether the slot of placement a, as it was then, is filled before
// that of placement b.
func (p *planner) before(a, b int32) bool {
	x, y := &p.placed[a], &p.placed[b]
	return rankAt(&p.slots[x.slot], x.count, &x.room, &p.slots[y.slot], y.count, &y.room) < 0
}

// push adds a placement to the shape's heap. It is not container/heap, which would
// allocate for each of them.
func (p *planner) push(st *shapeState, placement int32) {
	h := append(st.heap, placement)
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !p.before(h[i], h[parent]) {
			break
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
	st.heap = h
}

// pop removes the first placement of the shape's heap.
func (p *planner) pop(st *shapeState) {
	last := len(st.heap) - 1
	h := st.heap[:last]
	if last > 0 {
		h[0] = st.heap[last]
	}
	for i := 0; ; {
		first := 2*i + 1
		if first >= last {
			break
		}
		if first+1 < last && p.before(h[first+1], h[first]) {
			first++
		}
		if !p.before(h[first], h[i]) {
			break
		}
		h[i], h[first] = h[first], h[i]
		i = first
	}
	st.heap = h
}
