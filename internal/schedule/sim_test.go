package schedule

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	simStep = 5 * time.Second
	simBoot = 30 * time.Second
	simIdle = time.Minute
)

// sim is a fleet and a cloud over time, in steps: what is asked for in one step is
// answered in the next.
type sim struct {
	t       *testing.T
	w       *World
	quota   int
	without string               // the type of which there is none, for a quota of its own
	started map[string]time.Time // of instances and containers
	lasts   func(c *Container) time.Duration
	serial  int
	bought  int                      // instances asked for
	refused int                      // by the cloud, so far
	ran     map[string]time.Duration // from the start of the simulation until it ran
	// follow is told how many containers end, before the fleet decides.
	follow func(n int)
	// unbootable has every boot fail.
	unbootable bool
	asked      map[string]time.Time
	// early has the fleet decide once more, before it hears that they have ended.
	early bool
}

func newSim(t *testing.T, w *world, quota int, lasts func(c *Container) time.Duration) *sim {
	return &sim{t: t, w: &w.World, quota: quota, lasts: lasts, started: map[string]time.Time{}, ran: map[string]time.Duration{}, asked: map[string]time.Time{}}
}

// step lets time pass, and decides.
func (s *sim) step() {
	s.w.Now = s.w.Now.Add(simStep)
	s.answer()
	ended := s.over()
	if s.follow != nil {
		s.follow(len(ended))
	}
	if s.early {
		s.decide()
	}
	s.w.Containers = slices.DeleteFunc(s.w.Containers, func(c Container) bool { return ended[c.ID] })
	s.decide()
}

// decide decides, and carries that out.
func (s *sim) decide() {
	d := Decide(s.w)
	for _, a := range d.Assign {
		c := &s.w.Containers[a.Index]
		c.Instance, c.Binding = a.Instance, Running
		s.started[c.ID] = s.w.Now
		s.ran[c.ID] = s.w.Now.Sub(noon)
	}
	names := make([]string, len(d.Create))
	for i, c := range d.Create {
		s.serial++
		s.bought++
		names[i] = fmt.Sprintf("i%04d", s.serial)
		s.asked[names[i]] = s.w.Now
		s.w.Instances = append(s.w.Instances, Instance{Name: names[i], Type: c.Type, Phase: Creating})
	}
	for i := range s.w.Containers {
		if c := &s.w.Containers[i]; c.Binding == Assigned {
			c.Instance, c.Binding = "", Queued
		}
	}
	for _, r := range d.Reserve {
		c := &s.w.Containers[r.Index]
		if c.Instance, c.Binding = r.Instance, Assigned; r.Creation >= 0 {
			c.Instance = names[r.Creation]
		}
	}
	for _, name := range d.ShutDown {
		s.instance(name).Phase = Leaving
	}
}

func (s *sim) instance(name string) *Instance {
	for i := range s.w.Instances {
		if s.w.Instances[i].Name == name {
			return &s.w.Instances[i]
		}
	}
	s.t.Fatalf("no instance %s", name)
	return nil
}

// answer is what the cloud does: it accepts, refuses, boots and ends instances.
func (s *sim) answer() {
	busy := map[string]bool{}
	for _, c := range s.w.Containers {
		busy[c.Instance] = true
	}
	alive := s.alive()
	var left []Instance
	for _, in := range s.w.Instances {
		switch {
		case in.Phase == Creating && in.Type == s.without:
			s.refused++
			s.w.Learnt.QuotaRefused(alive, s.w.Now)
			s.w.Learnt.CapacityRefused(ScopeType, in.Type, "VcpuLimitExceeded", s.w.Now)
			continue
		case in.Phase == Creating && alive >= s.quota:
			s.refused++
			s.w.Learnt.QuotaRefused(alive, s.w.Now)
			continue
		case in.Phase == Creating:
			alive++
			in.Phase, s.started[in.Name] = Booting, s.w.Now
			s.w.Learnt.Created(smallType, alive, s.w.Now)
		case in.Phase == Booting && s.w.Now.Sub(s.started[in.Name]) >= simBoot && s.unbootable:
			s.w.Learnt.BootFailed(in.Type, "boot timeout", s.asked[in.Name], s.w.Now)
			continue
		case in.Phase == Booting && s.w.Now.Sub(s.started[in.Name]) >= simBoot:
			in.Phase, in.IdleSince = Up, s.w.Now
			s.w.Learnt.Booted(in.Type)
		case in.Phase == Leaving, in.Phase == Up && !busy[in.Name] && s.w.Now.Sub(in.IdleSince) >= simIdle:
			continue
		case busy[in.Name]:
			in.IdleSince = s.w.Now
		}
		left = append(left, in)
	}
	s.w.Instances = left
}

func (s *sim) alive() int {
	n := 0
	for _, in := range s.w.Instances {
		if in.Phase != Creating {
			n++
		}
	}
	return n
}

// over returns the containers that end now.
func (s *sim) over() map[string]bool {
	ended := map[string]bool{}
	for _, c := range s.w.Containers {
		if c.Binding == Running && s.w.Now.Sub(s.started[c.ID]) >= s.lasts(&c) {
			ended[c.ID] = true
		}
	}
	return ended
}

func (s *sim) submit(shape, priority, n int) {
	for range n {
		s.serial++
		s.w.Containers = append(s.w.Containers, Container{ID: fmt.Sprintf("c%04d", s.serial), Shape: shape,
			Priority: priority, Order: int64(s.serial)})
	}
}

// lasting gives containers different durations around five minutes.
func lasting(c *Container) time.Duration {
	return 3*time.Minute + time.Duration(c.Order*37%240)*time.Second
}

func TestOverTimeTheQuotaIsFoundAndKept(t *testing.T) {
	s := newSim(t, fleet().limits(func(l *Limits) { l.CreateConcurrency = 5 }), 10, lasting)
	s.submit(two, 0, 300)
	for s.w.Now.Before(noon.Add(2 * time.Minute)) {
		s.step()
	}
	assert.Equal(t, 10, s.alive(), "the quota is used")
	assert.LessOrEqual(t, s.refused, 5, "one burst was refused")
	found := s.refused
	for s.w.Now.Before(noon.Add(30 * time.Minute)) {
		s.step()
		require.Equal(t, 10, s.alive(), "neither refusal nor retreat")
	}
	assert.Equal(t, found, s.refused)

	s.quota = 13
	s.w.Instances = s.w.Instances[1:] // the cloud took one back
	s.submit(two, 0, 100)
	for s.w.Now.Before(noon.Add(40 * time.Minute)) {
		s.step()
		require.GreaterOrEqual(t, s.alive(), 9)
	}
	assert.Equal(t, 13, s.alive(), "the raised quota is found")
	assert.Equal(t, found+1, s.refused, "by one at a time")
}

func TestOverTimeALossyFleetAtQuotaAsksSeldom(t *testing.T) {
	s := newSim(t, fleet().limits(func(l *Limits) { l.CreateConcurrency = 10 }), 10, lasting)
	s.submit(two, 0, 1500)
	for i := 0; s.w.Now.Before(noon.Add(3 * time.Hour)); i++ {
		s.step()
		if i > 24 && i%12 == 0 { // every minute one instance is lost
			s.w.Instances = s.w.Instances[1:]
		}
	}
	assert.LessOrEqual(t, s.refused, 20, "of 2,160 decisions")
	assert.GreaterOrEqual(t, s.alive(), 9)
}

func TestOverTimeAnEstimateSparesTheFirstRefusals(t *testing.T) {
	w := fleet().limits(func(l *Limits) { l.CreateConcurrency = 20 }).learnt(func(l *Learnt) { *l = NewLearnt(8) })
	s := newSim(t, w, 10, lasting)
	s.submit(two, 0, 100)
	s.step()
	assert.Len(t, s.w.Instances, 8)
	for s.w.Now.Before(noon.Add(2 * time.Minute)) {
		s.step()
	}
	assert.Equal(t, 10, s.alive())
	assert.Equal(t, 1, s.refused)
}

func TestOverTimeAHigherPriorityIsNotStarvedByAStreamOfLowerOnes(t *testing.T) {
	s := newSim(t, fleet().limits(full(4)), 100, lasting)
	s.submit(one, 0, 200)
	for s.w.Now.Before(noon.Add(10 * time.Minute)) {
		s.step()
	}
	s.submit(four, 1, 3)
	high := s.w.Containers[len(s.w.Containers)-3:]
	ids := []string{high[0].ID, high[1].ID, high[2].ID}
	for s.w.Now.Before(noon.Add(40 * time.Minute)) {
		s.step()
	}
	for _, id := range ids {
		assert.Contains(t, s.ran, id)
		assert.Less(t, s.ran[id], 30*time.Minute, id)
	}
	assert.Greater(t, len(s.ran), 50, "and the lower ones went on")
}

// A type whose own quota is used up is refused however few instances there are: what
// needs it is not to bring the fleet down to none while it waits.
func TestOverTimeAQuotaOfATypeDoesNotStarveTheOthers(t *testing.T) {
	s := newSim(t, fleet(), 10, lasting)
	s.w.Limits.CreateConcurrency = 5
	s.without = "gpu"
	s.submit(two, 0, 400)
	s.submit(gpu, 1, 2)
	low := 0
	for s.w.Now.Before(noon.Add(3 * time.Hour)) {
		s.step()
		if s.w.Now.After(noon.Add(10 * time.Minute)) {
			low = max(low, 10-s.alive())
		}
	}
	assert.LessOrEqual(t, low, 3, "instances fewer than there could be")
	assert.LessOrEqual(t, s.refused, 60, "of 2,160 decisions")
	assert.GreaterOrEqual(t, len(s.ran), 300)
}
