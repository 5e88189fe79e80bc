package workflows

import (
	"slices"

	"drover/internal/api"
	"drover/internal/schedule"
)

// The functions of this file keep the fleet's lists, and the indexes into them, true.

func (f *fleet) add(c *member) {
	c.place = len(f.containers)
	f.containers = append(f.containers, c)
	f.byID[c.ID] = c
}

func (f *fleet) requeue(c *member) {
	f.unbind(c)
	c.Binding, c.Instance = schedule.Queued, ""
}

// takeBack queues an attempt again that an instance was given and did not start.
func (f *fleet) takeBack(m *machine, id string, attempt int) {
	c := f.byID[id]
	switch {
	case c == nil || c.Instance != m.Name || c.Binding != schedule.Running || c.attempt != attempt:
	case c.cancel:
		f.totals.Cancelled++
		f.remove(c)
		f.tell(api.WorkflowOf(c.ID, c.workflow), api.Outcome{Cancelled: true})
	default:
		c.used--
		f.requeue(c)
	}
}

func (f *fleet) unbind(c *member) {
	if m := f.byName[c.Instance]; m != nil && c.Binding == schedule.Running {
		m.containers--
	}
}

func (f *fleet) remove(c *member) {
	f.unbind(c)
	delete(f.byID, c.ID)
	delete(f.stories, c.ID)
	last := len(f.containers) - 1
	moved := f.containers[last]
	f.containers[c.place], moved.place = moved, c.place
	f.containers[last] = nil
	f.containers = f.containers[:last]
}

func (f *fleet) addInstance(name, instanceType string) *machine {
	m := &machine{CarriedInstance: api.CarriedInstance{Name: name, Type: instanceType, State: api.StateBooting, Behavior: api.Run}}
	f.instances = append(f.instances, m)
	f.byName[name] = m
	return m
}

// removeInstance forgets an instance that is gone. What was sent to it and never
// arrived was not started there.
func (f *fleet) removeInstance(m *machine) {
	for _, c := range f.on(m) {
		f.takeBack(m, c.ID, c.attempt)
		if c.Binding == schedule.Assigned {
			f.requeue(c)
		}
	}
	delete(f.byName, m.Name)
	f.instances = slices.DeleteFunc(f.instances, func(o *machine) bool { return o == m })
}

// on returns the containers that are bound to an instance.
func (f *fleet) on(m *machine) (all []*member) {
	for _, c := range f.containers {
		if c.Instance == m.Name {
			all = append(all, c)
		}
	}
	return all
}

// tells takes in whose outcomes an instance sends after a report. It sends the next
// report when they have arrived.
func (m *machine) tells(r api.Report) {
	if r.Incarnation > m.Incarnation || r.Seq > m.ReportSeq {
		m.Telling = nil
	}
	for _, e := range r.Ended {
		if e.How == api.Exited && !slices.Contains(m.Telling, e.Container) {
			m.Telling = append(m.Telling, e.Container)
		}
	}
}

// isTold reports whether the outcome of a container that has ended may be on its way.
func (f *fleet) isTold(id string) bool {
	return slices.ContainsFunc(f.instances, func(m *machine) bool { return slices.Contains(m.Telling, id) })
}

// accepted counts the instances that the cloud has.
func (f *fleet) accepted() int {
	n := 0
	for _, m := range f.instances {
		if m.Accepted {
			n++
		}
	}
	return n
}

// shape returns the index of a shape in the table of shapes.
func (f *fleet) shape(s schedule.Shape) int {
	at := slices.Index(f.shapes, s)
	if at < 0 {
		at = len(f.shapes)
		f.shapes = append(f.shapes, s)
	}
	return at
}
