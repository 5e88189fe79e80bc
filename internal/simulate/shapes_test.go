package simulate

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"drover/internal/fleetspec"
)

const cent = 1e-9 // what rounding may differ by

// price is that of so many seconds of instances at 0.20 an hour.
func price(seconds float64) float64 { return seconds / 3600 * 0.20 }

func TestABurstIsWhatArithmeticSays(t *testing.T) {
	r := run(t, fleetOf(), aCloud(), containers(40, 0, 0, 10*time.Minute))
	assert.Equal(t, Containers{Submitted: 40, Finished: 40}, r.Containers)
	assert.Equal(t, Instances{Created: 10, Peak: 10}, r.Instances, "four on each")
	assert.Equal(t, []Wait{{Started: 40, Min: 60, Median: 60, P95: 60, Max: 60}}, r.Waits, "created in 2 s, booted in 58 s")
	assert.InDelta(t, 660, r.Makespan, cent)
	assert.InDelta(t, 730, r.Length, cent, "idle for a minute, then shut down in 10 s")
	assert.InDelta(t, 10*price(728), r.Money.Paid, cent, "nothing is paid before the cloud has accepted")
	assert.InDelta(t, 10*price(600), r.Money.Busy, cent)
	assert.InDelta(t, 10*price(58), r.Money.Booting, cent)
	assert.InDelta(t, 10*price(60), r.Money.Idle, cent)
	assert.InDelta(t, 10*price(10), r.Money.Shutdown, cent)
	assert.InDelta(t, 40*600/3600.0, r.VCPUHours.Used, cent)
	assert.InDelta(t, 600/728.0, r.VCPUHours.Utilization, cent)
}

func TestABurstAtTheQuotaTakesWaves(t *testing.T) {
	r := run(t, fleetOf(), aCloud(func(o *Options) { o.Quota = 5 }), containers(40, 0, 0, 10*time.Minute))
	assert.Equal(t, 5, r.Instances.Peak)
	assert.InDelta(t, 60+2*600, r.Makespan, cent)
	assert.InDelta(t, 660, r.Waits[0].Max, cent)
	assert.InDelta(t, 60, r.Waits[0].Median, cent)
	assert.InDelta(t, 5*price(1200), r.Money.Busy, cent)
	assert.GreaterOrEqual(t, r.Instances.CreateRefused, 5, "ten were asked for at once")
}

func TestMaxInstancesNeedsNoRefusal(t *testing.T) {
	spec := fleetOf(func(s *fleetspec.Spec) { s.Limits.MaxInstances = 5 })
	r := run(t, spec, aCloud(), containers(40, 0, 0, 10*time.Minute))
	assert.Equal(t, Instances{Created: 5, Peak: 5}, r.Instances)
	assert.InDelta(t, 1260, r.Makespan, cent)
}

func TestSteadyWorkStaysOnOneInstance(t *testing.T) {
	r := run(t, fleetOf(), aCloud(), containers(1000, 0, time.Minute, 3*time.Minute))
	assert.Equal(t, Instances{Created: 1, Peak: 1}, r.Instances)
	assert.Equal(t, Wait{Started: 1000, Max: 60}, r.Waits[0], "only the first waits, for the instance to boot")
	assert.InDelta(t, 999*60+180, r.Makespan, cent)
	assert.InDelta(t, price(999*60+180-60), r.Money.Busy, cent)
}

func TestAChainStaysOnOneInstance(t *testing.T) {
	cs := containers(50, time.Minute, 10*time.Minute, 10*time.Minute)
	cs[0].Submit = 0
	r := run(t, fleetOf(), aCloud(), cs)
	assert.Equal(t, 1, r.Instances.Created)
	assert.InDelta(t, price(60), r.Money.Idle, cent, "between one's end and the next one's start there is nothing")
	assert.InDelta(t, 60+50*600, r.Makespan, cent)
}

func TestAfterWideWorkOnlyWhatIsNeededStays(t *testing.T) {
	narrow := containers(1, 690*time.Second, 0, 2*time.Hour, func(c *Container) { c.VCPUs = 4 })
	r := run(t, fleetOf(), aCloud(), append(containers(40, 0, 0, 10*time.Minute), narrow...))
	assert.Equal(t, 10, r.Instances.Created, "the narrow one finds an idle instance")
	assert.InDelta(t, 9*price(728)+price(690+7200+60+10-2), r.Money.Paid, cent)
	assert.InDelta(t, 9*price(60)+price(30+60), r.Money.Idle, cent)
}

func TestPrioritiesWaitDifferently(t *testing.T) {
	spec := fleetOf(func(s *fleetspec.Spec) { s.Limits.MaxInstances = 1 })
	urgent := containers(4, time.Second, 0, time.Hour, func(c *Container) { c.Priority = 7 })
	r := run(t, spec, aCloud(), append(containers(4, 0, 0, time.Hour), urgent...))
	if assert.Len(t, r.Waits, 3) {
		assert.Equal(t, 7, *r.Waits[1].Priority)
		assert.Equal(t, 0, *r.Waits[2].Priority)
		assert.InDelta(t, 60-1, r.Waits[1].Max, cent, "when the instance is up it goes to the most urgent")
		assert.InDelta(t, 60+3600, r.Waits[2].Max, cent)
	}
}

func TestSpotIsLostAndTriedAgain(t *testing.T) {
	spot := func(c *Container) { c.Preemptible, c.VCPUs, c.Attempts = true, 4, 50 }
	o := aCloud(func(o *Options) { o.SpotInterruptions = 0.1 })
	spec := fleetOf(func(s *fleetspec.Spec) { s.Limits.MaxInstances = 1000 })
	r := run(t, spec, o, containers(1000, 0, 0, time.Hour, spot))
	assert.Equal(t, 1000, r.Containers.Finished)
	assert.InDelta(t, 105, r.Containers.AttemptsLost, 40, "e^-0.1 of all attempts are not interrupted")
	assert.InDelta(t, 4*1000, r.VCPUHours.Used-r.VCPUHours.Lost, 1e-6, "everything is done once, apart from what is lost")
	assert.Greater(t, r.VCPUHours.Lost, 100.0)
	assert.Equal(t, 0, r.Types[0].Created)
	assert.Equal(t, r, run(t, spec, o, containers(1000, 0, 0, time.Hour, spot)), "the same seed, the same result")
	o.Seed++
	assert.NotEqual(t, r.Money, run(t, spec, o, containers(1000, 0, 0, time.Hour, spot)).Money)
}

func TestAttemptsAreUsedUp(t *testing.T) {
	cs := containers(8, 0, 0, 100*time.Hour, func(c *Container) { c.Preemptible, c.Attempts = true, 2 })
	r := run(t, fleetOf(), aCloud(func(o *Options) { o.SpotInterruptions = 1 }), cs)
	assert.Equal(t, Containers{Submitted: 8, Failed: 8, AttemptsLost: 16}, r.Containers)
	assert.InDelta(t, r.VCPUHours.Used, r.VCPUHours.Lost, cent)
	assert.Equal(t, []NotRun{{Containers: 8, First: cs[0].ID, Why: "the cloud took its instance back 2 times, as often as it is tried"}}, r.NotRun)
}

func TestWhatCantRunIsSaidWithWhy(t *testing.T) {
	large := containers(2, 0, 0, time.Hour, func(c *Container) { c.VCPUs = 64 })
	held := containers(3, time.Second, 0, time.Hour, func(c *Container) { c.Priority = -1 })
	r := run(t, fleetOf(), aCloud(func(o *Options) { o.Capacity = map[string]int{"four": 0} }),
		append(append(large, held...), containers(4, time.Minute, 0, time.Hour)...))
	assert.Equal(t, Containers{Submitted: 9, Refused: 2, OnHold: 3, Waiting: 4}, r.Containers)
	if assert.Len(t, r.NotRun, 3) {
		assert.Contains(t, r.NotRun[0].Why, "no instance type fits 64 vCPUs")
		assert.Equal(t, "on hold: priority is negative", r.NotRun[1].Why)
		assert.Contains(t, r.NotRun[2].Why, "no capacity for four until ")
	}
	assert.Zero(t, r.Money.Paid)
	assert.Zero(t, r.Makespan)
}

func TestAScarceTypeIsReplacedByTheNextCheapest(t *testing.T) {
	cs := containers(40, 0, 0, time.Hour, func(c *Container) { c.Preemptible = true })
	r := run(t, fleetOf(), aCloud(func(o *Options) { o.Capacity = map[string]int{"four-spot": 3} }), cs)
	assert.Equal(t, 3, r.Types[1].Peak)
	assert.Equal(t, 7, r.Types[0].Peak)
	assert.Equal(t, 40, r.Containers.Finished)
}

func TestWarmInstancesSpareTheWait(t *testing.T) {
	spec := fleetOf(func(s *fleetspec.Spec) { s.Limits.MinIdle = 2 })
	r := run(t, spec, aCloud(), containers(8, time.Hour, 0, 10*time.Minute))
	assert.Equal(t, Wait{Started: 8}, r.Waits[0])
	assert.Equal(t, 4, r.Instances.Created, "two more are kept warm meanwhile")
	assert.InDelta(t, 4200+60+10, r.Length, cent, "at the end nothing is kept")
	assert.InDelta(t, 2*price(3600-60)+2*price(4200-3600-60)+2*price(60), r.Money.Idle, cent,
		"two from the beginning, two more until the work is done, and those that worked for a minute more")
}

func TestOldInstancesAreReplaced(t *testing.T) {
	spec := fleetOf(func(s *fleetspec.Spec) { s.Timeouts.MaxAge = fleetspec.Duration(time.Hour) })
	r := run(t, spec, aCloud(), containers(600, 0, time.Minute, 3*time.Minute))
	assert.InDelta(t, 10, r.Instances.Created, 1, "ten hours of work")
	assert.LessOrEqual(t, r.Instances.Peak, 2)
	assert.Equal(t, 600, r.Containers.Finished)
}

func TestTheCloudsRateOfRequestsIsKept(t *testing.T) {
	o := aCloud(func(o *Options) { o.CreateRate = 5 })
	r := run(t, fleetOf(), o, containers(40, 0, 0, 10*time.Minute))
	assert.Equal(t, 10, r.Instances.Created)
	assert.Positive(t, r.Instances.CreateRefused)
	assert.GreaterOrEqual(t, r.Waits[0].Max, 60+60.0, "the last five take a minute")
	assert.Equal(t, 60.0, r.Waits[0].Min)
}

func TestBootsTakeFromTheShortestToTheLongestTime(t *testing.T) {
	o := aCloud(func(o *Options) { o.Boot = Span{30 * time.Second, 90 * time.Second} })
	spec := fleetOf(func(s *fleetspec.Spec) { s.Limits.MaxInstances, s.Limits.CreateConcurrency = 500, 500 })
	r := run(t, spec, o, containers(500, 0, 0, 10*time.Minute, func(c *Container) { c.VCPUs = 4 }))
	assert.InDelta(t, 32, r.Waits[0].Min, 3)
	assert.InDelta(t, 62, r.Waits[0].Median, 5)
	assert.InDelta(t, 92, r.Waits[0].Max, 3)
}
