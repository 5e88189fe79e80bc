package fleetspec

import (
	"encoding/json"
	"fmt"
	"time"
)

// DefaultName is the name of a fleet whose spec does not say one.
const DefaultName = "default"

// DriverLocal is the driver whose instances are processes of this machine.
const DriverLocal = "local"

// Default returns the built-in fleet of `drover dev` under the given name: driver
// local, four instance types, and every other field at its default.
func Default(name string) Spec {
	s := defaults()
	s.Name = name
	s.fill()
	return s
}

// defaults returns what absent keys mean, apart from what depends on other keys:
// that is fill's.
func defaults() Spec {
	return Spec{
		Name:   DefaultName,
		Driver: DriverLocal,
		Limits: Limits{MaxInstances: 64, MaxPriceFactor: 1.5, CreateConcurrency: 10},
		Timeouts: Timeouts{
			Boot:          Duration(10 * time.Minute),
			Probe:         Duration(10 * time.Minute),
			Idle:          Duration(time.Minute),
			ShutdownRetry: Duration(10 * time.Second),
			Term:          Duration(2 * time.Minute),
			Signal:        Duration(5 * time.Second),
			StaleRunLock:  Duration(5 * time.Second),
		},
		Intervals: Intervals{Probe: Duration(10 * time.Second), Sync: Duration(time.Minute), Heartbeat: Duration(4 * time.Second)},
		BootProbe: "true",
		SSH:       SSH{User: "root", Port: 22},
		Runner:    Runner{Source: RunnerEmbedded, Directory: "/var/lib/drover"},
		Engine:    EngineProcess,
		Output:    Output{Tail: 16 << 10},
	}
}

// fill adds the defaults that depend on other fields: the section of the local
// driver, its built-in instance types where none are given, and the provider type
// and architecture of each type. An empty list of faults becomes none, as which it
// comes back from JSON.
func (s *Spec) fill() {
	if s.Driver == DriverLocal {
		if s.Local == nil {
			s.Local = &Local{}
		}
		if s.InstanceTypes == nil {
			s.InstanceTypes = builtinTypes()
		}
	}
	for i := range s.InstanceTypes {
		t := &s.InstanceTypes[i]
		if t.ProviderType == "" {
			t.ProviderType = t.Name
		}
		if t.Architecture == "" {
			t.Architecture = ArchitectureAMD64
		}
	}
	if s.Faults != nil && len(s.Faults.NoCapacity) == 0 {
		s.Faults.NoCapacity = nil
	}
}

func builtinTypes() []InstanceType {
	const gib = 1 << 30
	return []InstanceType{
		{Name: "small", VCPUs: 2, Memory: 4 * gib, Scratch: 20 * gib, Price: 0.04},
		{Name: "small-spot", ProviderType: "small", VCPUs: 2, Memory: 4 * gib, Scratch: 20 * gib, Price: 0.015, Preemptible: true},
		{Name: "medium", VCPUs: 4, Memory: 8 * gib, Scratch: 40 * gib, Price: 0.08},
		{Name: "large", VCPUs: 8, Memory: 16 * gib, Scratch: 80 * gib, Price: 0.16},
	}
}

// UnmarshalJSON decodes a spec and fills in the defaults of absent keys; a key that
// is present keeps its value, also when that is zero. Unknown keys are ignored, so
// that a worker can read what a newer one wrote in a history; Parse, which takes
// JSON as well, refuses them. The result is not validated. Null leaves the spec as
// it is.
func (s *Spec) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	type plain Spec
	decoded := plain(defaults())
	if err := json.Unmarshal(data, &decoded); err != nil {
		if _, located := parse(data); located != nil { // JSON is YAML, and this names the key
			err = located
		}
		return fmt.Errorf("fleet spec: %w", err)
	}
	*s = Spec(decoded)
	s.fill()
	return nil
}
