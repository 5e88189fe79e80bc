package simulate

import (
	"cmp"
	"slices"
	"time"

	"drover/internal/schedule"
)

// never is the time of what has not happened.
const never = time.Duration(-1)

// job is a container of the workload on its way.
type job struct {
	*Container
	shape   int
	order   int64 // of submission
	attempt int   // made, the present one included
	binding schedule.Binding
	// machine is where it runs or what it waits for, as binding says.
	machine *machine
	at      int           // its index in the list of those that run or are assigned
	batch   int64         // the last decision that assigned it
	since   time.Duration // when the present attempt started
	started time.Duration // when its first attempt did
	ending  ending
}

// ending is what became of a container.
type ending uint8

const (
	unfinished ending = iota
	finished
	failed  // its attempts are used up
	refused // no instance type fits
)

// before reports whether a is served before b.
func before(a, b *job) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.order, b.order))
}

// queue is the jobs of one shape that wait, in the order in which they are served.
type queue struct {
	jobs []*job
	// last is the last one that the last decision was shown, if it was not shown all.
	last *job
}

func (q *queue) add(j *job) {
	if n := len(q.jobs); n == 0 || before(q.jobs[n-1], j) < 0 {
		q.jobs = append(q.jobs, j)
		return
	}
	at, _ := slices.BinarySearchFunc(q.jobs, j, before)
	q.jobs = slices.Insert(q.jobs, at, j)
}

// remove takes out a job. It is cheap for the first ones.
func (q *queue) remove(j *job) {
	at, _ := slices.BinarySearchFunc(q.jobs, j, before)
	copy(q.jobs[1:at+1], q.jobs[:at])
	q.jobs = q.jobs[1:]
}

// list is jobs in no order. A job is in one list at most.
type list struct{ jobs []*job }

func (l *list) add(j *job) {
	j.at = len(l.jobs)
	l.jobs = append(l.jobs, j)
}

func (l *list) remove(j *job) {
	last := len(l.jobs) - 1
	l.jobs[j.at] = l.jobs[last]
	l.jobs[j.at].at = j.at
	l.jobs = l.jobs[:last]
}

// submit queues a container, unless no instance type fits.
func (s *simulation) submit(j *job) {
	s.progress = s.now
	shape := schedule.ShapeOf(j.VCPUs, j.Memory, j.Scratch, j.GPUs, j.Preemptible)
	at, known := s.shapeOf[shape]
	if !known {
		at = len(s.shapes)
		s.shapeOf[shape] = at
		s.shapes = append(s.shapes, shape)
		s.queues = append(s.queues, queue{})
	}
	j.shape = at
	if schedule.Check(shape, s.types) != nil {
		j.ending = refused
		if j.Priority >= 0 {
			s.left--
		}
		return
	}
	if j.Priority < 0 {
		return // on hold: decisions do nothing about it
	}
	q := &s.queues[at]
	s.news = s.news || q.last == nil || before(q.last, j) > 0
	q.add(j)
	s.ledger.waiting++
}

// queueAgain puts a job that was assigned or ran into the queue, in its old place.
func (s *simulation) queueAgain(j *job) {
	s.unbind(j)
	s.queues[j.shape].add(j)
}

// assign notes that a job waits for an instance that boots.
func (s *simulation) assign(j *job, m *machine) {
	if j.binding == schedule.Queued {
		s.queues[j.shape].remove(j)
		s.assigned.add(j)
	}
	j.binding, j.machine, j.batch = schedule.Assigned, m, s.batch
}

// start has a job run on an instance.
func (s *simulation) start(j *job, m *machine) {
	if j.binding == schedule.Queued {
		s.queues[j.shape].remove(j)
	}
	s.unbind(j)
	j.binding, j.machine, j.since = schedule.Running, m, s.now
	j.attempt++
	if j.started == never {
		j.started = s.now
	}
	s.progress = s.now
	s.running.add(j)
	s.ledger.waiting--
	s.ledger.used += s.shapes[j.shape].MilliCPU
	m.put(j, &s.shapes[j.shape])
	s.settle(m)
	s.agenda.add(event{at: s.now + j.RunTime, kind: ended, j: j, attempt: j.attempt})
}

// unbind takes a job off the instance that it runs on or waits for.
func (s *simulation) unbind(j *job) {
	m := j.machine
	switch j.binding {
	case schedule.Assigned:
		s.assigned.remove(j)
	case schedule.Running:
		s.running.remove(j)
		s.ledger.waiting++
		s.ledger.ran(s.now-j.since, s.shapes[j.shape].MilliCPU)
		m.take(j, &s.shapes[j.shape])
	}
	j.binding, j.machine = schedule.Queued, nil
}

// ended folds in that a job has run for its time.
func (s *simulation) ended(j *job) {
	m := j.machine
	s.unbind(j)
	s.over(j, finished)
	s.emptied(m)
}

// over ends a job that is in no list and no queue.
func (s *simulation) over(j *job, how ending) {
	j.ending = how
	s.left--
	s.ledger.waiting--
	s.progress = s.now
	s.ledger.last = s.now
}

// lost folds in that the machine has failed a job.
func (s *simulation) lost(j *job) {
	s.ledger.lose(s.now-j.since, s.shapes[j.shape].MilliCPU)
	if j.attempt >= j.Attempts {
		s.unbind(j)
		s.over(j, failed)
		return
	}
	s.queueAgain(j)
}
