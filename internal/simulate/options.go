package simulate

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"drover/internal/fleetspec"
)

// Options are what a fleet's spec does not say: how its cloud behaves. The zero Options
// are a cloud that has everything, at once.
type Options struct {
	// Create is how long the cloud takes to answer a request to create an instance.
	Create time.Duration
	// Boot is how long an instance takes from then until containers can run on it.
	Boot Span
	// Shutdown is how long an instance is paid for, and counts, after it was told to go.
	Shutdown time.Duration
	// Quota is how many instances the cloud allows at one time. 0: no limit.
	Quota int
	// Capacity is how many instances of a type, by its name, the cloud has at one time.
	// A type that is not there has no limit.
	Capacity map[string]int
	// CreateRate is how many create requests a minute the cloud accepts; it lets up to
	// as many pass at once. 0: no limit.
	CreateRate float64
	// SpotInterruptions is how often an hour, on average, the cloud takes back a
	// preemptible instance. 0: never.
	SpotInterruptions float64
	// Seed chooses what is random: the times to boot, and the interruptions.
	Seed uint64

	// whole has every decision made, and see the whole queue. It is for tests.
	whole bool
}

// DefaultOptions are those of an ordinary cloud without limits of its own.
func DefaultOptions() Options {
	return Options{Create: 2 * time.Second, Boot: Span{time.Minute, time.Minute}, Shutdown: 10 * time.Second, Seed: 1}
}

// Check says what is wrong with the options for a fleet, if anything. Errors name an
// option as the flag of `drover simulate` that sets it.
func (o Options) Check(spec fleetspec.Spec) error {
	const longest = 24 * time.Hour
	boot := spec.Timeouts.Boot.D()
	switch {
	case o.Create < 0 || o.Create > longest:
		return fmt.Errorf("--create: %v is not allowed: 0 to 24h", o.Create)
	case o.Boot.Min < 0 || o.Boot.Max < o.Boot.Min:
		return fmt.Errorf("--boot: %v is not allowed: %s", o.Boot, allowedSpan)
	case o.Create+o.Boot.Max >= boot:
		return fmt.Errorf("--boot: with up to %v, and %v to be created, instances would not be up before the fleet gives them up; allowed: less than timeouts.boot (%v) together",
			o.Boot.Max, o.Create, fleetspec.Duration(boot))
	case o.Shutdown < 0 || o.Shutdown > longest:
		return fmt.Errorf("--shutdown: %v is not allowed: 0 to 24h", o.Shutdown)
	case o.Quota < 0:
		return fmt.Errorf("--quota: %d is not allowed: a number of instances, or 0 for no limit", o.Quota)
	case !(o.CreateRate >= 0) || math.IsInf(o.CreateRate, 0):
		return fmt.Errorf("--create-rate: %v is not allowed: create requests a minute, or 0 for no limit", o.CreateRate)
	case o.CreateRate > 0 && o.CreateRate < 1:
		return fmt.Errorf("--create-rate: %v is not allowed: at least 1 a minute, or 0 for no limit", o.CreateRate)
	case !(o.SpotInterruptions >= 0 && o.SpotInterruptions <= 1000):
		return fmt.Errorf("--spot-interruptions: %v is not allowed: 0 to 1000 an hour", o.SpotInterruptions)
	}
	return o.checkCapacity(spec)
}

func (o Options) checkCapacity(spec fleetspec.Spec) error {
	var names []string
	for _, t := range spec.InstanceTypes {
		names = append(names, t.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Capacity)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("--capacity: %q is no instance type of fleet %s; allowed: %s", name, spec.Name, strings.Join(names, ", "))
		}
		if o.Capacity[name] < 0 {
			return fmt.Errorf("--capacity: %d of %s is not allowed: 0 or more", o.Capacity[name], name)
		}
	}
	return nil
}

// Span is a range of durations, each as likely as any other: "45s-90s", or "60s" if
// they are all the same.
type Span struct{ Min, Max time.Duration }

const allowedSpan = "a duration such as 60s, or two for what lies between them, such as 45s-90s"

// String is the text that UnmarshalText accepts.
func (s Span) String() string {
	if s.Min == s.Max {
		return fleetspec.Duration(s.Min).String()
	}
	return fleetspec.Duration(s.Min).String() + "-" + fleetspec.Duration(s.Max).String()
}

// MarshalText returns what String does. It never fails.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts one duration, or the shortest and the longest with a dash
// between them.
func (s *Span) UnmarshalText(text []byte) error {
	from, to, two := strings.Cut(string(text), "-")
	if !two {
		to = from
	}
	least, err := time.ParseDuration(from)
	most, err2 := time.ParseDuration(to)
	if err != nil || err2 != nil || least < 0 || most < least {
		return fmt.Errorf("%q is not a time to boot; allowed: %s", text, allowedSpan)
	}
	s.Min, s.Max = least, most
	return nil
}
