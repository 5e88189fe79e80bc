package schedule

import (
	"fmt"
	"math/rand"
	"testing"
)

// benchWorld is a busy fleet: a third of the instances is half full, some boot and some
// containers wait for that, and the queue is of several shapes and priorities, in no order.
func benchWorld(queued, instances, shapes int) *World {
	r := rand.New(rand.NewSource(1))
	w := &World{Now: noon, Types: []InstanceType{smallType, largeType, spotType, gpuType},
		Limits: Limits{MaxInstances: instances, CreateConcurrency: 10, MaxPriceFactor: 8}}
	for i := range shapes {
		w.Shapes = append(w.Shapes, Shape{Preemptible: i%3 == 0,
			Resources: Resources{MilliCPU: int64(250 * (1 + i%8)), Memory: int64(1+i/8) << 28}})
	}
	names := []string{"small", "large", "spot"}
	for i := range instances {
		in := Instance{Name: fmt.Sprintf("i-%05d", r.Intn(1e9)), Type: names[i%3], Phase: Up}
		if i%20 == 19 {
			in.Phase = Booting
		}
		w.Instances = append(w.Instances, in)
		for j := range 3 {
			if i%3 == 1 {
				w.Containers = append(w.Containers, Container{ID: fmt.Sprintf("r-%d-%d", i, j), Shape: r.Intn(shapes),
					Binding: Running, Instance: in.Name})
			}
		}
	}
	for i := range queued {
		w.Containers = append(w.Containers, Container{ID: fmt.Sprintf("c-%d", i), Shape: r.Intn(shapes),
			Priority: r.Intn(3), Order: int64(i)})
		if c := &w.Containers[len(w.Containers)-1]; i%100 == 0 {
			c.Binding, c.Instance = Assigned, w.Instances[19].Name
		}
	}
	return w
}

// BenchmarkDecide has twenty shapes, as a busy fleet may.
func BenchmarkDecide(b *testing.B) {
	for _, queued := range []int{1000, 10000, 50000} {
		for _, instances := range []int{100, 1000, 2000} {
			b.Run(fmt.Sprintf("%d queued on %d instances", queued, instances), func(b *testing.B) {
				benchDecide(b, benchWorld(queued, instances, 20))
			})
		}
	}
}

func benchDecide(b *testing.B, w *World) {
	b.ReportAllocs()
	for b.Loop() {
		Decide(w)
	}
}

// BenchmarkDecideHard has 10,000 queued on 1,000 instances, in worlds that are hard in
// their own ways.
func BenchmarkDecideHard(b *testing.B) {
	for _, c := range []struct {
		name  string
		world *World
	}{
		{"one shape", benchWorld(10000, 1000, 1)},
		{"a shape for every tenth", benchWorld(10000, 1000, 1000)},
		{"all assigned", allAssigned(benchWorld(10000, 1000, 20))},
		{"a gap on every instance", gappyWorld(10000, 1000)},
		{"a shape for each", benchWorld(10000, 1000, 10000)},
		{"dozens of types held off", heldOff(benchWorld(10000, 1000, 200), 50)},
		{"full of short ones", fullOfShortOnes(benchWorld(10000, 1000, 20), false)},
		{"the next ones sent ahead", fullOfShortOnes(benchWorld(10000, 1000, 20), true)},
	} {
		b.Run(c.name, func(b *testing.B) { benchDecide(b, c.world) })
	}
}

// allAssigned has all that is queued wait for instances that boot.
func allAssigned(w *World) *World {
	var booting []string
	for _, in := range w.Instances {
		if in.Phase == Booting {
			booting = append(booting, in.Name)
		}
	}
	for i := range w.Containers {
		if c := &w.Containers[i]; c.Binding == Queued {
			c.Binding, c.Instance = Assigned, booting[i%len(booting)]
		}
	}
	return w
}

// gappyWorld is filled in two rounds, the second of which fills one instance after
// another with each container.
func gappyWorld(queued, instances int) *World {
	w := &World{Now: noon, Types: []InstanceType{largeType}, Limits: Limits{MaxInstances: instances},
		Shapes: []Shape{{Resources: Resources{MilliCPU: 3000}}, {Resources: Resources{MilliCPU: 2000}}}}
	for i := range instances {
		w.Instances = append(w.Instances, Instance{Name: fmt.Sprintf("i-%05d", i), Type: "large", Phase: Up})
	}
	for i := range queued {
		w.Containers = append(w.Containers, Container{ID: fmt.Sprintf("c-%d", i), Shape: min(i/(2*instances), 1), Order: int64(i)})
	}
	return w
}

// heldOff adds types, and a holdoff for each.
func heldOff(w *World, types int) *World {
	for i := range types {
		t := largeType
		t.Name = fmt.Sprintf("type-%d", i)
		w.Types = append(w.Types, t)
	}
	for _, t := range w.Types {
		w.Learnt.CapacityRefused(ScopeType, t.Name, "x", noon)
	}
	return w
}

// fullOfShortOnes has all instances be full of short containers and, possibly, one of them
// on each be sent ahead.
func fullOfShortOnes(w *World, ahead bool) *World {
	hasNext := map[string]bool{}
	w.Limits.MaxInstances = len(w.Instances)
	for i := range w.Instances {
		w.Instances[i].Brief = true
	}
	for i := range w.Containers {
		if c := &w.Containers[i]; c.Binding == Running {
			c.Since, c.Next = noon, ahead && !hasNext[c.Instance]
			hasNext[c.Instance] = true
		}
	}
	return w
}

func BenchmarkStatus(b *testing.B) {
	w := benchWorld(10000, 1000, 20)
	d := Decide(w)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		d.StatusAt(i % len(w.Containers))
	}
}

// TestDecisionsAllocateLittle holds the part of the benchmark that does not depend on
// how busy the machine is.
func TestDecisionsAllocateLittle(t *testing.T) {
	w := benchWorld(10000, 1000, 20)
	if n := testing.AllocsPerRun(3, func() { Decide(w) }); n > 400 {
		t.Fatalf("10,000 queued on 1,000 instances took %v allocations", n)
	}
}
