package api

import (
	"time"

	"drover/internal/fleetspec"
)

// The names of drover's activities.
const (
	CreateInstanceActivity  = "CreateInstance"
	AwaitAddressActivity    = "AwaitAddress"
	BootProbeActivity       = "BootProbe"
	CopyRunnerActivity      = "CopyRunner"
	RunProbeActivity        = "RunProbe"
	WatchActivity           = "Watch"
	LastSeenActivity        = "LastSeen"
	RunContainerActivity    = "RunContainer"
	KillContainerActivity   = "KillContainer"
	RevokeContainerActivity = "RevokeContainer"
	DestroyInstanceActivity = "DestroyInstance"
	TagInstanceActivity     = "TagInstance"
	ExplainBootActivity     = "ExplainBoot"
	PrepareFleetActivity    = "PrepareFleet"
	SyncFleetActivity       = "SyncFleet"
	RecallActivity          = "RecallContainers"
	DeliverActivity         = "Deliver"
	SubmitActivity          = "SubmitContainer"
	AskStatusActivity       = "AskStatus"
)

// The types of application errors that activities fail with. The classes of
// cloud.Error are such types as well.
const (
	// ErrorRefused: the cloud refused the creation; details: a CreateRefusal.
	ErrorRefused = "refused"
	// ErrorGone: the cloud says that the instance has ended; details: its reason.
	ErrorGone = "gone"
	// ErrorNoFleet: the fleet does not exist.
	ErrorNoFleet = "no such fleet"
	// ErrorInvalid: the input can never work.
	ErrorInvalid = "invalid"
	// ErrorFailed: the machines failed a container too often.
	ErrorFailed = "container failed"
)

// Machine is how an instance is found and reached. It holds no secret.
type Machine struct {
	Fleet string `json:"fleet"`
	Name  string `json:"name"`
	// Driver and Local select and configure the driver.
	Driver string           `json:"driver"`
	Local  *fleetspec.Local `json:"local,omitempty"`
	// Faults are those that were to be injected when the instance was created. If there
	// were any, the fleet is asked what they are now. Nil: none, whatever the fleet says.
	Faults *fleetspec.Faults `json:"faults,omitempty"`
	// CloudID, Address and Root are known once the instance has them. Address has a
	// port.
	CloudID string        `json:"cloud_id,omitempty"`
	Address string        `json:"address,omitempty"`
	Root    string        `json:"root,omitempty"`
	SSH     fleetspec.SSH `json:"ssh"`
	// Runner is the path of the runner on the instance, once it is there.
	Runner string `json:"runner,omitempty"`
}

// HeartbeatsMissed is how many heartbeats of an activity have to be missing until it is
// given to another worker.
const HeartbeatsMissed = 5

// CreateInput is the input of the CreateInstance activity, which returns a Machine.
type CreateInput struct {
	Machine     Machine                `json:"machine"`
	Type        fleetspec.InstanceType `json:"type"`
	Behavior    Behavior               `json:"behavior"`
	InitCommand string                 `json:"init_command,omitempty"`
}

// BootProbeInput is the input of the BootProbe activity.
type BootProbeInput struct {
	Machine Machine `json:"machine"`
	// Command must exit 0 on the instance.
	Command string `json:"command"`
	// Interval is for how long one attempt tries to connect.
	Interval fleetspec.Duration `json:"interval"`
}

// CopyRunnerInput is the input of the CopyRunner activity, which returns the path of
// the runner on the instance.
type CopyRunnerInput struct {
	Machine Machine          `json:"machine"`
	Runner  fleetspec.Runner `json:"runner"`
	// Architecture is what the instance type promises.
	Architecture string `json:"architecture"`
}

// Listing is what the runner says about an instance: the result of the RunProbe
// activity.
type Listing struct {
	// Containers are attempts, as Assignment.OnInstance names them.
	Containers []string `json:"containers,omitempty"`
	// Stale are those of Containers whose supervisor is gone.
	Stale []string `json:"stale,omitempty"`
	// Broken: the instance says that it cannot run containers.
	Broken bool `json:"broken,omitempty"`
}

// WatchInput is the input of the Watch activity.
type WatchInput struct {
	Machine  Machine            `json:"machine"`
	Interval fleetspec.Duration `json:"interval"`
	// Timeout is how long probes may fail before the activity returns.
	Timeout fleetspec.Duration `json:"timeout"`
	// StaleFor is how long a container may be stale before the instance counts as broken.
	StaleFor fleetspec.Duration `json:"stale_for"`
	// LastProbe is when a probe last succeeded.
	LastProbe time.Time `json:"last_probe"`
	// Known are the attempts that the workflow knows to be on the instance, Listed those
	// that the instance has listed.
	Known  []string `json:"known,omitempty"`
	Listed []string `json:"listed,omitempty"`
	// Stale are those of Listed whose supervisor is gone.
	Stale []string `json:"stale,omitempty"`
	// StaleSince is since when containers have been stale, as an earlier watch has said.
	StaleSince map[string]time.Time `json:"stale_since,omitempty"`
	// Unreachable, Broken and Noticed say what the workflow knows already.
	Unreachable bool `json:"unreachable,omitempty"`
	Broken      bool `json:"broken,omitempty"`
	Noticed     bool `json:"noticed,omitempty"`
	// Preemptible: the provider may take the instance, and may warn before.
	Preemptible bool `json:"preemptible,omitempty"`
}

// LastSeenInput is the input of the LastSeen activity, which returns a Watched.
type LastSeenInput struct {
	// WorkflowID and RunID are the instance's workflow, whose pending activity is
	// asked about.
	WorkflowID string `json:"workflow_id"`
	RunID      string `json:"run_id"`
}

// WatchResult says what has changed on an instance.
type WatchResult struct {
	// Listing is the last one. Nil when no probe succeeded.
	Listing *Listing `json:"listing,omitempty"`
	// LastProbe is when a probe last succeeded.
	LastProbe time.Time `json:"last_probe"`
	// StaleSince is since when containers have been stale.
	StaleSince map[string]time.Time `json:"stale_since,omitempty"`
	// Unreachable says, with the last error, that no probe has succeeded for the
	// timeout.
	Unreachable string `json:"unreachable,omitempty"`
	// Gone says, in the cloud's words, that the instance has ended.
	Gone string `json:"gone,omitempty"`
	// Unlisted are attempts that were listed, that the workflow still knows, and that
	// two probes in a row have no longer listed.
	Unlisted []string `json:"unlisted,omitempty"`
	// Notice is when the provider will take the instance, once it has said so.
	Notice time.Time `json:"notice,omitzero"`
}

// RunContainerInput is the input of the RunContainer activity.
type RunContainerInput struct {
	Machine    Machine    `json:"machine"`
	Assignment Assignment `json:"assignment"`
	// Engine is the fleet's.
	Engine string           `json:"engine"`
	Output fleetspec.Output `json:"output"`
	// Own: the runner is drover's own, whose calls are more than the contract's.
	Own bool `json:"own,omitempty"`
	// Forget are ended containers whose results are safe.
	Forget []string `json:"forget,omitempty"`
	// Unlisted: the instance no longer lists it. Its result is fetched; if there is none
	// it is lost.
	Unlisted bool `json:"unlisted,omitempty"`
	// Signal and Term are the intervals of KillInput, for a container that nobody wants.
	Signal fleetspec.Duration `json:"signal"`
	Term   fleetspec.Duration `json:"term"`
}

// RunContainerResult is the result of the RunContainer activity.
type RunContainerResult struct {
	How    EndKind `json:"how"`
	Detail string  `json:"detail,omitempty"`
	// WorkflowID is that of an adopted container, if it is not the usual one.
	WorkflowID string `json:"workflow_id,omitempty"`
	// The rest is for Exited.
	ExitCode        int       `json:"exit_code"`
	Output          string    `json:"output,omitempty"`
	OutputTruncated bool      `json:"output_truncated,omitempty"`
	StartedAt       time.Time `json:"started_at,omitzero"`
	FinishedAt      time.Time `json:"finished_at,omitzero"`
}

// KillInput is the input of the KillContainer activity, which returns whether the
// container no longer runs.
type KillInput struct {
	Machine    Machine    `json:"machine"`
	Assignment Assignment `json:"assignment"`
	// Interval is the time from one SIGTERM to the next, Timeout until it is given up.
	Interval fleetspec.Duration `json:"interval"`
	Timeout  fleetspec.Duration `json:"timeout"`
}

// RevokeInput is the input of the RevokeContainer activity, which returns when the container
// has begun, or never will.
type RevokeInput struct {
	Machine    Machine    `json:"machine"`
	Assignment Assignment `json:"assignment"`
}

// DestroyInput is the input of the DestroyInstance activity, which returns once the
// instance is gone.
type DestroyInput struct {
	Machine Machine            `json:"machine"`
	Retry   fleetspec.Duration `json:"retry"`
}

// TagInput is the input of the TagInstance activity.
type TagInput struct {
	Machine  Machine  `json:"machine"`
	Behavior Behavior `json:"behavior"`
}

// ExplainInput is the input of the ExplainBoot activity, which returns a sentence or
// more for people.
type ExplainInput struct {
	Machine Machine `json:"machine"`
	// WorkflowID and RunID are the instance's workflow, whose pending activity is
	// asked about.
	WorkflowID string `json:"workflow_id"`
	RunID      string `json:"run_id"`
}

// RecallInput is the input of the RecallContainers activity, which has a page of the
// containers of a fleet that was created anew submit themselves again, and returns the
// next page: nothing after the last.
type RecallInput struct {
	Fleet string `json:"fleet"`
	// Before is when the fleet was created.
	Before time.Time `json:"before"`
	// Page is what the last call returned. Empty: the first.
	Page []byte `json:"page,omitempty"`
	// RequestID keeps a container from being told twice.
	RequestID string `json:"request_id"`
}

// SubmitInput is the input of the SubmitContainer activity.
type SubmitInput struct {
	Fleet     string  `json:"fleet"`
	Request   Request `json:"request"`
	RequestID string  `json:"request_id"`
}

// AskInput is the input of the AskStatus activity, which returns the container's
// ContainerState as its fleet sees it, without a State if the fleet does not know it.
type AskInput struct {
	Fleet     string `json:"fleet"`
	Container string `json:"container"`
}
