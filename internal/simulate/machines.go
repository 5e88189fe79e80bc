package simulate

import (
	"fmt"
	"slices"
	"time"

	"drover/internal/schedule"
)

// over is the phase of an instance that is gone, or was never created. No world has it.
const over = schedule.Phase(255)

// machine is an instance.
type machine struct {
	name   string
	serial int64
	typ    int // index into simulation.types
	phase  schedule.Phase
	room   schedule.Resources // that no running container has
	jobs   []*job             // that run on it
	at     int                // index into simulation.machines

	asked     time.Duration // when its creation was
	idleSince time.Duration
	kept      bool // stays when its idle timeout has passed
	leaving   bool // is shutting down

	use   use           // what is paid for now
	since time.Duration // when that began
}

func (m *machine) put(j *job, shape *schedule.Shape) {
	m.jobs = append(m.jobs, j)
	change(&m.room, shape, -1)
}

func (m *machine) take(j *job, shape *schedule.Shape) {
	m.jobs = slices.DeleteFunc(m.jobs, func(o *job) bool { return o == j })
	change(&m.room, shape, 1)
}

func change(room *schedule.Resources, shape *schedule.Shape, sign int64) {
	room.MilliCPU += sign * shape.MilliCPU
	room.Memory += sign * shape.Memory
	room.Scratch += sign * shape.Scratch
	room.GPUs += sign * shape.GPUs
}

// ask asks the cloud for an instance.
func (s *simulation) ask(typeName string) *machine {
	s.names++
	m := &machine{
		name: fmt.Sprintf("%s-%06d", s.spec.Name, s.names), serial: s.names, phase: schedule.Creating, at: len(s.machines), asked: s.now,
		typ: slices.IndexFunc(s.types, func(t schedule.InstanceType) bool { return t.Name == typeName }),
	}
	m.room = s.types[m.typ].Resources
	s.machines = append(s.machines, m)
	s.byName[m.name] = m
	s.agenda.add(event{at: s.now + s.options.Create, kind: answered, m: m})
	return m
}

// answer is the cloud's answer to a create request.
func (s *simulation) answer(m *machine) {
	t, now := s.types[m.typ], s.time(s.now)
	most, scarce := s.options.Capacity[t.Name]
	if ok, next := s.create.take(s.now); !ok {
		s.learnt.RateLimited(s.time(m.asked), s.time(next), now)
	} else if s.options.Quota > 0 && s.alive >= s.options.Quota {
		s.learnt.QuotaRefused(s.alive, now)
	} else if scarce && s.perType[m.typ] >= most {
		s.learnt.CapacityRefused(schedule.ScopeType, t.Name, "the cloud has no more of them", now)
	} else {
		s.accept(m)
		return
	}
	s.ledger.createRefused++
	s.remove(m)
}

// accept creates an instance. It is paid for from now on.
func (s *simulation) accept(m *machine) {
	s.alive++
	s.perType[m.typ]++
	s.learnt.Created(s.types[m.typ], s.alive, s.time(s.now))
	s.learnt.Passed(s.time(m.asked), s.time(s.now))
	m.phase = schedule.Booting
	s.settle(m)
	boot := s.options.Boot
	wait := boot.Min
	if boot.Max > boot.Min {
		wait += time.Duration(s.random.Int64N(int64(boot.Max-boot.Min) + 1))
	}
	s.agenda.add(event{at: s.now + wait, kind: booted, m: m})
	if rate := s.options.SpotInterruptions; rate > 0 && s.types[m.typ].Preemptible {
		lives := time.Duration(s.random.ExpFloat64() / rate * float64(time.Hour))
		s.agenda.add(event{at: s.now + lives, kind: interrupted, m: m})
	}
}

// up has an instance take containers from now on.
func (s *simulation) up(m *machine) {
	m.phase = schedule.Up
	s.emptied(m)
	if age := s.spec.Timeouts.MaxAge.D(); age > 0 {
		s.agenda.add(event{at: max(m.asked+age, s.now), kind: aged, m: m})
	}
}

// emptied folds in that a job has ended on an instance, or that it is new.
func (s *simulation) emptied(m *machine) {
	s.settle(m)
	if len(m.jobs) > 0 {
		return
	}
	if m.phase == schedule.Leaving {
		s.leave(m)
		return
	}
	m.idleSince = s.now
	s.agenda.add(event{at: s.now + s.spec.Timeouts.Idle.D(), kind: idled, m: m})
}

// idled has an instance leave if it has been idle for the idle timeout, and is not kept.
func (s *simulation) idled(m *machine) {
	if m.phase == schedule.Up && len(m.jobs) == 0 && !m.kept && s.now-m.idleSince >= s.spec.Timeouts.Idle.D() {
		s.leave(m)
	}
}

// drain has an instance take nothing more, and leave when it is empty.
func (s *simulation) drain(m *machine) {
	m.phase = schedule.Leaving
	if len(m.jobs) == 0 {
		s.leave(m)
	}
}

// leave shuts an empty instance down.
func (s *simulation) leave(m *machine) {
	if m.leaving {
		return
	}
	m.phase, m.leaving = schedule.Leaving, true
	s.settle(m)
	s.agenda.add(event{at: s.now + s.options.Shutdown, kind: gone, m: m})
}

// interrupt takes an instance back, with what runs on it.
func (s *simulation) interrupt(m *machine) {
	s.ledger.interruptions++
	for _, j := range slices.Clone(m.jobs) {
		s.lost(j)
	}
	s.remove(m)
}

// remove forgets an instance that is gone or was not created. What waited for it waits
// for another one.
func (s *simulation) remove(m *machine) {
	for _, j := range slices.Clone(s.assigned.jobs) {
		if j.machine == m {
			s.queueAgain(j)
		}
	}
	if m.phase != schedule.Creating {
		s.alive--
		s.perType[m.typ]--
	}
	m.phase = over
	s.settle(m)
	delete(s.byName, m.name)
	last := len(s.machines) - 1
	s.machines[m.at] = s.machines[last]
	s.machines[m.at].at = m.at
	s.machines = s.machines[:last]
}

// bucket is the cloud's limit of requests: it holds a minute's worth.
type bucket struct {
	perMinute float64 // 0: no limit
	tokens    float64
	filled    time.Duration
}

// take reports whether a request may pass, and if not, when the next one may.
func (b *bucket) take(now time.Duration) (ok bool, next time.Duration) {
	if b.perMinute <= 0 {
		return true, 0
	}
	b.tokens = min(b.perMinute, b.tokens+(now-b.filled).Minutes()*b.perMinute)
	b.filled = now
	if b.tokens >= 1-1e-9 {
		b.tokens--
		return true, 0
	}
	return false, now + time.Duration((1-b.tokens)/b.perMinute*float64(time.Minute)) + 1
}
