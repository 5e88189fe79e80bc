package simulate

import (
	"cmp"
	"slices"

	"drover/internal/schedule"
)

// show makes the world of this moment. Of a long queue it shows no more than can make a
// difference.
//
// A decision goes through the queue in order. Of one shape it can find room for so many
// containers, on the instances that are there, that are created, and that will be
// gone soon. When more than that are shown, one of them gets nothing, and then those
// after it get nothing either: room only shrinks in a decision, and what keeps an
// instance from being created for one keeps it from being created for any other that
// could share it.
func (s *simulation) show() {
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
		jobs := q.jobs
		if q.last = nil; len(jobs) > shortQueue && !s.options.whole {
			if most := s.placeable(shape) + 1; most < len(jobs) {
				jobs = jobs[:most]
				q.last = jobs[most-1]
			}
		}
		for _, j := range jobs {
			s.feed(j)
		}
	}
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
// nothing for any more.
func (s *simulation) placeable(shape int) int {
	sh, perInstance, largest := &s.shapes[shape], s.limits.MaxContainersPerInstance, 0
	fits := make([]bool, len(s.types))
	for i := range s.types {
		if fits[i] = schedule.Fits(*sh, s.types[i]); fits[i] {
			largest = max(largest, holds(&s.types[i].Resources, sh, perInstance))
		}
	}
	creations := max(min(s.limits.CreateConcurrency, s.limits.MaxInstances-len(s.machines)), 0)
	n, coming := 0, creations+1 // 1: one may be emptied for it
	for _, m := range s.machines {
		if len(m.jobs) == 0 {
			coming++ // it is going, or may be shut down to make room
		}
		if m.phase != schedule.Leaving && fits[m.typ] && m.room.MilliCPU >= sh.MilliCPU && (perInstance <= 0 || len(m.jobs) < perInstance) {
			n += holds(&m.room, sh, max(perInstance-len(m.jobs), 0))
		}
	}
	return n + coming*largest
}
