package schedule

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHoldoffsGrowAsRefusalsRepeat(t *testing.T) {
	cases := []struct {
		name   string
		refuse func(l *Learnt, now time.Time)
		want   []time.Duration
	}{
		{"capacity", func(l *Learnt, now time.Time) { l.CapacityRefused(ScopeType, "small", "x", now) },
			[]time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute}},
		{"failures", func(l *Learnt, now time.Time) { l.CreateFailed("small", "x", false, now) },
			[]time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second}},
		{"denials", func(l *Learnt, now time.Time) { l.CreateFailed("", "x", true, now) },
			[]time.Duration{10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, time.Hour}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var l Learnt
			now := noon
			for i, want := range c.want {
				c.refuse(&l, now)
				c.refuse(&l, now.Add(time.Second)) // of the same burst
				require.Len(t, l.Holdoffs, 1)
				assert.Equal(t, want, l.Holdoffs[0].Until.Sub(now), "refusal %d", i+1)
				now = l.Holdoffs[0].Until
			}
			c.refuse(&l, now.Add(3*time.Hour))
			assert.Equal(t, c.want[0], l.Holdoffs[0].Until.Sub(now.Add(3*time.Hour)), "one long after is the first again")
		})
	}
}

func TestQuotaIsTriedLessOftenAsItIsRefused(t *testing.T) {
	var l Learnt
	l.Created(smallType, 5, noon)
	now := noon
	for i, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		l.QuotaRefused(5, now)
		assert.Equal(t, Quota{Worked: 5, Limited: true, Level: 5, Refused: 5, Again: i + 1, Next: now.Add(want), Times: i + 1}, l.Quota)
		l.QuotaRefused(5, now) // of the same burst
		assert.Equal(t, now.Add(want), l.Quota.Next)
		now = l.Quota.Next
	}
	l.QuotaRefused(3, now)
	assert.Equal(t, now.Add(time.Minute), l.Quota.Next, "more has worked, so it may soon again")
	for _, want := range []time.Duration{2 * time.Minute, 4 * time.Minute} {
		now = l.Quota.Next
		l.QuotaRefused(3, now)
		assert.Equal(t, now.Add(want), l.Quota.Next, "but less often as that is refused, too")
	}
	for range 3 {
		now = l.Quota.Next
		l.QuotaRefused(0, now)
		assert.Equal(t, now.Add(time.Minute), l.Quota.Next, "with none alive a minute")
	}
	assert.Equal(t, 5, l.Quota.Worked)
}

func TestAQuotaOfOneIsTriedLessOftenToo(t *testing.T) {
	var l Learnt
	l.Created(smallType, 1, noon)
	l.QuotaRefused(1, noon)
	l.QuotaRefused(1, l.Quota.Next)
	assert.Equal(t, noon.Add(3*time.Minute), l.Quota.Next)
}

func TestQuotaIsRaisedByWhatTheCloudAccepts(t *testing.T) {
	var l Learnt
	l.QuotaRefused(8, noon)
	l.Created(smallType, 7, noon)
	assert.Equal(t, 8, l.Quota.Refused, "there are fewer: the refusal stands for when there are as many")
	l.Created(smallType, 8, noon)
	assert.Equal(t, Quota{Worked: 8, Limited: true, Level: 8, Next: noon.Add(time.Minute), Times: 1}, l.Quota)
	l.Created(smallType, 9, noon)
	assert.Equal(t, Quota{Worked: 9, Limited: true, Level: 9}, l.Quota)
}

func TestWithoutAQuotaNothingIsLimited(t *testing.T) {
	var l Learnt
	l.Created(smallType, 7, noon)
	assert.Equal(t, Quota{Worked: 7}, l.Quota)
	assert.Equal(t, Learnt{}, NewLearnt(0))
	assert.Equal(t, Quota{Limited: true, Level: 4}, NewLearnt(4).Quota)
}

func TestSuccessEndsTheHoldoffsThatItDisproves(t *testing.T) {
	var l Learnt
	l.CapacityRefused(ScopeType, "small", "x", noon)
	l.CapacityRefused(ScopeType, "large", "x", noon)
	l.CapacityRefused(ScopeGroup, "standard", "x", noon)
	l.CapacityRefused(ScopeGroup, "spot", "x", noon)
	l.CapacityRefused("whatever", "ignored", "x", noon)
	l.CreateFailed("small", "x", false, noon)
	l.CreateFailed("", "x", true, noon)
	require.Len(t, l.Holdoffs, 7)
	l.Created(smallType, 1, noon)
	require.Len(t, l.Holdoffs, 2)
	assert.Equal(t, "large", l.Holdoffs[0].Name)
	assert.Equal(t, "spot", l.Holdoffs[1].Name)
	l.Created(smallType, 1, noon.Add(time.Hour))
	assert.Empty(t, l.Holdoffs, "those that are long over are dropped")
}

func TestAGroupRulesOutTheTypesThatNameIt(t *testing.T) {
	for _, c := range []struct {
		name      string
		typ       InstanceType
		scope     Scope
		wantScope Scope
		wantName  string
	}{
		{"the type", smallType, ScopeType, ScopeType, "small"},
		{"no scope", smallType, "", ScopeAll, ""},
		{"its group", smallType, ScopeGroup, ScopeGroup, "standard"},
		{"a group that the type doesn't name", armType, ScopeGroup, ScopeType, "arm"},
		{"everything", smallType, ScopeAll, ScopeAll, ""},
		{"what is not known", smallType, "zone", ScopeAll, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			scope, name := c.typ.RuledOut(c.scope)
			assert.Equal(t, c.wantScope, scope)
			assert.Equal(t, c.wantName, name)
		})
	}
}

func TestAGroupWithoutANameIsEverything(t *testing.T) {
	var l Learnt
	l.CapacityRefused(ScopeGroup, "", "x", noon)
	assert.Equal(t, ScopeAll, l.Holdoffs[0].Scope)
	assert.True(t, l.Holdoffs[0].covers(&smallType))
}

func TestAFailureThatTurnsOutToBePermanentCountsAtOnce(t *testing.T) {
	var l Learnt
	l.CreateFailed("small", "InternalError", false, noon)
	l.CreateFailed("small", "UnknownImage", true, noon.Add(time.Second))
	assert.Equal(t, []Holdoff{{Kind: Denied, Scope: ScopeType, Name: "small", Reason: "UnknownImage", Times: 1,
		Until: noon.Add(time.Second + 10*time.Minute)}}, l.Holdoffs)
}

func TestABurstSaysItsLastReason(t *testing.T) {
	var l Learnt
	l.CapacityRefused(ScopeAll, "", "first", noon)
	l.CapacityRefused(ScopeAll, "", "last", noon)
	assert.Equal(t, "last", l.Holdoffs[0].Reason)
}

func TestTheLatestRateLimitHolds(t *testing.T) {
	var l Learnt
	l.RateLimited(noon, noon, noon)
	l.RateLimited(noon, noon.Add(-time.Second), noon)
	assert.Equal(t, noon, l.RateLimitedUntil)
}

func TestForgetKeepsTheQuotaOnly(t *testing.T) {
	l := NewLearnt(3)
	l.RateLimited(noon, noon, noon)
	l.CreateFailed("", "x", true, noon)
	l.Forget(noon)
	want := NewLearnt(3)
	want.Forgot = noon
	assert.Equal(t, want, l)
}

func TestLearntSurvivesJSON(t *testing.T) {
	var l, got Learnt
	data, err := json.Marshal(l)
	require.NoError(t, err)
	assert.Equal(t, "{}", string(data))
	l.Created(smallType, 2, noon)
	l.QuotaRefused(2, noon)
	l.CapacityRefused(ScopeGroup, "standard", "x", noon)
	l.RateLimited(noon, noon, noon)
	data, err = json.Marshal(l)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &got))
	assert.Equal(t, l, got)
}

func TestLearntStaysSmall(t *testing.T) {
	var l Learnt
	for i := range 1000 {
		now := noon.Add(time.Duration(i) * time.Hour)
		l.CapacityRefused(ScopeType, strings.Repeat("t", 1+i%500), strings.Repeat("é", 1000), now)
	}
	data, err := json.Marshal(l)
	require.NoError(t, err)
	assert.Less(t, len(data), 2000)
	assert.True(t, utf8.ValidString(l.Holdoffs[0].Reason))
	assert.True(t, strings.HasSuffix(l.Holdoffs[0].Reason, "é…"))
}
