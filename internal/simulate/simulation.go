package simulate

import (
	"context"
	"math/rand/v2"
	"time"

	"drover/internal/fleetspec"
	"drover/internal/schedule"
)

// Run simulates a workload on a fleet from the workload's beginning until every
// container has ended and every instance is gone. Errors are about the spec or the
// options, or the context's, when that ends first. A workload that can't be run to its
// end is not an error: the result says what did not run, and why.
func Run(ctx context.Context, spec fleetspec.Spec, workload Workload, options Options) (Result, error) {
	if err := fleetspec.Validate(spec); err != nil {
		return Result{}, err
	}
	if err := options.Check(spec); err != nil {
		return Result{}, err
	}
	s := newSimulation(spec, workload, options)
	for batch := 0; s.advance(); batch++ {
		if batch%1024 == 0 && ctx.Err() != nil {
			return Result{}, ctx.Err()
		}
		s.fold()
		s.decide()
		s.ledger.note(s.now, len(s.running.jobs))
	}
	return s.result(), nil
}

// patience is how long nothing may start or end, with containers waiting and nothing
// that could change it, until the simulation is over.
const patience = 24 * time.Hour

// simulation is a fleet, its instances and its cloud, at one moment.
type simulation struct {
	spec    fleetspec.Spec
	options Options
	types   []schedule.InstanceType
	limits  schedule.Limits
	epoch   time.Time // when now is 0
	dated   bool      // the epoch is the workload's
	random  *rand.Rand

	now      time.Duration
	agenda   agenda
	wake     time.Duration // when to decide again without news; 0: upon news
	progress time.Duration // when a container was last submitted, started or ended
	names    int64
	create   bucket // the cloud's limit of create requests

	jobs      []job // of all containers, in the order of submission
	submitted int   // of jobs
	left      int   // containers that have not ended, those on hold not counted
	shapes    []schedule.Shape
	shapeOf   map[schedule.Shape]int
	queues    []queue // by shape: what waits, and is not promised an instance
	assigned  list
	running   list
	machines  []*machine
	byName    map[string]*machine
	alive     int // instances that the cloud has accepted
	perType   []int
	kept      int // instances that are kept warm
	learnt    schedule.Learnt

	world    schedule.World
	fed      []*job // by index into world.Containers
	decision schedule.Decision
	batch    int64
	news     bool // something has happened that a decision may depend on
	quiet    bool // the last decision changed nothing

	ledger ledger
}

func newSimulation(spec fleetspec.Spec, workload Workload, options Options) *simulation {
	s := &simulation{
		spec: spec, options: options, types: schedule.TypesOf(spec), limits: schedule.LimitsOf(spec), epoch: workload.Start, dated: !workload.Start.IsZero(),
		random:  rand.New(rand.NewPCG(options.Seed, 0x64726f766572)),
		create:  bucket{perMinute: options.CreateRate, tokens: options.CreateRate},
		shapeOf: map[schedule.Shape]int{}, byName: map[string]*machine{},
		learnt: schedule.NewLearnt(spec.Limits.InitialQuotaEstimate),
	}
	if !s.dated {
		s.epoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC) // any time will do
	}
	s.perType = make([]int, len(s.types))
	s.jobs = make([]job, len(workload.Containers))
	for i := range workload.Containers {
		c := &workload.Containers[i]
		s.jobs[i] = job{Container: c, order: int64(i), started: never}
		if c.Priority >= 0 {
			s.left++
		}
	}
	s.ledger = newLedger(len(s.types))
	s.agenda.add(event{kind: begun})
	return s
}

// time returns the time of day of a moment.
func (s *simulation) time(at time.Duration) time.Time { return s.epoch.Add(at) }

// advance lets the time pass to the next moment at which something happens, and
// reports whether there is one.
func (s *simulation) advance() bool {
	next, ok := s.agenda.next()
	if s.submitted < len(s.jobs) {
		if at := s.jobs[s.submitted].Submit; !ok || at < next {
			next, ok = at, true
		}
	}
	if s.wake > 0 && (!ok || s.wake < next) {
		next, ok = s.wake, true
	}
	if !ok || s.stuck() && next-s.progress > patience {
		return false
	}
	s.now = next
	return true
}

// stuck reports whether containers wait, and neither work nor its arrival can help them.
func (s *simulation) stuck() bool {
	return s.submitted == len(s.jobs) && len(s.running.jobs) == 0 && s.left > 0
}

// fold takes in everything that happens now.
func (s *simulation) fold() {
	for e, ok := s.agenda.take(s.now); ok; e, ok = s.agenda.take(s.now) {
		s.happen(e)
		s.news = true
	}
	for s.submitted < len(s.jobs) && s.jobs[s.submitted].Submit == s.now {
		s.submit(&s.jobs[s.submitted])
		s.submitted++
	}
}

func (s *simulation) happen(e event) {
	switch e.kind {
	case answered:
		s.answer(e.m)
	case booted:
		s.up(e.m)
	case ended:
		s.ended(e.j)
	case idled:
		s.idled(e.m)
	case aged:
		s.drain(e.m)
	case interrupted:
		s.interrupt(e.m)
	case gone:
		s.remove(e.m)
	}
}
