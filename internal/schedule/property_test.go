package schedule

import (
	"flag"
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// checks is how many worlds rapid tries, unless told otherwise by -rapid.checks.
const checks = "1000"

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", checks); err != nil {
		panic(err)
	}
	m.Run()
}

// checkFewer is rapid.Check for a property that takes long.
func checkFewer(t *testing.T, property func(*rapid.T)) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == checks {
		require.NoError(t, f.Value.Set("250"))
		defer func() { require.NoError(t, f.Value.Set(checks)) }()
	}
	rapid.Check(t, property)
}

// drawWorld draws a small world in which everything is likely to be short.
func drawWorld(t *rapid.T) *World {
	n := func(label string, low, high int) int { return rapid.IntRange(low, high).Draw(t, label) }
	w := &World{Now: noon, Limits: Limits{
		MaxInstances:             n("max instances", 0, 8),
		MaxContainersPerInstance: n("max containers", 0, 3),
		MaxPriceFactor:           float64(n("price factor", 0, 4)),
		CreateConcurrency:        n("create concurrency", 0, 3),
		MinIdle:                  n("min idle", 0, 2),
		OnDemandFallback:         rapid.Bool().Draw(t, "on-demand fallback"),
	}}
	for i := range n("types", 0, 4) {
		w.Types = append(w.Types, InstanceType{Name: fmt.Sprintf("t%d", i), Price: float64(n("price", 0, 5)),
			Resources:   Resources{MilliCPU: int64(n("vcpus", 1, 6)), Memory: int64(n("memory", 1, 6)), GPUs: int64(n("gpus", 0, 1))},
			Preemptible: rapid.Bool().Draw(t, "spot"), Group: fmt.Sprintf("g%d", i%2),
			Architecture: rapid.SampledFrom([]string{"", "", "arm64"}).Draw(t, "architecture")})
	}
	for range n("shapes", 1, 4) {
		w.Shapes = append(w.Shapes, Shape{Preemptible: rapid.Bool().Draw(t, "may be spot"),
			Resources:    Resources{MilliCPU: int64(n("vcpus", 0, 4)), Memory: int64(n("memory", 0, 4)), GPUs: int64(n("gpus", 0, 8) / 8)},
			Architecture: rapid.SampledFrom([]string{"", "", "", "arm64", "amd64"}).Draw(t, "architecture")})
	}
	for i := range n("instances", 0, 8) {
		w.Instances = append(w.Instances, Instance{Name: fmt.Sprintf("i%d", i), Type: fmt.Sprintf("t%d", n("type", 0, 4)),
			Phase:     rapid.SampledFrom([]Phase{Up, Up, Up, Booting, Creating, Leaving, Parked}).Draw(t, "phase"),
			IdleSince: noon.Add(-time.Duration(n("idle", 0, 2)) * time.Minute)})
	}
	for i := range w.Instances {
		w.Instances[i].Doubtful = w.Instances[i].Phase == Leaving && rapid.Bool().Draw(t, "doubtful")
	}
	drawContainers(t, w, n)
	drawAhead(t, w, n)
	drawLearnt(t, w, n)
	return w
}

func drawContainers(t *rapid.T, w *World, n func(string, int, int) int) {
	for i := range n("containers", 0, 20) {
		c := Container{ID: fmt.Sprintf("c%d", i), Shape: n("shape", 0, len(w.Shapes)-1), Priority: n("priority", -1, 2),
			Order: int64(n("order", 0, 20))}
		if on := n("instance", -4, len(w.Instances)-1); on >= 0 {
			in := &w.Instances[on]
			c.Instance, c.Binding = in.Name, Running
			if in.Phase == Booting || in.Phase == Creating || rapid.Bool().Draw(t, "assigned") {
				c.Binding = Assigned
			}
		}
		w.Containers = append(w.Containers, c)
	}
}

// drawAhead has instances that are full of short containers, to some of which the next one
// was sent ahead.
func drawAhead(t *rapid.T, w *World, n func(string, int, int) int) {
	hasNext := map[string]bool{}
	for i := range w.Instances {
		w.Instances[i].Brief = rapid.Bool().Draw(t, "brief")
	}
	for i := range w.Containers {
		c := &w.Containers[i]
		if c.Binding != Running {
			continue
		}
		c.Since = noon.Add(-time.Duration(n("since", 0, 8)) * time.Second)
		if c.Next = !hasNext[c.Instance] && n("next", 0, 3) == 0; c.Next {
			hasNext[c.Instance] = true
		}
	}
}

func drawLearnt(t *rapid.T, w *World, n func(string, int, int) int) {
	w.Learnt = NewLearnt(n("estimate", -3, 5))
	for range n("news", 0, 3) {
		now := noon.Add(-time.Duration(n("ago", 0, 90)) * time.Second)
		name := fmt.Sprintf("t%d", n("type", 0, 4))
		switch n("what", 0, 9) {
		case 0:
			w.Learnt.QuotaRefused(n("alive", 0, 8), now)
		case 1:
			w.Learnt.CapacityRefused(ScopeType, name, "x", now)
		case 2:
			w.Learnt.CapacityRefused(ScopeGroup, "g1", "x", now)
		case 3:
			w.Learnt.CreateFailed(name, "x", rapid.Bool().Draw(t, "permanent"), now)
		case 4:
			w.Learnt.RateLimited(time.Time{}, now.Add(30*time.Second), now)
		case 5:
			w.Learnt.Created(InstanceType{Name: name}, n("alive", 1, 8), now)
		case 6:
			w.Learnt.BootFailed(name, "x", now.Add(-time.Duration(n("asked ago", 0, 90))*time.Second), now)
		case 7:
			w.Learnt.TakenBack(name, "x", now.Add(-time.Duration(n("asked ago", 0, 90))*time.Second), now)
		case 8:
			w.Learnt.Booted(name)
		case 9:
			w.Learnt.QuotaExceeded(ScopeGroup, "g1", "x", now)
		}
	}
}

// cloneWorld copies all that a decision could change.
func cloneWorld(w *World) *World {
	c := *w
	c.Types, c.Shapes = slices.Clone(w.Types), slices.Clone(w.Shapes)
	c.Instances, c.Containers = slices.Clone(w.Instances), slices.Clone(w.Containers)
	c.Learnt.Holdoffs = slices.Clone(w.Learnt.Holdoffs)
	return &c
}

// said is all that a decision says, sentences included, whatever the order of the world.
func said(w *World, d *Decision) []string {
	out := []string{plan(d)}
	for i := range w.Containers {
		out = append(out, w.Containers[i].ID+": "+d.StatusAt(i))
	}
	slices.Sort(out)
	return out
}

func TestPropertyDecisionsAreSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		d := Decide(w)
		checkDecision(t, w, &d)
	})
}

func TestPropertyDecideIsPure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		before := cloneWorld(w)
		first, second := Decide(w), Decide(w)
		require.Equal(t, before, w, "the world is unchanged")
		require.Equal(t, first, second)
	})
}

func TestPropertyTheOrderOfTheWorldDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		d := Decide(w)
		v := cloneWorld(w)
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "shuffle")))
		r.Shuffle(len(v.Types), func(i, j int) { v.Types[i], v.Types[j] = v.Types[j], v.Types[i] })
		r.Shuffle(len(v.Instances), func(i, j int) { v.Instances[i], v.Instances[j] = v.Instances[j], v.Instances[i] })
		r.Shuffle(len(v.Containers), func(i, j int) { v.Containers[i], v.Containers[j] = v.Containers[j], v.Containers[i] })
		e := Decide(v)
		require.Equal(t, said(w, &d), said(v, &e))
	})
}

// TestPropertySearchFindsWhatLookingAtEverythingFinds holds the search, which
// remembers where it looked, against one that does not.
func TestPropertySearchFindsWhatLookingAtEverythingFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkSearch(t, drawWorld(t)) })
}

// TestSearchInLargeWorlds has worlds in which many instances that something was placed
// on have room left, of different sizes.
func TestSearchInLargeWorlds(t *testing.T) {
	for seed := range int64(30) {
		r := rand.New(rand.NewSource(seed))
		w := fleet().limits(func(l *Limits) { *l = Limits{MaxInstances: 80} })
		w.Shapes = nil
		for range 6 {
			w.Shapes = append(w.Shapes, Shape{Preemptible: r.Intn(2) == 1, Resources: Resources{MilliCPU: 500 * int64(1+r.Intn(6)), Memory: gib}})
		}
		for i := range 60 {
			w.add([]Phase{Up, Up, Booting}[r.Intn(3)], []string{"small", "large", "spot"}[r.Intn(3)], fmt.Sprintf("i%02d", i))
		}
		for i := range 400 {
			w.urgent(r.Intn(2), r.Intn(6), fmt.Sprintf("c%03d", i))
		}
		checkSearch(t, &w.World)
	}
}

func checkSearch(t require.TestingT, w *World) {
	var d Decision
	d.begin(w)
	p := &planner{w: w, d: &d, emptying: -1}
	p.seeTypes()
	p.seeInstances()
	for _, e := range p.keepPlaces(p.order()) {
		shape := w.Containers[e.index].Shape
		st, want := p.shape(shape), int32(-1)
		for i := range p.slots {
			if p.hasRoom(&p.slots[i], shape) && (want < 0 || rank(&p.slots[i], &p.slots[want]) < 0) {
				want = int32(i)
			}
		}
		require.Equal(t, want, p.search(shape, st))
		p.handle(e)
	}
}

// TestPropertyDecisionsSettle carries decisions out in a cloud that accepts everything:
// soon nothing is left to be done, and nothing that fits anywhere still waits.
func TestPropertyDecisionsSettle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.Learnt, w.Limits.MaxInstances = Learnt{}, 0
		for i := range w.Instances {
			if w.Instances[i].Phase == Creating || w.Instances[i].Phase == Booting {
				w.Instances[i].Phase = Up
			}
		}
		for range 2 + len(w.Containers) + w.Limits.MinIdle {
			d := Decide(w)
			checkDecision(t, w, &d)
			carryOut(w, &d)
		}
		d := Decide(w)
		require.Empty(t, d.Assign)
		require.Empty(t, d.Reserve)
		require.Empty(t, d.Create)
		for i := range w.Containers {
			c := &w.Containers[i]
			if c.Binding != Running && c.Priority >= 0 {
				require.Error(t, Check(w.Shapes[c.Shape], w.Types), d.StatusAt(i))
			}
		}
	})
}

// carryOut does what the fleet would, in a cloud where everything works at once.
func carryOut(w *World, d *Decision) {
	for _, a := range d.Assign {
		w.Containers[a.Index].Instance, w.Containers[a.Index].Binding = a.Instance, Running
	}
	for _, c := range d.Create {
		w.Instances = append(w.Instances, Instance{Name: fmt.Sprintf("n%d", len(w.Instances)), Type: c.Type, Phase: Up})
	}
}
