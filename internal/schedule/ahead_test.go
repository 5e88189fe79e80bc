package schedule

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAhead(t *testing.T) {
	full := func() *world {
		return fleet().limits(func(l *Limits) { l.MaxInstances = 1 }).up("small", "a").runs("a", two, "x")
	}
	pair := func() *world {
		return fleet().limits(func(l *Limits) { l.MaxInstances = 1 }).up("small", "a").runs("a", one, "x y")
	}
	for name, c := range map[string]struct {
		w    *world
		want string
	}{
		"the first in the queue is sent ahead":    {full().short().queue(two, "b c"), "b on a after x, wake 12:00:05"},
		"by priority":                             {full().short().queue(two, "b").urgent(1, two, "c"), "c on a after x, wake 12:00:05"},
		"not where one before it needs more room": {pair().short().queue(two, "b").queue(one, "c"), ""},
		"after any of several":                    {pair().short().queue(one, "b"), "b on a after x or y, wake 12:00:05"},
		"not one that is on hold":                 {full().short().urgent(-1, two, "b"), ""},
		"not where the last one was long":         {full().queue(two, "b"), ""},
		"not where one runs for long": {func() *world {
			w := full().short().queue(two, "b")
			w.Containers[0].Since = w.Now.Add(-Brief)
			return w
		}(), ""},
		"one at a time":                       {full().short().next("a", two, "n", time.Second, 0).queue(two, "b"), "wake 12:00:04"},
		"not where an instance can be bought": {full().short().limits(func(l *Limits) { l.MaxInstances = 2 }).queue(two, "b"), "b awaits new 0, create small"},
		"not on one that takes nothing new":   {full().short().add(Leaving, "small", "z").limits(func(l *Limits) { l.MaxInstances = 2 }).queue(two, "b"), "b on a after x, wake 12:00:05"},
		"nor one that an instance is emptied for before one that waits for another": {full().short().add(Leaving, "small", "z").limits(func(l *Limits) { l.MaxInstances = 2 }).queue(two, "b c"), "b on a after x, wake 12:00:05"},
		"called back when it has waited for long":                                   {full().short().next("a", two, "n", Brief, 0), "call back n"},
		"called back when there is room":                                            {full().short().limits(func(l *Limits) { l.MaxInstances = 2 }).up("small", "b").next("a", two, "n", time.Second, 0), "call back n"},
		"only as many as there is room for": {fleet().limits(func(l *Limits) { l.MaxInstances = 3 }).up("small", "a", "b", "c").runs("a", two, "x").runs("b", two, "y").short().
			next("a", two, "m", time.Second, 0).next("b", two, "n", time.Second, 0), "call back n, wake 12:00:04"},
		"not for one that boots": {fleet().limits(func(l *Limits) { l.MaxInstances = 2 }).up("small", "a").runs("a", two, "x").short().
			add(Booting, "small", "b").next("a", two, "n", time.Second, 0), "wake 12:00:04"},
		"called back when it is held":                   {full().short().next("a", two, "n", time.Second, -1), "call back n"},
		"called back from one that leaves":              {fleet().add(Leaving, "small", "a").runs("a", two, "x").short().next("a", two, "n", time.Second, 0), "call back n"},
		"called back for one of a higher priority":      {full().short().next("a", two, "n", time.Second, 0).urgent(1, two, "b"), "call back n"},
		"not for one of the same priority":              {full().short().next("a", two, "n", time.Second, 1).urgent(1, two, "b"), "wake 12:00:04"},
		"not for one that would not fit into its place": {pair().short().next("a", one, "n", time.Second, 0).urgent(1, two, "b"), "wake 12:00:04"},
		"the last one is called back first": {fleet().limits(func(l *Limits) { l.MaxInstances = 2 }).up("small", "a", "b").runs("a", two, "x").runs("b", two, "y").short().
			next("a", two, "m", time.Second, 0).next("b", two, "n", time.Second, 0).urgent(1, two, "c"), "call back n, wake 12:00:04"},
		"it takes no room of its own": {fleet().limits(func(l *Limits) { l.MaxInstances = 1 }).up("small", "a").runs("a", one, "x").short().
			next("a", one, "n", time.Second, 0).queue(one, "b"), "b on a, wake 12:00:04"},
	} {
		t.Run(name, func(t *testing.T) {
			d := Decide(&c.w.World)
			assert.Equal(t, c.want, plan(&d))
			checkDecision(t, &c.w.World, &d)
		})
	}
}

// checkAhead sees that who is sent ahead waits, fits into the room of those whose end it
// awaits, has no other before it there, and overtakes nobody that would fit there as well.
func (l *ledger) checkAhead() {
	next := map[string]bool{}
	for _, c := range l.w.Containers {
		if c.Next {
			next[c.Instance] = true
		}
	}
	sent := map[int]bool{}
	for _, s := range l.d.Ahead {
		on := l.instance(s.Instance)
		require.False(l.t, next[s.Instance], "one at a time")
		require.True(l.t, l.isUp(on) && l.w.Instances[on].Brief && !slices.Contains(l.d.ShutDown, s.Instance))
		require.Equal(l.t, -1, l.place[s.Index])
		require.GreaterOrEqual(l.t, l.w.Containers[s.Index].Priority, 0)
		require.True(l.t, l.allowed(s.Index, l.types[on]))
		require.NotEmpty(l.t, s.After)
		for _, a := range s.After {
			require.True(l.t, l.canFollow(s.Index, a, s.Instance))
		}
		next[s.Instance], sent[s.Index] = true, true
		for _, c := range l.served {
			if c == s.Index {
				break
			}
			require.False(l.t, l.place[c] < 0 && !sent[c] && l.w.Containers[c].Priority >= 0 && l.allowed(c, l.types[on]) &&
				slices.ContainsFunc(s.After, func(after int) bool { return l.canFollow(c, after, s.Instance) }),
				"%s is overtaken", l.w.Containers[c].ID)
		}
	}
	for _, id := range l.d.CallBack {
		require.True(l.t, slices.ContainsFunc(l.w.Containers, func(c Container) bool { return c.ID == id && c.Next }))
	}
}

// canFollow reports whether a container fits into the room of one that is short, and runs on
// that instance or is placed there now.
func (l *ledger) canFollow(c, after int, on string) bool {
	a := &l.w.Containers[after]
	runs := a.Binding == Running && !a.Next && a.Instance == on && l.w.Now.Sub(a.Since) < Brief
	return (runs || l.place[after] >= 0 && l.place[after] == l.instance(on)) &&
		l.w.Shapes[l.w.Containers[c].Shape].within(&l.w.Shapes[a.Shape].Resources)
}
