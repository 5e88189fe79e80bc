package schedule

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// weather is a cloud in which everything goes wrong for a while, and a fleet in it that
// decides, as the Fleet workflow does, upon news and when Decide asked to be woken. It
// goes from event to event: nothing happens to the fleet between them.
type weather struct {
	t      *rapid.T
	w      *World
	events []event
	seq    int
	wake   time.Time
	keep   []string

	quotas []change            // of how many instances the cloud allows
	none   map[string][]change // of capacity, by type, group and "" for everything
	tokens float64             // for create requests
	filled time.Time

	lasts     map[string]time.Duration // of containers
	ran       map[string]bool          // instances on which something ran
	asked     map[string]time.Time     // when instances were asked for
	bought    int                      // creations asked for
	failures  int                      // creations refused, instances that failed or were lost
	dropped   int                      // instances shut down for others before anything ran on them
	submitted int
}

// event is something that happens to the fleet at a time.
type event struct {
	at   time.Time
	seq  int
	what func()
}

// change is a value from a time on.
type change struct {
	from time.Time
	to   int
}

// valueAt returns what the changes have led to.
func valueAt(cs []change, now time.Time, value int) int {
	for _, c := range cs {
		if !c.from.After(now) {
			value = c.to
		}
	}
	return value
}

const (
	stormy    = 20 * time.Minute // from noon on, things go wrong
	patience  = 8 * time.Hour    // by then everything has ended
	perSecond = 2.0              // create requests that the cloud takes
	burst     = 5.0              // create requests that it takes at once
)

func (c *weather) seconds(label string, low, high int) time.Duration {
	return time.Duration(rapid.IntRange(low, high).Draw(c.t, label)) * time.Second
}

func (c *weather) after(d time.Duration, what func()) {
	c.seq++
	c.events = append(c.events, event{at: c.w.Now.Add(d), seq: c.seq, what: what})
}

// drawWeather draws a fleet, what the cloud will be like, and what is submitted when.
func drawWeather(t *rapid.T) *weather {
	n := func(label string, low, high int) int { return rapid.IntRange(low, high).Draw(t, label) }
	w := fleet()
	w.Limits = Limits{MaxInstances: n("max instances", 1, 6), MaxContainersPerInstance: n("max containers", 0, 3),
		MaxPriceFactor: float64(n("price factor", 0, 3)), CreateConcurrency: n("create concurrency", 1, 5),
		OnDemandFallback: rapid.Bool().Draw(t, "on-demand fallback"), MinIdle: n("min idle", 0, 4) / 3}
	w.Learnt = NewLearnt(n("estimate", -3, 5))
	c := &weather{t: t, w: &w.World, none: map[string][]change{}, tokens: burst, filled: noon,
		lasts: map[string]time.Duration{}, ran: map[string]bool{}, asked: map[string]time.Time{}}
	for range n("changes of the quota", 0, 3) {
		c.quotas = append(c.quotas, change{noon.Add(c.seconds("from", 0, 1200)), n("quota", 0, 5)})
	}
	slices.SortFunc(c.quotas, func(a, b change) int { return a.from.Compare(b.from) })
	c.quotas = append(c.quotas, change{noon.Add(stormy), n("quota at last", 1, 6)})
	for range n("shortages", 0, 4) {
		of := rapid.SampledFrom([]string{"", "standard", "spot", "small", "large", "arm"}).Draw(t, "of")
		from := noon.Add(c.seconds("from", 0, 900))
		c.none[of] = append(c.none[of], change{from, 1}, change{from.Add(c.seconds("for", 1, 300)), 0})
	}
	for range n("submissions", 1, 25) {
		shape := rapid.SampledFrom([]int{one, two, four, spot, arm, gpu, huge, fat, none, eight}).Draw(t, "shape")
		priority, lasts := n("priority", 0, 2), c.seconds("lasts", 1, 600)
		c.after(c.seconds("submitted", 0, 1200), func() { c.submit(shape, priority, lasts) })
	}
	for range n("losses", 0, 3) {
		c.after(c.seconds("lost", 0, 1200), func() { c.lose(n("which", 0, 5)) })
	}
	for range n("changes of mind", 0, 5) {
		c.after(c.seconds("minded", 0, 1200), func() { c.prioritize(n("which", 0, 9), n("priority", -1, 3)) })
	}
	for range n("held instances", 0, 1) {
		c.after(c.seconds("held", 0, 1200), func() { c.hold(n("which", 0, 5), c.seconds("for", 1, 600)) })
	}
	c.after(stormy, func() {
		for i := range c.w.Containers {
			c.prioritize(i, max(c.w.Containers[i].Priority, 0))
		}
	})
	return c
}

// prioritize gives a container another priority, if there is such a container.
func (c *weather) prioritize(which, priority int) {
	if which < len(c.w.Containers) {
		c.w.Containers[which].Priority = priority
	}
}

// hold has somebody hold an instance for a while.
func (c *weather) hold(which int, lasts time.Duration) {
	if which >= len(c.w.Instances) || c.w.Instances[which].Phase != Up {
		return
	}
	name := c.w.Instances[which].Name
	c.w.Instances[which].Phase = Parked
	c.after(lasts, func() {
		if in := c.instance(name); in != nil && in.Phase == Parked {
			in.Phase = Up
			c.idle(name)
		}
	})
}

func (c *weather) submit(shape, priority int, lasts time.Duration) {
	c.submitted++
	id := fmt.Sprintf("c%02d", c.submitted)
	c.lasts[id] = lasts
	c.w.Containers = append(c.w.Containers, Container{ID: id, Shape: shape, Priority: priority, Order: int64(c.submitted)})
}

// instance returns an instance, or nil when it is gone.
func (c *weather) instance(name string) *Instance {
	i := slices.IndexFunc(c.w.Instances, func(in Instance) bool { return in.Name == name })
	if i < 0 {
		return nil
	}
	return &c.w.Instances[i]
}

// gone takes an instance away. What was on it is queued again in its old place.
func (c *weather) gone(name string) {
	c.w.Instances = slices.DeleteFunc(c.w.Instances, func(in Instance) bool { return in.Name == name })
	for i := range c.w.Containers {
		if o := &c.w.Containers[i]; o.Instance == name {
			o.Instance, o.Binding = "", Queued
		}
	}
}

func (c *weather) lose(which int) {
	if which < len(c.w.Instances) && c.w.Instances[which].Phase != Creating {
		if in := c.w.Instances[which]; in.Phase == Booting {
			c.w.Learnt.TakenBack(in.Type, "taken", c.asked[in.Name], c.w.Now)
		}
		c.failures++
		c.gone(c.w.Instances[which].Name)
	}
}

func (c *weather) alive() int {
	n := 0
	for _, in := range c.w.Instances {
		if in.Phase != Creating {
			n++
		}
	}
	return n
}

// create is the cloud's answer to a create request.
func (c *weather) create(name string) {
	in := c.instance(name)
	typ := c.w.Types[slices.IndexFunc(c.w.Types, func(t InstanceType) bool { return t.Name == in.Type })]
	l, now := &c.w.Learnt, c.w.Now
	c.tokens, c.filled = min(burst, c.tokens+perSecond*now.Sub(c.filled).Seconds()), now
	storm := now.Before(noon.Add(stormy))
	luck := 0
	if storm {
		luck = rapid.IntRange(0, 19).Draw(c.t, "luck")
	}
	for _, of := range []struct {
		scope Scope
		name  string
	}{{ScopeAll, ""}, {ScopeGroup, typ.Group}, {ScopeType, typ.Name}} {
		if valueAt(c.none[of.name], now, 0) == 1 && (of.name != "" || of.scope == ScopeAll) {
			l.CapacityRefused(of.scope, of.name, "none", now)
			c.refuse(name)
			return
		}
	}
	switch {
	case c.tokens < 1:
		l.RateLimited(time.Time{}, now.Add(time.Second), now)
	case luck == 19:
		l.CreateFailed("", "AuthFailure", true, now)
	case luck == 18:
		l.CreateFailed(typ.Name, "InternalError", false, now)
	case luck == 17: // the answer is lost, and what there may be is destroyed
		l.CreateFailed(typ.Name, "timeout", false, now)
		c.failures++
		in.Doubtful = true
		c.leave(name)
		return
	case c.alive() >= valueAt(c.quotas, now, 6):
		l.QuotaRefused(c.alive(), now)
	default:
		c.tokens--
		in.Phase = Booting
		l.Created(typ, c.alive(), now)
		l.Passed(time.Time{}, now)
		c.after(c.seconds("boot", 5, 90), func() { c.up(name, luck == 16) })
		return
	}
	c.refuse(name)
}

func (c *weather) refuse(name string) {
	c.failures++
	c.gone(name)
}

// up is the end of a boot.
func (c *weather) up(name string, fails bool) {
	switch in := c.instance(name); {
	case in == nil:
	case fails:
		c.w.Learnt.BootFailed(in.Type, "boot timeout", c.asked[name], c.w.Now)
		c.refuse(name)
	case in.Phase == Booting:
		in.Phase = Up
		c.w.Learnt.Booted(in.Type)
		c.idle(name)
	}
}

// idle begins an instance's idle timeout, after which it leaves unless it is kept.
func (c *weather) idle(name string) {
	since := c.w.Now
	c.instance(name).IdleSince = since
	c.after(simIdle, func() {
		if in := c.instance(name); in != nil && in.Phase == Up && in.IdleSince.Equal(since) && !c.busy(name) {
			if slices.Contains(c.keep, name) {
				c.idle(name)
				return
			}
			c.leave(name)
		}
	})
}

func (c *weather) busy(name string) bool {
	return slices.ContainsFunc(c.w.Containers, func(o Container) bool { return o.Instance == name && o.Binding == Running })
}

func (c *weather) leave(name string) {
	c.instance(name).Phase = Leaving
	c.after(c.seconds("shutdown", 1, 30), func() { c.gone(name) })
}

// end ends a container that still runs where it was started.
func (c *weather) end(id, on string) {
	i := slices.IndexFunc(c.w.Containers, func(o Container) bool { return o.ID == id && o.Instance == on && o.Binding == Running })
	if i < 0 {
		return
	}
	c.w.Containers = slices.Delete(c.w.Containers, i, i+1)
	if !c.busy(on) && c.instance(on).Phase == Up {
		c.idle(on)
	}
}

// next lets the next thing happen, and has the fleet decide. It returns false when
// nothing ever happens any more.
func (c *weather) next() bool {
	first := -1
	for i, e := range c.events {
		if first < 0 || e.at.Before(c.events[first].at) || e.at.Equal(c.events[first].at) && e.seq < c.events[first].seq {
			first = i
		}
	}
	wakes := !c.wake.IsZero() && (first < 0 || c.wake.Before(c.events[first].at))
	switch {
	case wakes:
		require.True(c.t, c.wake.After(c.w.Now), "woken for nothing at %v", c.wake)
		c.w.Now = c.wake
	case first < 0:
		return false
	default:
		e := c.events[first]
		c.events = slices.Delete(c.events, first, first+1)
		c.w.Now = e.at
		e.what()
	}
	c.decide()
	return true
}

// decide decides, holds the decision against the rules, and carries it out.
func (c *weather) decide() {
	d := Decide(c.w)
	checkDecision(c.t, c.w, &d)
	c.wake, c.keep = d.Wake, d.Keep
	names := make([]string, len(d.Create))
	for i, n := range d.Create {
		c.bought++
		names[i] = fmt.Sprintf("i%04d", c.bought)
		c.asked[names[i]] = c.w.Now
		c.w.Instances = append(c.w.Instances, Instance{Name: names[i], Type: n.Type, Phase: Creating})
		c.after(c.seconds("answer", 1, 3), func() { c.create(names[i]) })
	}
	for i := range c.w.Containers {
		if o := &c.w.Containers[i]; o.Binding == Assigned {
			o.Instance, o.Binding = "", Queued
		}
	}
	for _, r := range d.Reserve {
		o := &c.w.Containers[r.Index]
		if o.Instance, o.Binding = r.Instance, Assigned; r.Creation >= 0 {
			o.Instance = names[r.Creation]
		}
	}
	for _, a := range d.Assign {
		o := &c.w.Containers[a.Index]
		o.Instance, o.Binding = a.Instance, Running
		c.ran[a.Instance] = true
		c.after(c.lasts[o.ID], func() { c.end(a.Container, a.Instance) })
	}
	for _, name := range d.ShutDown {
		if !c.ran[name] {
			c.dropped++
		}
		c.leave(name)
	}
}

// waiting returns what could run and has not ended.
func (c *weather) waiting() []string {
	var out []string
	for _, o := range c.w.Containers {
		if Check(c.w.Shapes[o.Shape], c.w.Types) == nil {
			out = append(out, o.ID)
		}
	}
	return out
}

// over reports whether nothing is left to be done.
func (c *weather) over() bool {
	return c.w.Now.After(noon.Add(stormy)) && len(c.waiting()) == 0 && len(c.w.Instances) <= c.w.Limits.MinIdle
}
