package schedule

import (
	"fmt"
	"math/rand"
	"testing"
)

// benchWorld is a busy fleet: a third of the instances is half full, and the queue is
// of several shapes and priorities, in no order.
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
	}
	return w
}

func BenchmarkDecide(b *testing.B) {
	for _, queued := range []int{1000, 10000, 50000} {
		for _, instances := range []int{100, 1000, 2000} {
			for _, shapes := range []int{1, 20} {
				b.Run(fmt.Sprintf("%d queued, %d instances, %d shapes", queued, instances, shapes), func(b *testing.B) {
					w := benchWorld(queued, instances, shapes)
					b.ReportAllocs()
					for b.Loop() {
						Decide(w)
					}
				})
			}
		}
	}
}

// BenchmarkDecideManyShapes has a shape for every tenth container, on empty instances.
func BenchmarkDecideManyShapes(b *testing.B) {
	w := benchWorld(10000, 1000, 1000)
	b.ReportAllocs()
	for b.Loop() {
		Decide(w)
	}
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
