package api

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

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
	// Passed is the priority that the fleet knows.
	Passed int `json:"passed"`
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
	if !utf8.Valid(data) {
		return errors.New("container spec: is not text; allowed: JSON in UTF-8") // the decoder would change it
	}
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return specError(data, err)
	}
	*s = ContainerSpec(p)
	return nil
}

// Label is the command in at most max characters, for people.
func (s ContainerSpec) Label(max int) string {
	return Clip(strings.Join(strings.Fields(strings.Join(s.Command, " ")), " "), max)
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
	// After are the attempts on Instance of which one has to end before this one begins.
	After []string `json:"after,omitempty"`
}

// The states of a container.
const (
	ContainerQueued    = "queued"    // waits for room
	ContainerAssigned  = "assigned"  // waits for an instance that boots, or for the end of another container on one
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
