package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"drover/internal/fleetspec"
)

// ContainerSpec is the input of the Container workflow. Only Command is required.
type ContainerSpec struct {
	// Fleet is where the container runs. Default: "default".
	Fleet string `json:"fleet"`
	// Command is the program and its arguments; no shell is involved.
	Command []string `json:"command"`
	// Image is run by the fleet's engine. Empty: the command is a plain process on
	// the instance.
	Image string `json:"image,omitempty"`
	// Env is added to the container's environment, unchanged.
	Env map[string]string `json:"env,omitempty"`
	// VCPUs may be a fraction. Default: 1.
	VCPUs float64 `json:"vcpus"`
	// Memory defaults to 512MiB.
	Memory fleetspec.Size `json:"memory"`
	// Scratch is disk space. Default: 0.
	Scratch fleetspec.Size `json:"scratch"`
	GPUs    int            `json:"gpus"`
	// Priority orders the queue, highest first. Below 0: on hold, not scheduled.
	Priority int `json:"priority"`
	// Preemptible allows instances that the provider may take away.
	Preemptible bool `json:"preemptible"`
	// Timeout bounds how long one attempt runs. 0: no limit.
	Timeout fleetspec.Duration `json:"timeout,omitempty"`
	// Attempts is how often the container is tried when the machine fails it.
	// Default: 3.
	Attempts int `json:"attempts"`
}

// ContainerCarried is what a Container carries over when it continues as new.
type ContainerCarried struct {
	State ContainerState `json:"state"`
	// Cancelled: its user wants it ended, and the fleet knows.
	Cancelled bool `json:"cancelled,omitempty"`
	// Note is something that a person should see.
	Note string `json:"note,omitempty"`
}

// DefaultContainerSpec returns a spec with every default filled in and no command.
func DefaultContainerSpec() ContainerSpec {
	return ContainerSpec{Fleet: "default", VCPUs: 1, Memory: 512 << 20, Attempts: 3}
}

// UnmarshalJSON decodes a spec, filling in the defaults of absent keys. A key that
// no spec has is an error: a misspelt one would be ignored otherwise.
func (s *ContainerSpec) UnmarshalJSON(data []byte) error {
	type plain ContainerSpec
	p := plain(DefaultContainerSpec())
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return specError(err)
	}
	*s = ContainerSpec(p)
	return nil
}

// specError says in one line, and in the spec's words, what the decoder found.
func specError(err error) error {
	var mistyped *json.UnmarshalTypeError
	if errors.As(err, &mistyped) {
		where := cmp.Or(mistyped.Field, "the spec")
		return fmt.Errorf("container spec: %s: a JSON %s is not allowed here", where, mistyped.Value)
	}
	return fmt.Errorf("container spec: %w; allowed: fleet, command, image, env, vcpus, memory, scratch, gpus, priority, preemptible, timeout, attempts",
		err)
}

// Bounds of what a spec may ask for: far beyond any machine, and far from overflow.
const (
	maxVCPUs    = 1e6
	maxAttempts = 100
	maxBytes    = 1 << 60
)

// Validate says, in one line, what is wrong with the spec, if anything.
func (s ContainerSpec) Validate() error {
	switch {
	case !fleetNamePattern.MatchString(s.Fleet):
		return fmt.Errorf("fleet: %q is not the name of a fleet; allowed: 1 to 40 lower-case letters, digits and dashes", s.Fleet)
	case len(s.Command) == 0 || s.Command[0] == "":
		return fmt.Errorf("command: is empty; allowed: a list that begins with a program")
	case !(s.VCPUs > 0 && s.VCPUs <= maxVCPUs):
		return fmt.Errorf("vcpus: %v is not allowed: a number above 0, and at most 1000000", s.VCPUs)
	case s.Memory < 0 || s.Memory > maxBytes:
		return fmt.Errorf("memory: %d is not allowed: a size of 0 or more, at most 1EiB", int64(s.Memory))
	case s.Scratch < 0 || s.Scratch > maxBytes:
		return fmt.Errorf("scratch: %d is not allowed: a size of 0 or more, at most 1EiB", int64(s.Scratch))
	case s.GPUs < 0 || s.GPUs > maxVCPUs:
		return fmt.Errorf("gpus: %d is not allowed: 0 or more", s.GPUs)
	case s.Timeout < 0:
		return fmt.Errorf("timeout: %v is negative; allowed: a duration such as 1h, or 0 for no limit", s.Timeout)
	case s.Attempts < 1 || s.Attempts > maxAttempts:
		return fmt.Errorf("attempts: %d is not allowed: 1 to %d", s.Attempts, maxAttempts)
	}
	return s.validateStrings()
}

var fleetNamePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

func (s ContainerSpec) validateStrings() error {
	for _, arg := range s.Command {
		if strings.ContainsRune(arg, 0) {
			return fmt.Errorf("command: an argument contains a NUL byte, which no program can be given")
		}
	}
	for _, key := range workflow.DeterministicKeys(s.Env) {
		value := s.Env[key]
		if key == "" || strings.ContainsAny(key, "=\x00") || strings.ContainsRune(value, 0) {
			return fmt.Errorf("env: a name is empty or contains '=', or a name or value contains a NUL byte")
		}
	}
	return nil
}

// Label is the command in at most max characters, for people.
func (s ContainerSpec) Label(max int) string {
	label := []rune(strings.Join(strings.Fields(strings.Join(s.Command, " ")), " "))
	if len(label) > max {
		return string(label[:max-1]) + "…"
	}
	return string(label)
}

// ContainerResult is the result of the Container workflow.
type ContainerResult struct {
	// ExitCode is the command's, or 128 plus the number of the signal that ended it.
	ExitCode int `json:"exit_code"`
	// Output is the last part of what the command wrote, at most the fleet's
	// output.tail.
	Output string `json:"output"`
	// OutputTruncated says that the command wrote more than Output.
	OutputTruncated bool   `json:"output_truncated"`
	Instance        string `json:"instance"`
	CloudID         string `json:"cloud_id"`
	InstanceType    string `json:"instance_type"`
	// Attempts is how many were made, this one included.
	Attempts   int  `json:"attempts"`
	QueuedAt   Time `json:"queued_at"`
	StartedAt  Time `json:"started_at"`
	FinishedAt Time `json:"finished_at"`
	// Cost is the container's share of the instance's price for as long as it ran.
	Cost float64 `json:"cost"`
	// Error says what the instance had to say about the end, if anything: that the
	// timeout passed, or that the supervisor died.
	Error string `json:"error,omitempty"`
}

// ContainerState answers QueryState on a Container.
type ContainerState struct {
	ID         string `json:"id"`
	State      string `json:"state"`
	Fleet      string `json:"fleet"`
	Instance   string `json:"instance"`
	Command    string `json:"command"`
	Priority   int    `json:"priority"`
	QueuedAt   Time   `json:"queued_at"`
	StartedAt  Time   `json:"started_at"`
	FinishedAt Time   `json:"finished_at"`
	// ExitCode is null until the container has ended.
	ExitCode *int `json:"exit_code"`
	// Status is a sentence that says why the container is where it is.
	Status string `json:"status"`
	// WorkflowID is the container's, when it is not ContainerWorkflowID(ID).
	WorkflowID string `json:"workflow_id,omitempty"`
	// Attempt is the number of the present attempt, as in Assignment. Only fleets know it.
	Attempt int `json:"attempt,omitempty"`
}

// The states of a container.
const (
	ContainerQueued    = "queued"    // waits for room
	ContainerAssigned  = "assigned"  // waits for an instance that boots
	ContainerRunning   = "running"   // given to an instance: starts or runs
	ContainerExited    = "exited"    // has an exit code
	ContainerFailed    = "failed"    // the machines failed it too often, or it was refused
	ContainerCancelled = "cancelled" // by its user
)

// Time is a time.Time that is null in JSON when it is zero.
type Time struct{ time.Time }

// MarshalJSON encodes the time as RFC 3339 with nanoseconds, or null.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(t.UTC().Format("2006-01-02T15:04:05.000000000Z07:00"))
}

// UnmarshalJSON decodes what MarshalJSON encodes.
func (t *Time) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		t.Time = time.Time{}
		return nil
	}
	return json.Unmarshal(data, &t.Time)
}
