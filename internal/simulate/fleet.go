package simulate

import (
	"math"

	"drover/internal/fleetspec"
	"drover/internal/schedule"
)

// typesOf returns the spec's instance types in the scheduler's terms.
func typesOf(spec fleetspec.Spec) []schedule.InstanceType {
	types := make([]schedule.InstanceType, 0, len(spec.InstanceTypes))
	for _, t := range spec.InstanceTypes {
		types = append(types, schedule.InstanceType{
			Name: t.Name, Price: t.Price, Preemptible: t.Preemptible, Architecture: t.Architecture,
			Resources: schedule.Resources{
				MilliCPU: int64(math.Round(t.VCPUs * 1000)), Memory: int64(t.Memory), Scratch: int64(t.Scratch), GPUs: int64(t.GPUs),
			},
		})
	}
	return types
}

// limitsOf returns the spec's limits in the scheduler's terms.
func limitsOf(spec fleetspec.Spec) schedule.Limits {
	return schedule.Limits{
		MaxInstances:             spec.Limits.MaxInstances,
		MaxContainersPerInstance: spec.Limits.MaxContainersPerInstance,
		MaxPriceFactor:           spec.Limits.MaxPriceFactor,
		CreateConcurrency:        spec.Limits.CreateConcurrency,
		MinIdle:                  spec.Limits.MinIdle,
	}
}

// shapeOf returns what a container needs in the scheduler's terms.
func shapeOf(c *Container) schedule.Shape {
	return schedule.Shape{Preemptible: c.Preemptible, Resources: schedule.Resources{
		MilliCPU: int64(math.Ceil(c.VCPUs * 1000)), Memory: int64(c.Memory), Scratch: int64(c.Scratch), GPUs: int64(c.GPUs),
	}}
}

// holds returns how many containers of a shape there is room for, at most limit; a
// limit of 0 is none.
func holds(room *schedule.Resources, shape *schedule.Shape, limit int) int {
	n := int64(math.MaxInt32)
	if limit > 0 {
		n = int64(limit)
	}
	for _, r := range [][2]int64{
		{room.MilliCPU, shape.MilliCPU}, {room.Memory, shape.Memory}, {room.Scratch, shape.Scratch}, {room.GPUs, shape.GPUs},
	} {
		if r[1] > 0 {
			n = min(n, max(r[0], 0)/r[1])
		}
	}
	return int(n)
}
