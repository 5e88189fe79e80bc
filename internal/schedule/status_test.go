package schedule

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestStatus(t *testing.T) {
	concurrency := func(n int) func(*Limits) { return func(l *Limits) { l.CreateConcurrency = n } }
	capacity := func(s Scope, name string) func(*Learnt) {
		return func(l *Learnt) {
			l.CapacityRefused(s, name, "InsufficientInstanceCapacity", noon.Add(-50*time.Second))
		}
	}
	cases := []struct {
		name  string
		world *world // says something of container q
		want  string
	}{
		{"running", fleet().up("small", "a").runs("a", one, "q"), ""},
		{"starting", fleet().up("small", "a").queue(one, "q"), "starting on a"},
		{"on hold", fleet().urgent(-1, one, "q"), "on hold: priority is negative"},
		{"assigned", fleet().add(Booting, "small", "b").assigned("b", one, "q"), "waiting for a small instance to boot"},
		{"bought for", fleet().queue(one, "q"), "waiting for a small instance to boot"},
		{"position counts what is queued, not what waits for an instance to boot",
			fleet().limits(full(3)).add(Booting, "small", "b").up("small", "a", "p").runs("p", two, "r").
				queue(two, "x y z").queue(two, "q"),
			"queue position 2: fleet is at its limit of 3 instances (max_instances)"},
		{"max_instances", fleet().limits(full(1)).add(Booting, "small", "b").queue(two, "x q"),
			"queue position 1: fleet is at its limit of 1 instance (max_instances)"},
		{"quota", fleet().learnt(func(l *Learnt) { l.QuotaRefused(2, noon) }).add(Parked, "small", "a", "b").queue(two, "q"),
			"queue position 1: fleet is at its quota of 2 instances"},
		{"the lower of quota and max_instances",
			fleet().limits(full(2)).learnt(func(l *Learnt) { l.QuotaRefused(1, noon) }).add(Parked, "small", "a", "b").queue(two, "q"),
			"queue position 1: fleet is at its quota of 1 instance"},
		{"max_instances where it is as low as the quota",
			fleet().limits(full(2)).learnt(func(l *Learnt) { l.QuotaRefused(2, noon) }).add(Parked, "small", "a", "b").queue(two, "q"),
			"queue position 1: fleet is at its limit of 2 instances (max_instances)"},
		{"quota, to be tried again", fleet().learnt(func(l *Learnt) {
			l.Quota = Quota{Limited: true, Level: 1, Next: noon.Add(time.Minute)}
		}).add(Parked, "small", "a").queue(two, "q"),
			"queue position 1: fleet is at its quota of 1 instance, one more is tried at 12:01:00"},
		{"quota with none alive", fleet().learnt(func(l *Learnt) { l.QuotaRefused(0, noon) }).queue(two, "q"),
			"queue position 1: the cloud's quota allows no instance now, one more is tried at 12:01:00"},
		{"one by one", fleet().learnt(func(l *Learnt) { *l = NewLearnt(1) }).add(Creating, "small", "c").queue(two, "x q"),
			"queue position 1: 1 instance is being created, one at a time beyond the 1 that the quota is known to allow"},
		{"create_concurrency", fleet().limits(concurrency(1)).add(Creating, "small", "c").queue(two, "x q"),
			"queue position 1: 1 instance is being created, at most 1 at a time"},
		{"create_concurrency, those of this decision included", fleet().limits(concurrency(2)).queue(two, "x y q"),
			"queue position 1: 2 instances are being created, at most 2 at a time"},
		{"capacity of a type", fleet().learnt(capacity(ScopeType, "small")).queue(two, "q"),
			"queue position 1: no capacity for small until 12:00:10 (InsufficientInstanceCapacity)"},
		{"capacity of several types, cheapest first",
			fleet().learnt(capacity(ScopeType, "small")).learnt(capacity(ScopeGroup, "spot")).queue(spot, "q"),
			"queue position 1: no capacity for group spot until 12:00:10 (InsufficientInstanceCapacity), " +
				"no capacity for small until 12:00:10 (InsufficientInstanceCapacity)"},
		{"capacity of anything is said once", fleet().learnt(capacity(ScopeAll, "")).queue(spot, "q"),
			"queue position 1: no capacity for any instance until 12:00:10 (InsufficientInstanceCapacity)"},
		{"one is tried after there was no capacity", fleet().learnt(func(l *Learnt) {
			l.CapacityRefused(ScopeGroup, "standard", "InsufficientInstanceCapacity", noon.Add(-time.Minute))
		}).queue(two, "x q"),
			"queue position 1: one instance is tried first, since there was no capacity for group standard (InsufficientInstanceCapacity)"},
		{"one is tried after an error", fleet().learnt(func(l *Learnt) {
			l.CreateFailed("", "AuthFailure", true, noon.Add(-10*time.Minute))
		}).queue(two, "x q"),
			"queue position 1: one instance is tried first, since creating any instance failed: AuthFailure"},
		{"rate limit", fleet().learnt(func(l *Learnt) { l.RateLimited(noon, noon.Add(5*time.Second), noon) }).queue(two, "q"),
			"queue position 1: the cloud limits the rate of requests, next try at 12:00:05"},
		{"the pace after it", fleet().learnt(func(l *Learnt) { l.RateLimited(noon, noon, noon) }).queue(two, "x y q"),
			"queue position 1: 2 instances are being created, at most 2 at a time since the cloud limits the rate of requests"},
		{"another error", fleet().learnt(func(l *Learnt) { l.CreateFailed("small", "InternalError", false, noon) }).queue(two, "q"),
			"queue position 1: creating small failed: InternalError (next try at 12:00:10)"},
		{"an error that can't get better", fleet().learnt(func(l *Learnt) { l.CreateFailed("", "AuthFailure", true, noon) }).queue(two, "q"),
			"queue position 1: creating any instance is not possible until somebody acts: AuthFailure (next try at 12:10:00)"},
		{"the next try on another day says which", fleet().learnt(func(l *Learnt) { l.RateLimited(noon, noon.Add(24*time.Hour), noon) }).queue(two, "q"),
			"queue position 1: the cloud limits the rate of requests, next try at 2026-03-02 12:00:00"},
		{"no type fits any more", fleet().queue(huge, "q"),
			"queue position 1: no instance type fits 64 vCPUs, 1GiB; nearest: large (8 vCPUs, 16GiB, 20GiB scratch) lacks 56 vCPUs; " +
				"gpu (8 vCPUs, 16GiB, 1 GPU) lacks 56 vCPUs; small (2 vCPUs, 4GiB, 20GiB scratch) lacks 62 vCPUs"},
		{"an idle instance goes for it", fleet().limits(full(1)).up("small", "a").queue(four, "q"),
			"queue position 1: fleet is at its limit of 1 instance (max_instances); idle a is shut down to make room for a large"},
		{"for two at once", fleet().limits(full(1)).up("small", "a").queue(four, "x q"),
			"queue position 2: fleet is at its limit of 1 instance (max_instances); idle a is shut down to make room for a large"},
		{"another instance goes anyway", fleet().limits(full(1)).add(Leaving, "small", "a").queue(four, "q"),
			"queue position 1: fleet is at its limit of 1 instance (max_instances); an instance that is shutting down makes room for a large"},
		{"another instance is to become empty", fleet().limits(full(1)).up("small", "a").runs("a", one, "r").queue(four, "q"),
			"queue position 1: fleet is at its limit of 1 instance (max_instances); a takes nothing new, to make room for a large once it is empty"},
		{"one that boots for nobody is to go", fleet().limits(full(1)).add(Booting, "small", "b").queue(four, "q"),
			"queue position 1: fleet is at its limit of 1 instance (max_instances); b, which boots, is let go once it is up, to make room for a large"},
		{"room is kept for another", fleet().limits(full(1)).up("small", "a").runs("a", one, "r").queue(four, "x").queue(one, "q"),
			"queue position 2: fleet is at its limit of 1 instance (max_instances); a is kept for a container before it"},
		{"room that others have to leave", fleet().limits(full(1)).up("small", "a").runs("a", one, "r").queue(two, "q"),
			"queue position 1: fleet is at its limit of 1 instance (max_instances)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := Decide(&c.world.World)
			assert.Equal(t, c.want, d.Status("q"))
		})
	}
}

func TestStatusNamesFewOfManyTypes(t *testing.T) {
	w := &world{World{Now: noon, Shapes: testShapes}}
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		w.Types = append(w.Types, InstanceType{Name: n, Resources: smallType.Resources})
		w.Learnt.CapacityRefused(ScopeType, n, "x", noon)
	}
	d := Decide(&w.queue(one, "q").World)
	assert.Equal(t, "queue position 1: no capacity for a until 12:01:00 (x), no capacity for b until 12:01:00 (x), "+
		"no capacity for c until 12:01:00 (x), and 2 more", d.Status("q"))
}

func TestStatusOfWhatIsNotThere(t *testing.T) {
	w := fleet().queue(one, "q")
	d := Decide(&w.World)
	assert.Empty(t, d.Status("other"))
	assert.Empty(t, d.StatusAt(-1))
	assert.Empty(t, d.StatusAt(1))
	var zero Decision
	assert.Empty(t, zero.Status("q"))
}

func TestStatusOutlivesWhatIsLearntLater(t *testing.T) {
	w := fleet().learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "small", "x", noon) }).queue(two, "q")
	d := Decide(&w.World)
	before := d.Status("q")
	w.Learnt.Created(smallType, 1, noon)
	assert.Equal(t, before, d.Status("q"))
}

func TestStatusIsTheSameInEveryTimeZone(t *testing.T) {
	far := time.FixedZone("far", 14*3600)
	w := fleet().learnt(func(l *Learnt) { l.RateLimited(noon, noon.Add(time.Second).In(far), noon) }).queue(two, "q")
	w.Now = noon.In(far)
	d := Decide(&w.World)
	assert.Equal(t, "queue position 1: the cloud limits the rate of requests, next try at 12:00:01", d.Status("q"))
}
