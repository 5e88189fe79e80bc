package schedule

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBootsThatFailInARowHoldTheirTypeOffEverLonger(t *testing.T) {
	var l Learnt
	now := noon
	for i, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute,
		16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour} {
		asked := now
		l.Created(smallType, 1, now)
		now = now.Add(10 * time.Minute)
		l.BootFailed("small", "boot timeout", asked, now)
		require.Len(t, l.Holdoffs, 1)
		assert.Equal(t, Holdoff{Kind: NoBoot, Scope: ScopeType, Name: "small", Until: now.Add(want), Times: i + 1, Reason: "boot timeout"}, l.Holdoffs[0])
		now = l.Holdoffs[0].Until
	}
	l.Created(smallType, 1, now)
	assert.Len(t, l.Holdoffs, 1, "that one is created says nothing of whether it boots")
	l.Booted("large")
	assert.Len(t, l.Holdoffs, 1)
	l.Booted("small")
	assert.Empty(t, l.Holdoffs)
	l.BootFailed("small", "boot timeout", now, now.Add(10*time.Minute))
	assert.Equal(t, 1, l.Holdoffs[0].Times)
}

func TestBootsThatFailTogetherAreOneStep(t *testing.T) {
	var l Learnt
	asked := noon.Add(-10 * time.Minute)
	for i := range 10 {
		l.BootFailed("small", "boot timeout", asked.Add(time.Duration(i)*time.Second), noon.Add(time.Duration(i)*20*time.Second))
	}
	require.Len(t, l.Holdoffs, 1)
	assert.Equal(t, 1, l.Holdoffs[0].Times, "though the last of them failed after the holdoff had ended")
	assert.Equal(t, noon.Add(30*time.Second), l.Holdoffs[0].Until)
	l.BootFailed("small", "connection refused", time.Time{}, noon.Add(4*time.Minute))
	assert.Equal(t, 2, l.Holdoffs[0].Times, "of which it is not known when it was asked for counts as tried since")
	assert.Equal(t, "connection refused", l.Holdoffs[0].Reason)
}

func TestAFailedBootIsRememberedUntilTheNextTryHasHadItsTime(t *testing.T) {
	var l Learnt
	l.BootFailed("small", "x", time.Time{}, noon)
	asked := noon.Add(30 * time.Second)
	l.Created(smallType, 1, asked.Add(90*time.Minute))
	l.BootFailed("small", "x", asked, asked.Add(100*time.Minute))
	assert.Equal(t, 2, l.Holdoffs[0].Times)
	l.BootFailed("small", "x", noon.Add(12*time.Hour), noon.Add(13*time.Hour))
	assert.Equal(t, 1, l.Holdoffs[0].Times, "one long after is the first again")
}

func TestWhatTheCloudTakesBackWhileItBootsIsNoImageThatFails(t *testing.T) {
	var l Learnt
	now := noon
	for _, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute} {
		l.Created(spotType, 1, now)
		l.TakenBack("spot", "terminated: spot", now, now.Add(time.Second))
		require.Len(t, l.Holdoffs, 1)
		assert.Equal(t, TakenBack, l.Holdoffs[0].Kind)
		assert.Equal(t, want, l.Holdoffs[0].Until.Sub(now.Add(time.Second)))
		now = l.Holdoffs[0].Until
	}
	l.BootFailed("spot", "boot timeout", now, now.Add(time.Minute))
	require.Len(t, l.Holdoffs, 2)
	assert.Equal(t, 1, l.Holdoffs[1].Times)
	l.Booted("spot")
	assert.Empty(t, l.Holdoffs)
}

func TestAQuotaOfAGroupRulesOutTheGroupAndNoMore(t *testing.T) {
	var l Learnt
	l.Created(smallType, 7, noon)
	l.QuotaExceeded(ScopeGroup, "standard", "VcpuLimitExceeded", noon)
	assert.Equal(t, Quota{Worked: 7}, l.Quota, "there may be as many of others")
	assert.Equal(t, []Holdoff{{Kind: OverQuota, Scope: ScopeGroup, Name: "standard", Until: noon.Add(time.Minute), Times: 1, Reason: "VcpuLimitExceeded"}}, l.Holdoffs)
	l.QuotaExceeded(ScopeGroup, "standard", "VcpuLimitExceeded", noon.Add(time.Minute))
	assert.Equal(t, noon.Add(3*time.Minute), l.Holdoffs[0].Until)
	l.Created(largeType, 8, noon)
	assert.Empty(t, l.Holdoffs, "one of the same group is proof")
}

func TestWhatBootsHaveTaughtSurvivesJSONAndAPersonForgets(t *testing.T) {
	var l, got Learnt
	l.BootFailed("small", "x", time.Time{}, noon)
	l.TakenBack("spot", "x", time.Time{}, noon)
	data, err := json.Marshal(l)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &got))
	assert.Equal(t, l, got)
	l.Forget(noon.Add(time.Minute + time.Microsecond))
	assert.Empty(t, l.Holdoffs)
	l.BootFailed("small", "x", noon, noon.Add(10*time.Minute))
	assert.Empty(t, l.Holdoffs, "it was asked for when the spec was another")
	l.BootFailed("small", "x", noon.Add(time.Minute), noon.Add(10*time.Minute))
	assert.Len(t, l.Holdoffs, 1)
}

func TestReasonsAreOneLine(t *testing.T) {
	var l Learnt
	l.BootFailed("small", "boot timeout\n  console output: kernel panic\n", time.Time{}, noon)
	assert.Equal(t, "boot timeout console output: kernel panic", l.Holdoffs[0].Reason)
}

// noBoot has the type fail to boot so many times in a row, the last time then.
func noBoot(typ string, times int, last time.Time) func(*Learnt) {
	return func(l *Learnt) {
		for k := range times {
			l.BootFailed(typ, "connection refused", time.Time{}, last.Add(time.Duration(k+1-times)*90*time.Minute))
		}
	}
}

func TestBuyingWhatDoesNotBoot(t *testing.T) {
	many := func(l *Limits) { l.CreateConcurrency, l.MaxPriceFactor = 5, 10 }
	ago := noon.Add(-time.Minute)
	runPlans(t, []planCase{
		{"it is held off",
			fleet().learnt(noBoot("small", 1, noon)).queue(two, "q"), "wake 12:00:30"},
		{"the next cheapest that fits is bought meanwhile",
			fleet().limits(many).learnt(noBoot("small", 1, noon)).queue(two, "q"), "q awaits new 0, create arm"},
		{"then one is tried, and not as many as wait",
			fleet().limits(func(l *Limits) { l.CreateConcurrency = 5 }).learnt(noBoot("small", 1, ago)).queue(two, "q1 q2 q3"),
			"q1 awaits new 0, create small"},
		{"until it is up, though it is created",
			fleet().learnt(noBoot("small", 1, ago)).add(Booting, "small", "b").queue(two, "q1 q2"), "q1 awaits b"},
		{"the next cheapest that fits is bought beside it",
			fleet().limits(many).learnt(noBoot("small", 1, ago)).add(Booting, "small", "b").queue(two, "q1 q2"),
			"q1 awaits b, q2 awaits new 0, create arm"},
		{"one that is kept as it is by a person tells nothing",
			fleet().learnt(noBoot("small", 1, ago)).add(Parked, "small", "b").queue(two, "q"), "q awaits new 0, create small"},
		{"after a capacity error one that is created is proof enough",
			fleet().learnt(func(l *Learnt) { l.CapacityRefused(ScopeType, "small", "x", ago) }).add(Booting, "small", "b").queue(two, "q1 q2"),
			"q1 awaits b, q2 awaits new 0, create small"},
		{"nor is it bought to be kept warm",
			fleet().limits(func(l *Limits) { l.MinIdle = 2 }).learnt(noBoot("small", 1, ago)), "create small, create arm"},
		{"what may exist although creating it failed is waited for",
			fleet().learnt(func(l *Learnt) { l.CreateFailed("small", "timeout", false, ago) }).doubtful("small", "d").queue(two, "q"), ""},
		{"but not when it is of another type",
			fleet().learnt(func(l *Learnt) { l.CreateFailed("small", "timeout", false, ago) }).doubtful("large", "d").queue(two, "q"),
			"q awaits new 0, create small"},
		{"a quota of a group leaves the others",
			fleet().limits(many).learnt(func(l *Learnt) { l.QuotaExceeded(ScopeGroup, "standard", "x", noon) }).
				up("large", "a").runs("a", eight, "r").queue(two, "q1 q2"),
			"q1 awaits new 0, q2 awaits new 1, create arm, create arm"},
	})
}

func TestStatusOfWhatWaitsForATypeThatDoesNotBoot(t *testing.T) {
	ago := noon.Add(-5 * time.Minute)
	cases := []struct {
		name  string
		world *world // says something of container q
		want  string
	}{
		{"once", fleet().learnt(noBoot("small", 1, noon)).queue(two, "q"),
			"queue position 1: small does not boot: connection refused (failed once, next try at 12:00:30)"},
		{"several times", fleet().learnt(noBoot("small", 3, noon)).queue(two, "q"),
			"queue position 1: small does not boot: connection refused (failed 3 times in a row, next try at 12:02:00)"},
		{"all that fit", fleet().learnt(noBoot("small", 1, noon)).learnt(noBoot("spot", 1, noon)).queue(spot, "q"),
			"queue position 1: spot does not boot: connection refused (failed once, next try at 12:00:30), " +
				"small does not boot: connection refused (failed once, next try at 12:00:30)"},
		{"the next one is bought", fleet().learnt(noBoot("small", 3, ago)).queue(two, "q"),
			"waiting for a small instance to boot; small has failed to boot 3 times in a row: connection refused"},
		{"the next one boots", fleet().learnt(noBoot("small", 1, ago)).add(Booting, "small", "b").assigned("b", two, "q"),
			"waiting for a small instance to boot; small has failed to boot once: connection refused"},
		{"and this one waits for that", fleet().learnt(noBoot("small", 1, ago)).add(Booting, "small", "b").assigned("b", two, "x").queue(two, "q"),
			"queue position 1: one instance is tried first, since small has failed to boot once: connection refused"},
		{"another type boots", fleet().learnt(noBoot("small", 1, noon)).add(Booting, "large", "b").assigned("b", four, "q"),
			"waiting for a large instance to boot"},
		{"taken back", fleet().learnt(func(l *Learnt) { l.TakenBack("small", "no capacity", noon, noon) }).queue(two, "q"),
			"queue position 1: the cloud takes small back before it is up: no capacity (once, next try at 12:01:00)"},
		{"taken back, the next one boots",
			fleet().learnt(func(l *Learnt) { l.TakenBack("small", "no capacity", ago, ago) }).add(Booting, "small", "b").assigned("b", two, "q"),
			"waiting for a small instance to boot; the cloud has taken small back once: no capacity"},
		{"creating one failed, and is tried again",
			fleet().learnt(func(l *Learnt) { l.CreateFailed("small", "InternalError", false, ago) }).add(Creating, "small", "c").assigned("c", two, "q"),
			"waiting for a small instance to boot; creating small failed: InternalError"},
		{"but this one has been created",
			fleet().learnt(func(l *Learnt) { l.CreateFailed("small", "InternalError", false, noon) }).add(Booting, "small", "b").assigned("b", two, "q"),
			"waiting for a small instance to boot"},
		{"one may exist, though creating it failed",
			fleet().learnt(func(l *Learnt) { l.CreateFailed("small", "timeout", false, ago) }).doubtful("small", "d").queue(two, "q"),
			"queue position 1: one instance is tried first, since creating small failed: timeout"},
		{"quota of a group", fleet().learnt(func(l *Learnt) { l.QuotaExceeded(ScopeGroup, "standard", "VcpuLimitExceeded", noon) }).queue(two, "q"),
			"queue position 1: the quota of group standard is used up: VcpuLimitExceeded (next try at 12:01:00)"},
		{"quota of a group, and one is tried", fleet().learnt(func(l *Learnt) { l.QuotaExceeded(ScopeGroup, "standard", "VcpuLimitExceeded", ago) }).queue(two, "x q"),
			"queue position 1: one instance is tried first, since the quota of group standard was used up (VcpuLimitExceeded)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := Decide(&c.world.World)
			assert.Equal(t, c.want, d.Status("q"))
		})
	}
}

func TestOverTimeATypeThatNeverBootsCostsLittleAndIsFoundWhenItDoes(t *testing.T) {
	s := newSim(t, fleet().limits(full(10)), 20, lasting)
	s.unbootable = true
	s.submit(two, 0, 100)
	for s.w.Now.Before(noon.Add(24 * time.Hour)) {
		s.step()
		if s.w.Now.After(noon.Add(2 * time.Minute)) {
			require.LessOrEqual(t, len(s.w.Instances), 1, "one at a time")
		}
	}
	assert.LessOrEqual(t, s.bought, 10+7+24, "as many as there may be, then one, each after a longer time, then one an hour")
	assert.GreaterOrEqual(t, s.bought, 24)
	s.unbootable = false
	mended := s.w.Now
	for s.w.Now.Before(mended.Add(3 * time.Hour)) {
		s.step()
	}
	assert.Len(t, s.ran, 100)
}
