package schedule

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFits(t *testing.T) {
	base := Shape{Resources: Resources{MilliCPU: 2000, Memory: 4 * gib, Scratch: 20 * gib}}
	cases := []struct {
		name  string
		shape func(*Shape)
		typ   InstanceType
		want  bool
	}{
		{"exactly", func(*Shape) {}, smallType, true},
		{"too many vCPUs", func(s *Shape) { s.MilliCPU++ }, smallType, false},
		{"too much memory", func(s *Shape) { s.Memory++ }, smallType, false},
		{"too much scratch", func(s *Shape) { s.Scratch++ }, smallType, false},
		{"too many GPUs", func(s *Shape) { s.GPUs++ }, smallType, false},
		{"not preemptible", func(*Shape) {}, spotType, false},
		{"preemptible", func(s *Shape) { s.Preemptible = true }, spotType, true},
		{"preemptible where it is not needed", func(s *Shape) { s.Preemptible = true }, smallType, true},
		{"a type without architecture is amd64", func(s *Shape) { s.Architecture = "amd64" }, smallType, true},
		{"another architecture", func(s *Shape) { s.Architecture = "arm64" }, smallType, false},
		{"any architecture", func(s *Shape) { s.Scratch = 0 }, armType, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := base
			c.shape(&s)
			assert.Equal(t, c.want, Fits(s, c.typ))
		})
	}
}

func TestCheck(t *testing.T) {
	large := InstanceType{Name: "large", Price: 1, Resources: Resources{MilliCPU: 8000, Memory: 16 * gib}}
	cases := []struct {
		name  string
		shape Shape
		types []InstanceType
		want  string
	}{
		{"no types", testShapes[one], nil, "the fleet has no instance types"},
		{"one thing is lacking", testShapes[huge], []InstanceType{large},
			"no instance type fits 64 vCPUs, 1GiB; nearest: large (8 vCPUs, 16GiB) lacks 56 vCPUs"},
		{"several are", Shape{Resources: Resources{MilliCPU: 8500, Memory: 16*gib + gib/2, Scratch: 3 << 20, GPUs: 1}, Architecture: "arm64"},
			[]InstanceType{{Name: "p", Preemptible: true, Resources: large.Resources}},
			"no instance type fits 8.5 vCPUs, 16.5GiB, 3MiB scratch, 1 GPU, arm64; nearest: p (8 vCPUs, 16GiB) " +
				"lacks 0.5 vCPUs and lacks 512MiB of memory and lacks 3MiB of scratch and lacks 1 GPU " +
				"and is amd64 and is preemptible, which the container does not allow"},
		{"the three nearest are named: fewest things first, then the least missing, then the cheapest, then by name",
			Shape{Resources: Resources{MilliCPU: 10000, Memory: 10 * gib}},
			[]InstanceType{
				{Name: "e", Resources: Resources{MilliCPU: 9000, Memory: 9 * gib}},
				{Name: "d", Resources: Resources{MilliCPU: 1000, Memory: 16 * gib}},
				{Name: "c", Price: 2, Resources: Resources{MilliCPU: 8000, Memory: 16 * gib}},
				{Name: "b", Price: 1, Resources: Resources{MilliCPU: 8000, Memory: 16 * gib}},
				{Name: "a", Price: 2, Resources: Resources{MilliCPU: 8000, Memory: 16 * gib}}},
			"no instance type fits 10 vCPUs, 10GiB; nearest: b (8 vCPUs, 16GiB) lacks 2 vCPUs; " +
				"a (8 vCPUs, 16GiB) lacks 2 vCPUs; c (8 vCPUs, 16GiB) lacks 2 vCPUs"},
		{"a size in TiB", Shape{Resources: Resources{Scratch: 3 << 39}}, []InstanceType{{Name: "n", Resources: Resources{Scratch: 1 << 40}}},
			"no instance type fits 1.5TiB scratch; nearest: n (1TiB scratch) lacks 512GiB of scratch"},
		{"a type that offers nothing", Shape{Resources: Resources{MilliCPU: 1000, Memory: 100}}, []InstanceType{{Name: "n"}},
			"no instance type fits 1 vCPU, 100B; nearest: n (nothing) lacks 1 vCPU and lacks 100B of memory"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			assert.EqualError(t, Check(c.shape, c.types), c.want)
		})
	}
	assert.NoError(t, Check(testShapes[one], []InstanceType{gpuType, smallType}))
}
