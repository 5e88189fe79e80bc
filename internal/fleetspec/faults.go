package fleetspec

import (
	"fmt"
	"slices"
)

// Faults are what goes wrong, on purpose, between a fleet and its cloud, so that it
// can be rehearsed. The zero value injects nothing. Rates are the part of the calls
// that is hit, from 0 to 1.
type Faults struct {
	// Quota is how many instances of the fleet can exist before Create is refused. 0:
	// as many as the provider lets.
	Quota int `json:"quota,omitempty" yaml:"quota,omitempty"`
	// NoCapacity are provider types of which there is none to be had.
	NoCapacity []string `json:"no_capacity,omitempty" yaml:"no_capacity,omitempty"`
	// Denied refuses every call, as wrong credentials do.
	Denied bool `json:"denied,omitempty" yaml:"denied,omitempty"`

	Create  CreateFaults `json:"create,omitzero" yaml:"create,omitempty"`
	Destroy CallFaults   `json:"destroy,omitzero" yaml:"destroy,omitempty"`
	Get     CallFaults   `json:"get,omitzero" yaml:"get,omitempty"`
	List    CallFaults   `json:"list,omitzero" yaml:"list,omitempty"`
	Tag     CallFaults   `json:"tag,omitzero" yaml:"tag,omitempty"`
}

// CallFaults are what goes wrong with one kind of call.
type CallFaults struct {
	// Fail is the rate of calls that never reach the provider.
	Fail float64 `json:"fail,omitempty" yaml:"fail,omitempty"`
	// Lose is the rate of calls that the provider carries out, and whose answer is
	// an error all the same.
	Lose float64 `json:"lose,omitempty" yaml:"lose,omitempty"`
	// Late is the rate of calls whose answer takes longer, by up to Delay.
	Late  float64  `json:"late,omitempty" yaml:"late,omitempty"`
	Delay Duration `json:"delay,omitempty" yaml:"delay,omitempty"`
}

// CreateFaults are what goes wrong with the creation of instances.
type CreateFaults struct {
	// Fail, Lose, Late and Delay are as in CallFaults.
	Fail  float64  `json:"fail,omitempty" yaml:"fail,omitempty"`
	Lose  float64  `json:"lose,omitempty" yaml:"lose,omitempty"`
	Late  float64  `json:"late,omitempty" yaml:"late,omitempty"`
	Delay Duration `json:"delay,omitempty" yaml:"delay,omitempty"`
	// NoCapacity is the rate of creations that are refused because the provider has
	// none of that type just then.
	NoCapacity float64 `json:"no_capacity,omitempty" yaml:"no_capacity,omitempty"`
	// Die is the rate of instances whose creation is accepted, and that then end for
	// want of capacity before they run.
	Die float64 `json:"die,omitempty" yaml:"die,omitempty"`
	// PerMinute is how many calls are let through in any minute; the others are
	// refused until there is room. 0: no limit.
	PerMinute int `json:"per_minute,omitempty" yaml:"per_minute,omitempty"`
}

// Call returns the part of the faults that other kinds of calls have, too.
func (c CreateFaults) Call() CallFaults {
	return CallFaults{Fail: c.Fail, Lose: c.Lose, Late: c.Late, Delay: c.Delay}
}

func checkFaults(s Spec) *problem {
	f := s.Faults
	if f == nil {
		return nil
	}
	if f.Quota < 0 {
		return problemf("faults.quota", "%d is negative; allowed: a number of instances, or 0 for no limit", f.Quota)
	}
	for i, name := range f.NoCapacity {
		known := func(t InstanceType) bool { return t.ProviderType == name }
		if !slices.ContainsFunc(s.InstanceTypes, known) {
			return problemf(fmt.Sprintf("faults.no_capacity[%d]", i), "%s is the provider_type of no instance type; allowed: one of theirs, such as %s",
				quote(name), s.InstanceTypes[0].ProviderType)
		}
	}
	if p := checkCreateFaults("faults.create", f.Create); p != nil {
		return p
	}
	for _, call := range []struct {
		path   string
		faults CallFaults
	}{
		{"faults.destroy", f.Destroy}, {"faults.get", f.Get}, {"faults.list", f.List}, {"faults.tag", f.Tag},
	} {
		if p := checkCallFaults(call.path, call.faults); p != nil {
			return p
		}
	}
	return nil
}

func checkCreateFaults(path string, c CreateFaults) *problem {
	if p := checkCallFaults(path, c.Call()); p != nil {
		return p
	}
	if p := checkRate(path+".no_capacity", c.NoCapacity); p != nil {
		return p
	}
	if p := checkRate(path+".die", c.Die); p != nil {
		return p
	}
	if c.PerMinute < 0 {
		return problemf(path+".per_minute", "%d is negative; allowed: a number of calls, or 0 for no limit", c.PerMinute)
	}
	return nil
}

func checkCallFaults(path string, c CallFaults) *problem {
	for _, rate := range []struct {
		key   string
		value float64
	}{{".fail", c.Fail}, {".lose", c.Lose}, {".late", c.Late}} {
		if p := checkRate(path+rate.key, rate.value); p != nil {
			return p
		}
	}
	switch {
	case c.Delay < 0 || c.Delay > maxDuration:
		return problemf(path+".delay", "%v is out of range; allowed: %s, at most %v", c.Delay, allowedDuration, maxDuration)
	case c.Late > 0 && c.Delay == 0:
		return problemf(path+".delay", "is missing, and %s.late says that answers are late; allowed: a duration above 0, such as 3s", path)
	}
	return nil
}

func checkRate(path string, rate float64) *problem {
	if !(rate >= 0 && rate <= 1) {
		return problemf(path, "%v is not a rate; allowed: 0 to 1, such as 0.1 for one call in ten", rate)
	}
	return nil
}
