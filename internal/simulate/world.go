package simulate

import (
	"cmp"
	"slices"

	"drover/internal/schedule"
)

// show makes the world of this moment. Where that can't change the decision, it leaves
// out most of a long queue, and reports that it did.
//
// A decision goes through the queue in order. Of one shape it can find room for so many
// containers, on the instances that are there, that are created, and that will be
// gone soon. When more than that are shown, one of them gets nothing, and then those
// after it get nothing either: room only shrinks in a decision, unless an instance is
// created for a container of another shape. Therefore those are shown, too, that come
// next after such a container.
func (s *simulation) show(everything bool) (truncated bool) {
	w := &s.world
	w.Now, w.Limits, w.Types, w.Shapes, w.Learnt = s.time(s.now), s.limits, s.types, s.shapes, s.learnt
	w.Instances, w.Containers, s.fed = w.Instances[:0], w.Containers[:0], s.fed[:0]
	s.sortMachines()
	for _, m := range s.machines {
		w.Instances = append(w.Instances, schedule.Instance{
			Name: m.name, Type: s.types[m.typ].Name, Phase: m.phase, IdleSince: s.time(m.idleSince),
		})
	}
	for _, j := range s.running.jobs {
		s.feed(j)
	}
	for _, j := range s.assigned.jobs {
		s.feed(j)
	}
	for shape := range s.queues {
		q := &s.queues[shape]
		q.last = nil
		if everything || len(q.jobs) <= shortQueue || !s.showSome(q, shape) {
			for _, j := range q.jobs {
				s.feed(j)
			}
			continue
		}
		truncated = true
	}
	return truncated
}

// showSome shows those of a queue that a decision may have something for. If that would
// be all, it shows none, and returns false.
func (s *simulation) showSome(q *queue, shape int) bool {
	placeable, largest := s.placeable(shape)
	if placeable+1 >= len(q.jobs) {
		return false
	}
	q.last = q.jobs[placeable]
	until := placeable + 1
	for _, j := range q.jobs[:until] {
		s.feed(j)
	}
	slices.SortFunc(s.creators, before)
	for _, c := range s.creators {
		if c.shape == shape {
			continue // room for those that are shown is counted
		}
		from, _ := slices.BinarySearchFunc(q.jobs, c, before)
		to := min(from+len(s.creators)*largest+1, len(q.jobs))
		for _, j := range q.jobs[min(max(from, until), to):to] {
			s.feed(j)
		}
		until = max(until, to)
	}
	return true
}

// sortMachines puts the instances into about the order in which a decision looks at
// them, in which they are but for what has changed. It saves the decision the work.
func (s *simulation) sortMachines() {
	slices.SortFunc(s.machines, func(a, b *machine) int {
		if up := a.phase == schedule.Up; up != (b.phase == schedule.Up) {
			if up {
				return -1
			}
			return 1
		}
		if len(a.jobs) != len(b.jobs) {
			return cmp.Compare(len(b.jobs), len(a.jobs))
		}
		if a.typ != b.typ {
			return cmp.Compare(s.types[a.typ].Price, s.types[b.typ].Price)
		}
		return cmp.Or(cmp.Compare(a.room.GPUs, b.room.GPUs), cmp.Compare(a.room.MilliCPU, b.room.MilliCPU),
			cmp.Compare(a.room.Memory, b.room.Memory), cmp.Compare(a.serial, b.serial))
	})
	for i, m := range s.machines {
		m.at = i
	}
}

// shortQueue is how many containers of a shape are shown without much thought.
const shortQueue = 16

func (s *simulation) feed(j *job) {
	c := schedule.Container{ID: j.ID, Shape: j.shape, Priority: j.Priority, Order: j.order, Binding: j.binding}
	if j.machine != nil {
		c.Instance = j.machine.name
	}
	s.world.Containers = append(s.world.Containers, c)
	s.fed = append(s.fed, j)
}

// placeable returns a number of containers of a shape beyond which a decision has
// nothing for any more, and how many there is room for on one instance.
func (s *simulation) placeable(shape int) (n, largest int) {
	sh, perInstance := &s.shapes[shape], s.limits.MaxContainersPerInstance
	fits := make([]bool, len(s.types))
	for i := range s.types {
		if fits[i] = schedule.Fits(*sh, s.types[i]); fits[i] {
			largest = max(largest, holds(&s.types[i].Resources, sh, perInstance))
		}
	}
	creations := max(min(s.limits.CreateConcurrency, s.limits.MaxInstances-len(s.machines)), 0)
	coming := creations + 1 // 1: one may be emptied for it
	for _, m := range s.machines {
		if len(m.jobs) == 0 {
			coming++ // it is going, or may be shut down to make room
		}
		if m.phase != schedule.Leaving && fits[m.typ] && m.room.MilliCPU >= sh.MilliCPU && (perInstance <= 0 || len(m.jobs) < perInstance) {
			n += holds(&m.room, sh, max(perInstance-len(m.jobs), 0))
		}
	}
	return n + coming*largest, largest
}
