package schedule

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
)

// checkCreations sees that no limit is passed, that nothing is bought which is held
// off, and nothing without need.
func (l *ledger) checkCreations() {
	n, q := len(l.d.Create), &l.w.Learnt.Quota
	if n == 0 {
		return
	}
	creating := 0
	for _, in := range l.w.Instances {
		if in.Phase == Creating {
			creating++
		}
	}
	limits, total := &l.w.Limits, len(l.w.Instances)+n
	require.False(l.t, l.w.Learnt.RateLimitedUntil.After(l.w.Now), "rate limit")
	require.True(l.t, limits.MaxInstances == 0 || total <= limits.MaxInstances, "max_instances")
	require.True(l.t, limits.CreateConcurrency == 0 || creating+n <= limits.CreateConcurrency, "create_concurrency")
	pace := l.w.Learnt.Pace.Window
	require.True(l.t, pace <= 0 || creating+n <= pace, "the pace that the rate limit allows")
	more := q.Worked > q.Refused && !q.Next.After(l.w.Now) && creating+n == 1 // may be tried
	if q.Refused > 0 && !more {
		require.Less(l.t, len(l.w.Instances)-creating, q.Refused, "quota")
		require.LessOrEqual(l.t, total, q.Refused, "quota")
	} else if q.Limited && total > q.Level {
		require.Equal(l.t, 1, creating+n, "beyond the level one at a time")
		require.False(l.t, q.Next.After(l.w.Now), "not before its time")
	}
	l.checkTrials()
	empty := 0
	for i, c := range l.d.Create {
		for _, h := range l.w.Learnt.Holdoffs {
			require.False(l.t, h.covers(l.typeNamed(c.Type)) && h.Until.After(l.w.Now), "%s is held off", c.Type)
		}
		if on := l.on[len(l.w.Instances)+i]; len(on) == 0 {
			empty++
		} else {
			l.checkCheapest(on[0], l.typeNamed(c.Type))
		}
	}
	require.LessOrEqual(l.t, empty, limits.MinIdle, "bought for nothing")
}

// checkCheapest sees that what is bought for a container is the cheapest type that it
// may have now.
func (l *ledger) checkCheapest(c int, t *InstanceType) {
	for i := range l.w.Types {
		o := &l.w.Types[i]
		out := slices.ContainsFunc(l.w.Learnt.Holdoffs, func(h Holdoff) bool {
			before, now := l.tried(&h)
			return h.covers(o) && (h.Until.After(l.w.Now) || before+now > 0 && !h.forgotten(l.w.Now))
		})
		require.True(l.t, out || o.Price >= t.Price || !l.allowed(c, o), "%s is cheaper than %s", o.Name, t.Name)
	}
}

// tried counts the instances that will tell whether h still holds: those of before and
// those of this decision.
func (l *ledger) tried(h *Holdoff) (before, now int) {
	for _, in := range l.w.Instances {
		if t := l.typeNamed(in.Type); t != nil && h.covers(t) &&
			(in.Phase == Creating || in.Phase == Booting && (h.Kind == NoBoot || h.Kind == TakenBack) || in.Doubtful) {
			before++
		}
	}
	for _, c := range l.d.Create {
		if h.covers(l.typeNamed(c.Type)) {
			now++
		}
	}
	return before, now
}

// checkTrials sees that after a holdoff one instance is tried, until that has worked or
// it is long ago.
func (l *ledger) checkTrials() {
	for i := range l.w.Learnt.Holdoffs {
		h := &l.w.Learnt.Holdoffs[i]
		before, now := l.tried(h)
		require.True(l.t, now == 0 || h.forgotten(l.w.Now) || before+now == 1, "%v is tried %d times", h, before+now)
	}
}

// checkIdle sees that only idle instances are shut down, at a limit and for somebody,
// and that as many are warm as there should and can be.
func (l *ledger) checkIdle() {
	var waiting []int
	for _, c := range l.served {
		if l.place[c] < 0 && l.w.Containers[c].Priority >= 0 {
			waiting = append(waiting, c)
		}
	}
	for _, name := range l.d.ShutDown {
		on := l.instance(name)
		require.Equal(l.t, Up, l.w.Instances[on].Phase)
		require.Empty(l.t, l.on[on], "not idle")
		require.True(l.t, l.w.Limits.MaxInstances > 0 || l.w.Learnt.Quota.Limited, "no limit")
		require.True(l.t, slices.ContainsFunc(waiting, func(c int) bool {
			return !l.allowed(c, l.types[on]) && Check(l.w.Shapes[l.w.Containers[c].Shape], l.w.Types) == nil
		}), "for nobody")
		require.NotContains(l.t, l.d.Keep, name)
	}
	require.LessOrEqual(l.t, len(l.d.Keep), l.w.Limits.MinIdle)
	for _, name := range l.d.Keep {
		on := l.instance(name)
		require.Equal(l.t, Up, l.w.Instances[on].Phase)
		require.Empty(l.t, l.on[on], "not idle")
	}
	if len(waiting) == 0 {
		up := 0
		for on := range l.w.Instances {
			if l.isUp(on) && l.types[on] != nil && len(l.on[on]) == 0 {
				up++
			}
		}
		require.Len(l.t, l.d.Keep, min(up, l.w.Limits.MinIdle))
	}
}

// checkStatus sees that what waits says why, and that positions are those of the queue.
func (l *ledger) checkStatus() {
	position := 0
	for i := range l.w.Containers {
		require.Equal(l.t, l.w.Containers[i].Binding == Running, l.d.StatusAt(i) == "")
		require.Equal(l.t, l.d.StatusAt(i), l.d.Status(l.w.Containers[i].ID))
	}
	for _, c := range l.served {
		s := l.d.StatusAt(c)
		switch {
		case l.w.Containers[c].Priority < 0:
			require.True(l.t, strings.HasPrefix(s, "on hold: "), s)
		case l.place[c] < 0:
			position++
			require.True(l.t, strings.HasPrefix(s, fmt.Sprintf("queue position %d: ", position)), s)
			require.NotRegexp(l.t, `: *$`, s)
		case l.isUp(l.place[c]):
			require.Equal(l.t, "starting on "+l.w.Instances[l.place[c]].Name, s)
		default:
			before, after, _ := strings.Cut(s, "; ")
			require.Equal(l.t, "waiting for a "+l.types[l.place[c]].Name+" instance to boot", before)
			require.NotRegexp(l.t, `: *$`, after)
		}
	}
}
