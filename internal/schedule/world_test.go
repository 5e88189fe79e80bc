package schedule

import (
	"fmt"
	"strings"
	"time"
)

// noon is the time at which the tests decide.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const gib = 1 << 30

// The shapes of the tests, by index.
const (
	one   = iota // 1 vCPU
	two          // 2 vCPUs: all of a small
	four         // 4 vCPUs: half of a large
	spot         // 1 vCPU, may be preempted
	arm          // 1 vCPU of another architecture
	gpu          // a GPU
	huge         // fits no type
	fat          // 1 vCPU, more memory than one
	none         // nothing
	eight        // 8 vCPUs: all of a large
)

var testShapes = []Shape{
	one:   {Resources: Resources{MilliCPU: 1000, Memory: gib}},
	two:   {Resources: Resources{MilliCPU: 2000, Memory: gib}},
	four:  {Resources: Resources{MilliCPU: 4000, Memory: gib}},
	spot:  {Resources: Resources{MilliCPU: 1000, Memory: gib}, Preemptible: true},
	arm:   {Resources: Resources{MilliCPU: 1000, Memory: gib}, Architecture: "arm64"},
	gpu:   {Resources: Resources{MilliCPU: 1000, GPUs: 1}},
	huge:  {Resources: Resources{MilliCPU: 64000, Memory: gib}},
	fat:   {Resources: Resources{MilliCPU: 1000, Memory: 2 * gib}},
	none:  {},
	eight: {Resources: Resources{MilliCPU: 8000, Memory: gib}},
}

var (
	smallType = InstanceType{Name: "small", Price: 0.04, Group: "standard",
		Resources: Resources{MilliCPU: 2000, Memory: 4 * gib, Scratch: 20 * gib}}
	largeType = InstanceType{Name: "large", Price: 0.16, Group: "standard",
		Resources: Resources{MilliCPU: 8000, Memory: 16 * gib, Scratch: 20 * gib}}
	spotType = InstanceType{Name: "spot", Price: 0.03, Group: "spot", Preemptible: true,
		Resources: Resources{MilliCPU: 2000, Memory: 4 * gib, Scratch: 20 * gib}}
	armType = InstanceType{Name: "arm", Price: 0.07, Architecture: "arm64",
		Resources: Resources{MilliCPU: 2000, Memory: 4 * gib}}
	gpuType = InstanceType{Name: "gpu", Price: 0.9,
		Resources: Resources{MilliCPU: 8000, Memory: 16 * gib, GPUs: 1}}
)

// world builds a World in sentences.
type world struct{ World }

// fleet begins a world with all types, in which only max_price_factor limits anything:
// a small is too cheap for a large to be an alternative.
func fleet() *world {
	return &world{World{Now: noon, Shapes: testShapes, Limits: Limits{MaxPriceFactor: 1.5},
		Types: []InstanceType{gpuType, largeType, smallType, spotType, armType}}}
}

func (w *world) limits(f func(*Limits)) *world { f(&w.Limits); return w }

func (w *world) learnt(f func(*Learnt)) *world { f(&w.Learnt); return w }

func (w *world) add(phase Phase, typ string, names ...string) *world {
	for _, n := range names {
		w.Instances = append(w.Instances, Instance{Name: n, Type: typ, Phase: phase})
	}
	return w
}

func (w *world) up(typ string, names ...string) *world { return w.add(Up, typ, names...) }

// doubtful adds an instance that may exist although creating it failed.
func (w *world) doubtful(typ, name string) *world {
	w.Instances = append(w.Instances, Instance{Name: name, Type: typ, Phase: Leaving, Doubtful: true})
	return w
}

func (w *world) contain(c Container, ids string) *world {
	for _, id := range strings.Fields(ids) {
		c.ID, c.Order = id, int64(len(w.Containers))
		w.Containers = append(w.Containers, c)
	}
	return w
}

func (w *world) queue(shape int, ids string) *world { return w.contain(Container{Shape: shape}, ids) }

func (w *world) urgent(priority, shape int, ids string) *world {
	return w.contain(Container{Shape: shape, Priority: priority}, ids)
}

func (w *world) runs(instance string, shape int, ids string) *world {
	return w.contain(Container{Shape: shape, Instance: instance, Binding: Running}, ids)
}

func (w *world) assigned(instance string, shape int, ids string) *world {
	return w.contain(Container{Shape: shape, Instance: instance, Binding: Assigned}, ids)
}

// short has the containers that run last for a second so far, on instances whose last ones
// were short.
func (w *world) short() *world {
	for i := range w.Instances {
		w.Instances[i].Brief = true
	}
	for i := range w.Containers {
		w.Containers[i].Since = w.Now.Add(-time.Second)
	}
	return w
}

// next was sent ahead, and has waited for so long.
func (w *world) next(instance string, shape int, id string, waited time.Duration, priority int) *world {
	return w.contain(Container{Shape: shape, Instance: instance, Binding: Running, Next: true, Since: w.Now.Add(-waited), Priority: priority}, id)
}

// plan says all that a decision says, apart from the sentences.
func plan(d *Decision) string {
	var out []string
	for _, a := range d.Assign {
		out = append(out, a.Container+" on "+a.Instance)
	}
	for _, r := range d.Reserve {
		on := r.Instance
		if r.Creation >= 0 {
			on = fmt.Sprintf("new %d", r.Creation)
		}
		out = append(out, r.Container+" awaits "+on)
	}
	for _, c := range d.Create {
		out = append(out, "create "+c.Type)
	}
	for _, s := range d.Ahead {
		after := make([]string, len(s.After))
		for k, i := range s.After {
			after[k] = d.w.Containers[i].ID
		}
		out = append(out, fmt.Sprintf("%s on %s after %s", s.Container, s.Instance, strings.Join(after, " or ")))
	}
	for _, id := range d.CallBack {
		out = append(out, "call back "+id)
	}
	for _, s := range d.ShutDown {
		out = append(out, "shut down "+s)
	}
	for _, s := range d.Keep {
		out = append(out, "keep "+s)
	}
	if !d.Wake.IsZero() {
		out = append(out, "wake "+d.Wake.Format("15:04:05"))
	}
	return strings.Join(out, ", ")
}
