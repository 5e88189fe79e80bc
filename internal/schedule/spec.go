package schedule

import (
	"math"

	"drover/internal/fleetspec"
)

// TypesOf returns a spec's instance types in the terms of this package.
func TypesOf(spec fleetspec.Spec) []InstanceType {
	types := make([]InstanceType, 0, len(spec.InstanceTypes))
	for _, t := range spec.InstanceTypes {
		types = append(types, InstanceType{
			Name: t.Name, Group: t.QuotaGroup, Price: t.Price, Preemptible: t.Preemptible, Architecture: t.Architecture,
			Resources: Resources{
				MilliCPU: int64(math.Round(t.VCPUs * 1000)), Memory: int64(t.Memory), Scratch: int64(t.Scratch), GPUs: int64(t.GPUs),
			},
		})
	}
	return types
}

// LimitsOf returns a spec's limits in the terms of this package. A container that allows
// preemptible instances falls back to others: MaxPriceFactor holds for each of the two
// kinds by itself.
func LimitsOf(spec fleetspec.Spec) Limits {
	return Limits{
		MaxInstances:             spec.Limits.MaxInstances,
		MaxContainersPerInstance: spec.Limits.MaxContainersPerInstance,
		MaxPriceFactor:           spec.Limits.MaxPriceFactor,
		OnDemandFallback:         true,
		CreateConcurrency:        spec.Limits.CreateConcurrency,
		MinIdle:                  spec.Limits.MinIdle,
	}
}

// ShapeOf returns what a container asks for: a number of vCPUs, which may be a fraction,
// and sizes in bytes.
func ShapeOf(vcpus float64, memory, scratch fleetspec.Size, gpus int, preemptible bool) Shape {
	return Shape{Preemptible: preemptible, Resources: Resources{
		MilliCPU: int64(math.Ceil(vcpus * 1000)), Memory: int64(memory), Scratch: int64(scratch), GPUs: int64(gpus),
	}}
}
