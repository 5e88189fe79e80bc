package workflows

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"time"

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
		if m.next == c {
			m.hasBegun(time.Time{})
		}
		if next := f.follow(m, c, time.Time{}); next != nil {
			m.callBack(next) // how this one ended, the runner may not know
		}
	}
}

func (f *fleet) remove(c *member) {
	f.unbind(c)
	delete(f.byID, c.ID)
	delete(f.stories, c.ID)
	f.had.add(c.ID, c.queuedAt)
	last := len(f.containers) - 1
	moved := f.containers[last]
	f.containers[c.place], moved.place = moved, c.place
	f.containers[last] = nil
	f.containers = f.containers[:last]
}

// name draws the name of a new instance: unique for all time, and the same when the
// workflow is replayed. A workflow task that failed may have drawn names that this one
// draws again, and may have started their instances. Those that have reported are known;
// the others are started once, whichever task says so.
func (f *fleet) name() string {
	for {
		f.names++
		sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", f.info.WorkflowExecution.ID, f.info.FirstRunID, f.names))
		name := f.spec.Name + "-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5]))
		if f.byName[name] == nil {
			return name
		}
	}
}

// addInstance adds an instance, unless the fleet knows one of that name, and returns it.
func (f *fleet) addInstance(name, instanceType string) *machine {
	if known := f.byName[name]; known != nil {
		return known
	}
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

// had are the last containers that have ended: their submissions may come again.
type had struct {
	queuedAt map[string]time.Time
	ids      []string // in the order of their ends
}

// endedAtMost is how many ended containers are remembered. A submission comes again within
// seconds, if at all.
const endedAtMost = 2000

func (h *had) add(id string, queuedAt time.Time) {
	if h.queuedAt == nil {
		h.queuedAt = map[string]time.Time{}
	}
	h.queuedAt[id] = queuedAt
	if h.ids = append(h.ids, id); len(h.ids) > endedAtMost {
		delete(h.queuedAt, h.ids[0])
		h.ids = h.ids[1:]
	}
}

// has reports whether the submission is one of a container that has ended. The same
// container, submitted anew by its user, was queued at another time.
func (h *had) has(r api.Request) bool {
	queuedAt, known := h.queuedAt[r.ID]
	return known && queuedAt.Equal(r.QueuedAt) && !r.QueuedAt.IsZero()
}
