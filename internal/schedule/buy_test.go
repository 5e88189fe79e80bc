package schedule

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBuying(t *testing.T) {
	atMost := func(n int) func(*Limits) { return func(l *Limits) { l.CreateConcurrency = n } }
	total := func(n int) func(*Limits) { return func(l *Limits) { l.MaxInstances = n } }
	runPlans(t, []planCase{
		{"an empty world needs nothing", fleet(), ""},
		{"an idle fleet is left alone", fleet().up("small", "a"), ""},
		{"nothing has room, so the cheapest that fits is created",
			fleet().queue(one, "q"), "q awaits new 0, create small"},
		{"a preemptible one if the container allows it, being cheaper",
			fleet().queue(spot, "q"), "q awaits new 0, create spot"},
		{"a larger one if it takes one",
			fleet().queue(four, "q"), "q awaits new 0, create large"},
		{"of equal prices the first by name",
			&world{World{Shapes: testShapes, Types: []InstanceType{
				{Name: "b", Resources: smallType.Resources}, {Name: "a", Resources: smallType.Resources}},
				Containers: []Container{{ID: "q"}}}},
			"q awaits new 0, create a"},
		{"the room of what is created counts before more is",
			fleet().queue(one, "q1 q2 q3"),
			"q1 awaits new 0, q2 awaits new 0, q3 awaits new 1, create small, create small"},
		{"the room of what is being created and what boots counts before more is bought",
			fleet().add(Creating, "small", "c").add(Booting, "small", "b").queue(one, "q1 q2 q3 q4"),
			"q1 awaits b, q2 awaits b, q3 awaits c, q4 awaits c"},
		{"what fits no type is not bought for",
			fleet().queue(huge, "q"), ""},
		{"at most create_concurrency at a time",
			fleet().limits(atMost(2)).queue(two, "q1 q2 q3"),
			"q1 awaits new 0, q2 awaits new 1, create small, create small"},
		{"those that are being created already count",
			fleet().limits(atMost(2)).add(Creating, "small", "c").queue(two, "q1 q2 q3"),
			"q1 awaits c, q2 awaits new 0, create small"},
		{"those that boot do not",
			fleet().limits(atMost(1)).add(Booting, "small", "b").queue(two, "q1 q2"),
			"q1 awaits b, q2 awaits new 0, create small"},
		{"at most max_instances, whatever their phase",
			fleet().limits(total(5)).add(Creating, "large", "c").add(Booting, "large", "b").
				add(Parked, "large", "p").add(Leaving, "large", "l").queue(two, "q1 q2"),
			"q1 awaits new 0, create small"},
		{"max_price_factor is times the cheapest that fits, not times the next cheapest",
			priced(1.5, 1, 1.4, 1.9).learnt(func(l *Learnt) {
				l.CapacityRefused(ScopeType, "t0", "x", noon)
				l.CapacityRefused(ScopeType, "t1", "x", noon)
			}).queue(one, "q"),
			"wake 12:01:00"},
		{"a price at max_price_factor to the cent is within it",
			priced(3, 1.15, 3.45).learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "t0", "x", noon) }).queue(one, "q"),
			"q awaits new 0, create t1"},
		{"with a max_price_factor below one another type of the same price is still within it",
			priced(0.1, 2, 2).learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "t0", "x", noon) }).queue(one, "q"),
			"q awaits new 0, create t1"},
		{"the highest gets what can be created",
			fleet().limits(atMost(1)).queue(two, "low").urgent(1, four, "high"),
			"high awaits new 0, create large"},
	})
}

// priced is a fleet whose types t0, t1, … differ in price only.
func priced(factor float64, prices ...float64) *world {
	w := &world{World{Now: noon, Shapes: testShapes, Limits: Limits{MaxPriceFactor: factor}}}
	for i, p := range prices {
		w.Types = append(w.Types, InstanceType{Name: fmt.Sprintf("t%d", i), Price: p, Resources: smallType.Resources})
	}
	return w
}

func TestMinIdle(t *testing.T) {
	warm := func(n int) func(*Limits) { return func(l *Limits) { l.MinIdle = n } }
	later := noon.Add(time.Minute)
	runPlans(t, []planCase{
		{"as many idle instances as min_idle are created, of the cheapest type that any container can use",
			fleet().limits(warm(2)), "create small, create small"},
		{"of a preemptible one if there is nothing else",
			&world{World{Limits: Limits{MinIdle: 1}, Types: []InstanceType{spotType}}}, "create spot"},
		{"a fleet without types creates nothing",
			&world{World{Limits: Limits{MinIdle: 1}}}, ""},
		{"those that will be idle count",
			fleet().limits(warm(3)).up("small", "u").add(Booting, "small", "b").add(Creating, "small", "c"), "keep u"},
		{"those that something was placed on do not",
			fleet().limits(warm(1)).up("small", "u").queue(one, "q"), "q on u, create small"},
		{"those that something is assigned to do not",
			fleet().limits(warm(1)).add(Booting, "small", "b").assigned("b", one, "q"), "q awaits b, create small"},
		{"the most useful are kept: for anything, cheap, then by name",
			fleet().limits(warm(2)).up("spot", "a").up("large", "b").up("small", "d", "c"), "keep c, keep d"},
		{"one that is up is kept rather than one that boots",
			fleet().limits(warm(1)).add(Booting, "small", "b").up("large", "u"), "keep u"},
		{"the limits hold",
			fleet().limits(func(l *Limits) { l.MinIdle, l.MaxInstances = 3, 1 }), "create small"},
		{"what waits comes first",
			fleet().limits(func(l *Limits) { l.MinIdle, l.CreateConcurrency = 1, 1 }).queue(four, "q"),
			"q awaits new 0, create large"},
		{"the last one within a limit is left to what waits for capacity",
			fleet().limits(func(l *Limits) { l.MinIdle, l.MaxInstances = 3, 2 }).
				learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "large", "x", noon) }).queue(four, "q"),
			"create small, wake 12:01:00"},
		{"but not to what fits no type",
			fleet().limits(func(l *Limits) { l.MinIdle, l.MaxInstances = 3, 2 }).queue(huge, "q"),
			"create small, create small"},
		{"the next type is kept when the cheapest is held off",
			fleet().limits(warm(1)).learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "small", "x", noon) }), "create arm"},
		{"it is tried again when capacity may be back",
			fleet().limits(warm(1)).learnt(func(l *Learnt) { l.CapacityRefused(ScopeAll, "", "x", noon) }), "wake 12:01:00"},
		{"it is tried again when the rate limit ends",
			fleet().limits(warm(1)).learnt(func(l *Learnt) { l.RateLimited(noon, later, noon) }), "wake 12:01:00"},
	})
}

func TestRefusals(t *testing.T) {
	quota := func(q Quota) func(*Learnt) { return func(l *Learnt) { l.Quota = q } }
	refused := func(n int) func(*Learnt) { return func(l *Learnt) { l.QuotaRefused(n, noon) } }
	later := noon.Add(time.Minute)
	cheap := func(l *Limits) { l.MaxPriceFactor = 1.3 }
	fallback := func(l *Limits) { l.OnDemandFallback = true }
	runPlans(t, []planCase{
		{"at quota nothing is bought",
			fleet().learnt(refused(1)).add(Booting, "small", "a").queue(two, "q1 q2"), "q1 awaits a"},
		{"not even long after, while there are as many",
			fleet().learnt(func(l *Learnt) { l.QuotaRefused(1, noon.Add(-time.Hour)) }).
				add(Parked, "small", "a").queue(two, "q"), ""},
		{"not even one, where more have worked, before its time",
			fleet().learnt(quota(Quota{Limited: true, Level: 1, Refused: 1, Worked: 2, Next: later})).add(Parked, "small", "a").queue(two, "q"),
			"wake 12:01:00"},
		{"but then one",
			fleet().learnt(quota(Quota{Limited: true, Level: 1, Refused: 1, Worked: 2, Next: noon})).add(Parked, "small", "a").queue(two, "q1 q2"),
			"q1 awaits new 0, create small"},
		{"with fewer than were alive as many are bought again, and no more",
			fleet().learnt(refused(3)).add(Parked, "small", "a").queue(two, "q1 q2 q3"),
			"q1 awaits new 0, q2 awaits new 1, create small, create small"},
		{"with none alive a minute passes first",
			fleet().learnt(refused(0)).queue(two, "q"), "wake 12:01:00"},
		{"and then one is tried",
			fleet().learnt(func(l *Learnt) { l.QuotaRefused(0, noon.Add(-time.Minute)) }).queue(two, "q1 q2"),
			"q1 awaits new 0, create small"},
		{"up to the largest number that is known to work is bought freely, beyond it nothing while that is unproven",
			fleet().learnt(quota(Quota{Limited: true, Level: 2})).queue(two, "q1 q2 q3"),
			"q1 awaits new 0, q2 awaits new 1, create small, create small"},
		{"beyond what is known to work one is tried",
			fleet().learnt(quota(Quota{Limited: true, Level: 1})).add(Parked, "small", "a").queue(two, "q1 q2"),
			"q1 awaits new 0, create small"},
		{"and no second while that one is being created",
			fleet().learnt(quota(Quota{Limited: true, Level: 1})).add(Parked, "small", "a").
				add(Creating, "small", "c").queue(two, "q1 q2"),
			"q1 awaits c"},
		{"and none before its time after a refusal",
			fleet().learnt(quota(Quota{Limited: true, Level: 1, Next: later})).add(Parked, "small", "a").queue(two, "q"),
			"wake 12:01:00"},
		{"without capacity for a type nothing of it is bought for a minute",
			fleet().learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "small", "x", noon) }).queue(two, "q"),
			"wake 12:01:00"},
		{"after it, it is",
			fleet().learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "small", "x", noon.Add(-time.Minute)) }).queue(two, "q"),
			"q awaits new 0, create small"},
		{"but one at a time, until one has worked",
			fleet().learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "small", "x", noon.Add(-time.Minute)) }).
				queue(two, "q1 q2").queue(four, "q3 q4 q5"),
			"q1 awaits new 0, q3 awaits new 1, q4 awaits new 1, q5 awaits new 2, create small, create large, create large"},
		{"and none while one is being created, of whatever is in its group",
			fleet().learnt(func(l *Learnt) { l.CapacityRefused(ScopeGroup, "standard", "x", noon.Add(-time.Minute)) }).
				add(Creating, "small", "c").queue(two, "q1 q2").queue(four, "q3"),
			"q1 awaits c"},
		{"others take the next cheapest meanwhile",
			fleet().learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "spot", "x", noon.Add(-time.Minute)) }).
				add(Creating, "spot", "c").queue(spot, "q1 q2 q3"),
			"q1 awaits c, q2 awaits c, q3 awaits new 0, create small"},
		{"nor of a type of its own, be it the first of the spec",
			fleet().learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "gpu", "x", noon.Add(-time.Minute)) }).
				add(Creating, "gpu", "c").queue(gpu, "q1 q2"),
			"q1 awaits c"},
		{"nor before others that would do are no longer held off",
			fleet().learnt(func(l *Learnt) {
				l.CapacityRefused(ScopeType, "spot", "x", noon.Add(-time.Minute))
				l.CapacityRefused(ScopeType, "small", "x", noon.Add(-time.Second))
			}).add(Creating, "spot", "c").queue(spot, "q1 q2 q3"),
			"q1 awaits c, q2 awaits c, wake 12:00:59"},
		{"nor for min_idle",
			fleet().limits(func(l *Limits) { l.MinIdle = 2 }).
				learnt(func(l *Learnt) { l.CapacityRefused(ScopeAll, "", "x", noon.Add(-time.Minute)) }),
			"create small"},
		{"what was refused long ago is bought like everything",
			fleet().learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "small", "x", noon.Add(-time.Hour)) }).queue(two, "q1 q2"),
			"q1 awaits new 0, q2 awaits new 1, create small, create small"},
		{"the next cheapest is taken meanwhile",
			fleet().learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "spot", "x", noon) }).queue(spot, "q"),
			"q awaits new 0, create small"},
		{"but none over max_price_factor",
			fleet().learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "small", "x", noon) }).queue(one, "q"),
			"wake 12:01:00"},
		{"a preemptible one is too cheap for another to be an alternative at max_price_factor",
			fleet().limits(cheap).learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "spot", "x", noon) }).queue(spot, "q"),
			"wake 12:01:00"},
		{"unless those that are not preemptible are held against each other",
			fleet().limits(cheap).limits(fallback).learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "spot", "x", noon) }).queue(spot, "q"),
			"q awaits new 0, create small"},
		{"within max_price_factor of the cheapest of them",
			fleet().limits(cheap).limits(fallback).learnt(func(l *Learnt) {
				l.CapacityRefused(ScopeType, "spot", "x", noon)
				l.CapacityRefused(ScopeType, "small", "x", noon)
			}).up("large", "a").queue(spot, "q"),
			"wake 12:01:00"},
		{"a group without capacity rules out its types",
			fleet().learnt(func(l *Learnt) { l.CapacityRefused(ScopeGroup, "standard", "x", noon) }).
				queue(two, "q1").queue(four, "q2").queue(spot, "q3"),
			"q3 awaits new 0, create spot, wake 12:01:00"},
		{"no capacity for anything rules out everything",
			fleet().learnt(func(l *Learnt) { l.CapacityRefused(ScopeAll, "", "x", noon) }).queue(two, "q1").queue(spot, "q2"),
			"wake 12:01:00"},
		{"what is held off does not keep lower ones from what is not",
			fleet().learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "large", "x", noon) }).
				urgent(1, four, "high").queue(two, "low"),
			"low awaits new 0, create small, wake 12:01:00"},
		{"the rate limit stops all creating until its time",
			fleet().learnt(func(l *Learnt) { l.RateLimited(noon, later, noon) }).queue(two, "q1").queue(spot, "q2"),
			"wake 12:01:00"},
		{"but no placing",
			fleet().learnt(func(l *Learnt) { l.RateLimited(noon, later, noon) }).up("small", "a").queue(two, "q"), "q on a"},
		{"a failed type is tried again after a while",
			fleet().learnt(func(l *Learnt) { l.CreateFailed("small", "x", false, noon) }).queue(two, "q"), "wake 12:00:10"},
		{"bad credentials are tried again after a long while",
			fleet().learnt(func(l *Learnt) { l.CreateFailed("", "x", true, noon) }).queue(two, "q"), "wake 12:10:00"},
		{"a type that is held off twice is not tried before both end",
			fleet().learnt(func(l *Learnt) {
				l.CapacityRefused(ScopeType, "small", "x", noon)
				l.CreateFailed("small", "x", false, noon)
			}).queue(two, "q"), "wake 12:01:00"},
		{"of several types that fit the first that may work again is the one to wake for",
			fleet().learnt(func(l *Learnt) {
				l.CreateFailed("spot", "x", false, noon)
				l.CapacityRefused(ScopeType, "small", "x", noon)
			}).queue(spot, "q"), "wake 12:00:10"},
		{"of several times the earliest is the one to wake at",
			fleet().learnt(func(l *Learnt) {
				l.CapacityRefused(ScopeType, "small", "x", noon)
				l.CreateFailed("large", "x", false, noon)
			}).queue(two, "q1").queue(four, "q2"), "wake 12:00:10"},
	})
}

func TestCreationsSayWhatTheyAreFor(t *testing.T) {
	w := fleet().limits(func(l *Limits) { l.MinIdle = 1 }).queue(two, "q")
	d := Decide(&w.World)
	assert.Equal(t, []Creation{{Type: "small", Reason: "container q fits on no instance"},
		{Type: "small", Reason: "min_idle is 1"}}, d.Create)
}
