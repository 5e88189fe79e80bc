package schedule

import "time"

// Resources is an amount of what a machine has: what an instance type offers, or
// what a container reserves. All fields are non-negative.
type Resources struct {
	MilliCPU int64 `json:"milli_cpu,omitempty"` // thousandths of a vCPU
	Memory   int64 `json:"memory,omitempty"`    // bytes
	Scratch  int64 `json:"scratch,omitempty"`   // bytes of disk
	GPUs     int64 `json:"gpus,omitempty"`      // whole devices
}

// Shape is what a container needs of an instance. Containers with equal shapes are
// interchangeable to the scheduler; a Shape is comparable and may key a map.
type Shape struct {
	Resources

	// Preemptible allows instances that the cloud may take back.
	Preemptible bool `json:"preemptible,omitempty"`
	// Architecture is the CPU architecture that is needed, such as "arm64".
	// Empty: any.
	Architecture string `json:"architecture,omitempty"`
}

// InstanceType is a size of instance that can be created.
type InstanceType struct {
	Name string `json:"name"` // unique among World.Types
	Resources

	Price       float64 `json:"price,omitempty"` // per hour, in whatever currency all types share
	Preemptible bool    `json:"preemptible,omitempty"`
	// Architecture is the CPU architecture of the type. Empty: amd64, as in the
	// fleet's spec.
	Architecture string `json:"architecture,omitempty"`
	// Group is the quota or capacity group that the cloud counts the type in.
	// Empty: none.
	Group string `json:"group,omitempty"`
}

// Limits bounds what Decide may do. It mirrors `limits` of the fleet's spec.
type Limits struct {
	MaxInstances             int     // instances alive or being created. 0: no limit
	MaxContainersPerInstance int     // containers on one instance. 0: no limit
	MaxPriceFactor           float64 // times the price of the cheapest type that fits. 0: no limit; less than 1 counts as 1
	// OnDemandFallback has MaxPriceFactor hold a type that is not preemptible against
	// the cheapest such type that fits. Otherwise, preemptible instances being so much
	// cheaper, containers that allow them would hardly ever get another when there are none.
	OnDemandFallback  bool
	CreateConcurrency int // instances in phase Creating at one time. 0: no limit
	MinIdle           int // instances with nothing to do that are kept warm
}

// Phase is how far an instance is, as far as the scheduler needs to know.
type Phase uint8

// The phases of an instance. The zero Phase is Leaving: an instance of which nothing
// better is known takes nothing new.
const (
	// Leaving is on its way out: draining or shutting down. It takes nothing new and
	// counts against the limits until it is gone. One that runs nothing is expected
	// to be gone soon, and no second instance is shut down for the room it will make.
	Leaving Phase = iota
	// Parked takes nothing new and is not expected to go: on hold, or found in the
	// cloud's list and not known yet (state unknown).
	Parked
	// Creating has been asked for; the cloud has neither accepted nor refused.
	Creating
	// Booting has been accepted by the cloud (from here on it counts as alive in
	// Learnt) and takes no containers yet.
	Booting
	// Up takes containers: idle or running, with idle behavior run.
	Up
)

// Instance is one instance that exists or has been asked for.
type Instance struct {
	Name string // unique among World.Instances
	// Type names one of World.Types. An instance of a type that is not there takes
	// nothing new, as if it were Leaving or Parked; it still counts against the limits.
	Type  string
	Phase Phase
	// IdleSince is when the last container on it ended, or when it came up. Zero if
	// not known. It only decides which of several idle instances is let go first.
	IdleSince time.Time
	// Doubtful: creating it has failed, and it is not known yet whether it exists all the
	// same. What held off its type then holds on until that is known.
	Doubtful bool
	// Brief: the container that ended last on it ran for less than Brief, and it can begin
	// the next one by itself.
	Brief bool
}

// Binding is how firmly a container belongs to an instance.
type Binding uint8

// The bindings of a container.
const (
	// Queued: on no instance.
	Queued Binding = iota
	// Assigned: waits for an instance that was booting when it was assigned. The
	// instance has not heard of it, so Decide may send it elsewhere.
	Assigned
	// Running: sent to an instance that is starting it or runs it. Only an outcome
	// from the instance changes that.
	Running
)

// Container is one container that has not ended.
type Container struct {
	ID    string // unique among World.Containers
	Shape int    // index into World.Shapes; an index out of range makes Decide panic
	// Priority orders the queue, highest first. Negative: on hold, not scheduled.
	Priority int
	// Order is the order of submission among equal priorities, lowest first. A
	// container that is queued again keeps it. Equal orders are settled by ID.
	Order int64
	// Instance names the instance that Binding speaks of. Empty for Queued.
	Instance string
	Binding  Binding
	// Next, of a Running one: it was sent ahead, and begins when another one on its
	// instance ends. It takes no room of its own yet.
	Next bool
	// Since is when a Running one was sent to its instance or, sent ahead, has begun.
	// Zero: long ago.
	Since time.Time
}

// World is everything that a decision depends on. The order of Types, Instances and
// Containers does not matter (that of Shapes neither, as long as Container.Shape
// agrees with it).
type World struct {
	Now        time.Time
	Limits     Limits
	Types      []InstanceType
	Shapes     []Shape
	Instances  []Instance
	Containers []Container
	Learnt     Learnt
}

// Assignment is a container to be started now on an instance that is up.
type Assignment struct {
	Container string
	Index     int // of the container in World.Containers
	Instance  string
}

// Reservation is a container that waits for an instance to boot. It is bookkeeping
// of the fleet: the instance is not told.
type Reservation struct {
	Container string
	Index     int // of the container in World.Containers
	// Instance names the booting instance. Empty: the instance does not exist yet,
	// and Creation says which it will be.
	Instance string
	// Creation is an index into Decision.Create if Instance is empty, otherwise -1.
	Creation int
}

// Succession is a container to be sent ahead to an instance that is full.
type Succession struct {
	Container string
	Index     int // of the container in World.Containers
	Instance  string
	// After are those on the instance whose room it fits into, as indexes into
	// World.Containers: it begins when the first of them has ended.
	After []int
}

// Creation is an instance to be created.
type Creation struct {
	Type   string // name of the instance type
	Reason string // for a person: what it is created for
}
