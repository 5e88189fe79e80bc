package schedule

import (
	"testing"
	"time"
)

func full(n int) func(*Limits) { return func(l *Limits) { l.MaxInstances = n } }

// idleSince sets when the instance that was added last became idle.
func (w *world) idleSince(t time.Time) *world {
	w.Instances[len(w.Instances)-1].IdleSince = t
	return w
}

func TestMakingRoomAtALimit(t *testing.T) {
	runPlans(t, []planCase{
		{"at max_instances an idle instance is shut down for a container that needs another type",
			fleet().limits(full(1)).up("small", "a").queue(four, "q"), "shut down a"},
		{"and at quota",
			fleet().learnt(func(l *Learnt) { l.QuotaRefused(1, noon) }).up("small", "a").queue(four, "q"), "shut down a"},
		{"even one of a type that is gone from the spec",
			fleet().limits(full(1)).up("retired", "a").queue(four, "q"), "shut down a"},
		{"even one that min_idle would keep",
			fleet().limits(func(l *Limits) { l.MaxInstances, l.MinIdle = 1, 1 }).up("small", "a").queue(four, "q"), "shut down a"},
		{"below the limit it stays",
			fleet().limits(full(2)).up("small", "a").queue(four, "q"), "q awaits new 0, create large"},
		{"a lower priority does not keep the wrong idle instance alive",
			fleet().limits(full(1)).up("small", "a").queue(one, "low").urgent(1, four, "high"), "shut down a"},
		{"a higher priority does",
			fleet().limits(full(1)).up("small", "a").urgent(1, one, "high").queue(four, "low"), "high on a"},
		{"no more are shut down than are needed",
			fleet().limits(full(3)).up("small", "a", "b", "c").queue(four, "q1 q2 q3"), "shut down a, shut down b"},
		{"the one that has been idle longest goes first",
			fleet().limits(full(3)).up("small", "a").idleSince(noon).up("small", "b").idleSince(noon.Add(-time.Hour)).
				up("small", "c").idleSince(noon).queue(four, "q"), "shut down b"},
		{"one that is shutting down already is enough",
			fleet().limits(full(2)).up("small", "a").add(Leaving, "small", "l").queue(four, "q"), ""},
		{"what was idle is not shut down once something was placed on it",
			fleet().limits(full(2)).up("small", "a").add(Leaving, "small", "l").
				queue(eight, "q1").queue(two, "q2").queue(eight, "q3"), "q2 on a"},
		{"as many are shut down as max_containers_per_instance makes necessary",
			fleet().limits(func(l *Limits) { l.MaxInstances, l.MaxContainersPerInstance = 3, 1 }).
				up("small", "a", "b", "c").queue(four, "q1 q2"), "shut down a, shut down b"},
		{"one that drains with something on it is not",
			fleet().limits(full(2)).up("small", "a").add(Leaving, "small", "l").runs("l", one, "r").queue(four, "q"), "shut down a"},
		{"one that is on hold is not either",
			fleet().limits(full(2)).up("small", "a").add(Parked, "small", "p").queue(four, "q"), "shut down a"},
		{"above the limit as many go as it takes to get below it",
			fleet().limits(full(1)).up("small", "a", "b", "c").queue(four, "q"), "shut down a, shut down b, shut down c"},
		{"busy instances are never shut down",
			fleet().limits(full(1)).up("small", "a").runs("a", one, "r").queue(four, "q"), ""},
		{"nothing is shut down for what cannot be bought anyway",
			fleet().limits(full(1)).learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "large", "x", noon) }).
				up("small", "a").queue(four, "q"), "wake 12:01:00"},
		{"nothing is shut down for what fits no type",
			fleet().limits(full(1)).up("small", "a").queue(huge, "q"), ""},
		{"nothing is shut down while the next one is being tried",
			fleet().learnt(func(l *Learnt) { *l = NewLearnt(2) }).add(Creating, "large", "c").
				up("small", "a").queue(four, "q1 q2 q3"), "q1 awaits c, q2 awaits c"},
		{"the first one kept waiting has one instance take nothing new, or lower ones would keep all busy for ever",
			fleet().limits(full(2)).up("small", "a", "b").runs("a", one, "r1").runs("b", one, "r2").
				urgent(1, four, "high").queue(one, "low1 low2"), "low1 on b"},
		{"the instance that will be empty soonest",
			fleet().limits(full(2)).up("large", "a").up("small", "b").runs("a", one, "r1").runs("b", none, "r2 r3").
				runs("a", four, "r4").runs("a", two, "r5").urgent(1, four, "high").queue(one, "low"), ""},
		{"one that boots for nobody sooner than one that is busy",
			fleet().limits(full(2)).up("small", "a").add(Booting, "small", "b").runs("a", one, "r").
				urgent(1, four, "high").queue(one, "low1 low2"), "low1 on a"},
		{"one that boots for somebody is not let go",
			fleet().limits(full(2)).up("small", "a").add(Booting, "small", "b").runs("a", one, "r").assigned("b", two, "low1").
				urgent(1, four, "high").queue(one, "low2"), "low1 awaits b"},
		{"one that it booted for is, when that goes elsewhere",
			fleet().limits(full(2)).up("small", "a").add(Booting, "small", "b").runs("a", one, "r").assigned("b", one, "low1").
				urgent(1, four, "high").queue(one, "low2"), "low1 on a"},
		{"among equals the one that it will have room on",
			fleet().limits(full(2)).up("small", "a").up("large", "b").runs("a", one, "r1").
				runs("b", four, "r2").runs("b", none, "r3").runs("a", none, "r4").
				urgent(1, eight, "high").queue(four, "low4").queue(one, "low1"), "low1 on a"},
		{"whatever is placed on it by this decision counts",
			fleet().limits(func(l *Limits) { l.MaxInstances, l.MaxPriceFactor = 2, 0 }).up("small", "b").up("large", "a").
				runs("b", one, "r1 r2").runs("a", one, "r3").
				urgent(2, one, "h1 h2").urgent(1, eight, "h3").queue(one, "low"), "h1 on a, h2 on a, low on a"},
		{"among equals not the one that it can't run on",
			fleet().limits(full(2)).up("small", "a").up("large", "b").runs("a", one, "r1").runs("b", four, "r2").
				urgent(1, two, "high").queue(four, "low"), "low on b"},
	})
}
