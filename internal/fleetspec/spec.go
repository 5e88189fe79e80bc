// Package fleetspec is a fleet's specification: its YAML, its defaults, its
// validation, and the difference between two of them.
package fleetspec

// Spec describes a fleet. The zero value of a field means its default; Parse and
// Default return specs in which every default is filled in.
type Spec struct {
	Name          string         `json:"name" yaml:"name"`
	Driver        string         `json:"driver" yaml:"driver"`
	Local         *Local         `json:"local,omitempty" yaml:"local,omitempty"`
	InstanceTypes []InstanceType `json:"instance_types" yaml:"instance_types"`
	Limits        Limits         `json:"limits" yaml:"limits"`
	Timeouts      Timeouts       `json:"timeouts" yaml:"timeouts"`
	Intervals     Intervals      `json:"intervals" yaml:"intervals"`
	BootProbe     string         `json:"boot_probe" yaml:"boot_probe"`
	InitCommand   string         `json:"init_command,omitempty" yaml:"init_command,omitempty"`
	SSH           SSH            `json:"ssh" yaml:"ssh"`
	Runner        Runner         `json:"runner" yaml:"runner"`
	Engine        string         `json:"engine" yaml:"engine"`
	Output        Output         `json:"output" yaml:"output"`
	Faults        *Faults        `json:"faults,omitempty" yaml:"faults,omitempty"`
}

// Local configures the local driver, whose instances are processes of this machine.
type Local struct {
	// Directory is where instances live. Empty: "instances" under the worker's
	// state directory.
	Directory string `json:"directory,omitempty" yaml:"directory,omitempty"`
	// BootDelay is how long an instance takes to answer SSH.
	BootDelay Duration `json:"boot_delay,omitempty" yaml:"boot_delay,omitempty"`
	// Quota is how many instances can exist before Create is refused. 0: no limit.
	Quota int `json:"quota,omitempty" yaml:"quota,omitempty"`
}

// InstanceType is a size that can be created.
type InstanceType struct {
	Name string `json:"name" yaml:"name"`
	// ProviderType is the provider's name of the size. Empty: Name.
	ProviderType string  `json:"provider_type" yaml:"provider_type"`
	VCPUs        float64 `json:"vcpus" yaml:"vcpus"`
	Memory       Size    `json:"memory" yaml:"memory"`
	Scratch      Size    `json:"scratch,omitempty" yaml:"scratch,omitempty"`
	GPUs         int     `json:"gpus,omitempty" yaml:"gpus,omitempty"`
	// Price is in currency units (dollars, by custom) per hour.
	Price       float64 `json:"price" yaml:"price"`
	Preemptible bool    `json:"preemptible,omitempty" yaml:"preemptible,omitempty"`
	// Architecture is amd64 or arm64. Empty: amd64.
	Architecture string `json:"architecture,omitempty" yaml:"architecture,omitempty"`
	// QuotaGroup names the quota that the provider counts the type in, together with
	// the other types of that group: when it refuses the group, none of them is tried
	// for a while. Empty: none.
	QuotaGroup string `json:"quota_group,omitempty" yaml:"quota_group,omitempty"`
}

// Limits bound what a fleet buys and places.
type Limits struct {
	MaxInstances             int     `json:"max_instances" yaml:"max_instances"`
	MaxContainersPerInstance int     `json:"max_containers_per_instance" yaml:"max_containers_per_instance"` // 0: no limit
	MaxPriceFactor           float64 `json:"max_price_factor" yaml:"max_price_factor"`
	InitialQuotaEstimate     int     `json:"initial_quota_estimate" yaml:"initial_quota_estimate"` // 0: none
	CreateConcurrency        int     `json:"create_concurrency" yaml:"create_concurrency"`
	MinIdle                  int     `json:"min_idle" yaml:"min_idle"`
}

// Timeouts are the durations after which something is given up.
type Timeouts struct {
	Boot          Duration `json:"boot" yaml:"boot"`
	Probe         Duration `json:"probe" yaml:"probe"`
	Idle          Duration `json:"idle" yaml:"idle"`
	ShutdownRetry Duration `json:"shutdown_retry" yaml:"shutdown_retry"`
	Term          Duration `json:"term" yaml:"term"`
	Signal        Duration `json:"signal" yaml:"signal"`
	StaleRunLock  Duration `json:"stale_run_lock" yaml:"stale_run_lock"`
	MaxAge        Duration `json:"max_age" yaml:"max_age"` // 0: no limit
}

// Intervals are the periods at which something is looked at again.
type Intervals struct {
	Probe Duration `json:"probe" yaml:"probe"`
	Sync  Duration `json:"sync" yaml:"sync"`
	// Heartbeat is how often a worker tells the server that it still looks after an
	// instance or a container. After a worker's sudden death, what it looked after is
	// taken over within five of them.
	Heartbeat Duration `json:"heartbeat" yaml:"heartbeat"`
}

// SSH says how instances are logged in to.
type SSH struct {
	User string `json:"user" yaml:"user"`
	Port int    `json:"port" yaml:"port"`
	// KeyFile is the private key, a file on the worker. Empty: one that the worker
	// makes in its state directory.
	KeyFile string `json:"key_file,omitempty" yaml:"key_file,omitempty"`
}

// Runner says where the program that supervises containers comes from and where
// it goes.
type Runner struct {
	// Source is "embedded", a file on the worker, or empty when it is already
	// installed, as Directory/runner.
	Source string `json:"source" yaml:"source"`
	// Directory is an absolute path on the instance.
	Directory string `json:"directory" yaml:"directory"`
}

// Output says where the output of containers is kept.
type Output struct {
	// Store is a URL of gocloud.dev/blob (file:///…, s3://…). Empty: a directory
	// under the worker's state directory.
	Store string `json:"store,omitempty" yaml:"store,omitempty"`
	// Tail is how much of the output's end a container's result carries.
	Tail Size `json:"tail" yaml:"tail"`
}
