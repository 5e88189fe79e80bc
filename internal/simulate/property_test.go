package simulate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"drover/internal/fleetspec"
	"drover/internal/schedule"
)

// drawn is a fleet, a cloud and a workload.
type drawn struct {
	spec     fleetspec.Spec
	options  Options
	workload Workload
}

func draw(t *rapid.T) drawn {
	whole := func(name string, least, most int) int { return rapid.IntRange(least, most).Draw(t, name) }
	some := func(name string, of ...int) int { return rapid.SampledFrom(of).Draw(t, name) }
	d := drawn{spec: fleetOf(), options: aCloud()}
	d.spec.InstanceTypes = append(d.spec.InstanceTypes, fleetspec.InstanceType{
		Name: "sixteen", ProviderType: "sixteen", VCPUs: 16, Memory: 32 << 30, Price: 0.75, Architecture: "amd64"})
	l := &d.spec.Limits
	l.MaxInstances, l.CreateConcurrency, l.MinIdle = whole("max_instances", 1, 12), whole("create_concurrency", 1, 5), 0
	l.MinIdle = min(some("min_idle", 0, 0, 0, 2), l.MaxInstances)
	l.MaxContainersPerInstance = some("max_containers", 0, 0, 1, 3)
	l.MaxPriceFactor = rapid.SampledFrom([]float64{1, 4, 20}).Draw(t, "max_price_factor")
	d.spec.Timeouts.MaxAge = fleetspec.Duration(some("max_age", 0, 0, 1) * int(time.Hour))
	d.options.Quota, d.options.CreateRate = some("quota", 0, 0, 1, 5), float64(some("create_rate", 0, 0, 3))
	d.options.SpotInterruptions = float64(some("interruptions", 0, 2))
	d.options.Boot.Max += time.Duration(some("spread", 0, 60)) * time.Second
	if n := some("capacity", -1, -1, 0, 2); n >= 0 {
		d.options.Capacity = map[string]int{"four": n}
	}
	for i := range whole("containers", 1, 150) {
		d.workload.Containers = append(d.workload.Containers, Container{
			ID: fmt.Sprintf("c%d", i), Submit: time.Duration(i/whole("burst", 1, 60)) * time.Minute, RunTime: time.Duration(some("run_time", 0, 30, 300, 4000)) * time.Second,
			VCPUs: float64(some("vcpus", 1, 1, 1, 3, 8, 32)), Memory: fleetspec.Size(some("memory", 1, 1, 7)) << 30,
			Priority: some("priority", 0, 0, 0, 5, -1), Preemptible: some("preemptible", 0, 1) == 1, Attempts: some("attempts", 1, 3),
		})
	}
	return d
}

// TestWhatIsLeftOutDoesNotMatter is about what show and decide count on. When it fails
// because package schedule has learnt to look further, they must leave out less.
func TestWhatIsLeftOutDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		sortBySubmission(d.workload.Containers)
		short, err := Run(context.Background(), d.spec, d.workload, d.options)
		require.NoError(t, err)
		d.options.whole = true
		whole, err := Run(context.Background(), d.spec, d.workload, d.options)
		require.NoError(t, err)
		short.ledger, whole.ledger = ledger{}, ledger{} // moments at which nothing is new may differ
		require.Equal(t, whole, short)
	})
}

func TestInvariantsHoldAtEveryMoment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		sortBySubmission(d.workload.Containers)
		s := newSimulation(d.spec, d.workload, d.options)
		for s.advance() {
			s.fold()
			s.decide()
			s.ledger.note(s.now, len(s.running.jobs))
			checkMoment(t, s)
		}
		checkResult(t, s, s.result())
	})
}

// checkMoment compares what the simulation keeps count of with a count.
func checkMoment(t require.TestingT, s *simulation) {
	alive, running, perType := 0, 0, make([]int, len(s.types))
	for _, m := range s.machines {
		room := s.types[m.typ].Resources
		for _, j := range m.jobs {
			require.Equal(t, schedule.Running, j.binding)
			require.Same(t, m, j.machine)
			change(&room, &s.shapes[j.shape], -1)
		}
		require.Equal(t, room, m.room)
		require.GreaterOrEqual(t, min(room.MilliCPU, room.Memory), int64(0), "nothing is given out twice")
		if most := s.limits.MaxContainersPerInstance; most > 0 {
			require.LessOrEqual(t, len(m.jobs), most)
		}
		running += len(m.jobs)
		if m.phase != schedule.Creating {
			alive++
			perType[m.typ]++
		}
	}
	require.Equal(t, alive, s.alive)
	require.Equal(t, perType, s.perType)
	require.Len(t, s.running.jobs, running)
	require.LessOrEqual(t, len(s.machines), s.limits.MaxInstances)
	if s.options.Quota > 0 {
		require.LessOrEqual(t, alive, s.options.Quota)
	}
	waiting := len(s.assigned.jobs)
	for _, q := range s.queues {
		waiting += len(q.jobs)
	}
	require.Equal(t, waiting, s.ledger.waiting)
}

func checkResult(t require.TestingT, s *simulation, r Result) {
	c := r.Containers
	require.Equal(t, c.Submitted, c.Finished+c.Failed+c.Refused+c.Waiting+c.OnHold)
	not := 0
	for _, n := range r.NotRun {
		not += n.Containers
		require.NotEmpty(t, n.Why)
	}
	require.Equal(t, c.Submitted-c.Finished, not, "everything that did not finish is explained")
	work := 0.0
	for i := range s.jobs {
		if j := &s.jobs[i]; j.ending == finished {
			work += j.RunTime.Hours() * j.VCPUs
		}
	}
	assert.InDelta(t, work, r.VCPUHours.Used-r.VCPUHours.Lost, 1e-6, "what has finished was done once")
	assert.InDelta(t, r.Money.Paid, r.Money.Busy+r.Money.Idle+r.Money.Booting+r.Money.Shutdown, 1e-6)
	assert.LessOrEqual(t, r.VCPUHours.Utilization, 1.0)
	for _, width := range []time.Duration{r.Width(1), r.Width(10), r.Width(1000)} {
		checkTimeline(t, &r, width)
	}
}

func checkTimeline(t require.TestingT, r *Result, width time.Duration) {
	var paid, used, vcpus, instances float64
	spans, err := r.Over(width)
	require.NoError(t, err)
	for i := range spans {
		paid += spans[i].Paid
		used += spans[i].UsedVCPUs * spans[i].Seconds / 3600
		vcpus += spans[i].PaidVCPUs * spans[i].Seconds / 3600
		instances += spans[i].Instances
		require.LessOrEqual(t, spans[i].Utilization(), 1+1e-9)
	}
	assert.InDelta(t, r.Money.Paid, paid, 1e-6, "the timeline adds up")
	assert.InDelta(t, r.VCPUHours.Used, used, 1e-6)
	assert.InDelta(t, r.VCPUHours.Paid, vcpus, 1e-6)
	byType := 0.0
	for _, means := range r.TypesOver(width) {
		for _, n := range means {
			byType += n
		}
	}
	assert.InDelta(t, instances, byType, 1e-6)
}

func sortBySubmission(cs []Container) {
	slices.SortStableFunc(cs, func(a, b Container) int { return cmp.Compare(a.Submit, b.Submit) })
}

func TestADecisionSeesLittleOfALongQueue(t *testing.T) {
	spec := fleetOf(func(s *fleetspec.Spec) { s.Limits.MaxInstances, s.Limits.CreateConcurrency = 50, 10 })
	cs := containers(20000, 0, 0, time.Minute)
	for i := range cs {
		cs[i].RunTime += time.Duration(i*7919%1000) * time.Millisecond
	}
	s := newSimulation(spec, Workload{Containers: cs}, aCloud())
	most := 0
	for s.advance() {
		s.fold()
		s.decide()
		most = max(most, len(s.world.Containers))
	}
	assert.Equal(t, 20000, s.result().Containers.Finished)
	assert.Less(t, most, 1000, "200 run")
}
