package api

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"drover/internal/fleetspec"
)

// Request is what a Container asks of its Fleet. Requests are idempotent.
type Request struct {
	Kind RequestKind `json:"kind"`
	ID   string      `json:"id"`
	// WorkflowID is the Container's, when it is not ContainerWorkflowID(ID).
	WorkflowID string `json:"workflow_id,omitempty"`
	// The rest is for Submit; Priority also for Prioritize.
	Priority    int            `json:"priority,omitempty"`
	VCPUs       float64        `json:"vcpus,omitempty"`
	Memory      fleetspec.Size `json:"memory,omitempty"`
	Scratch     fleetspec.Size `json:"scratch,omitempty"`
	GPUs        int            `json:"gpus,omitempty"`
	Preemptible bool           `json:"preemptible,omitempty"`
	Attempts    int            `json:"attempts,omitempty"`
	// Image: it has one.
	Image bool `json:"image,omitempty"`
	// Again: it has been submitted before.
	Again bool `json:"again,omitempty"`
	// Label is the command, shortened, for people.
	Label    string    `json:"label,omitempty"`
	QueuedAt time.Time `json:"queued_at,omitzero"`
}

// RequestKind says what a Request asks for.
type RequestKind string

// The kinds of requests.
const (
	Submit     RequestKind = "submit"
	Cancel     RequestKind = "cancel"
	Prioritize RequestKind = "prioritize"
)

// Assignment is one attempt of a container on an instance.
type Assignment struct {
	Container string `json:"container"`
	// WorkflowID is the Container's, when it is not ContainerWorkflowID(Container).
	WorkflowID string `json:"workflow_id,omitempty"`
	// Attempt is unique among the attempts of the container, and rises. Count is how many
	// have been used up, this one included: one that was never begun is not counted.
	Attempt  int       `json:"attempt"`
	Count    int       `json:"count,omitempty"`
	Label    string    `json:"label,omitempty"`
	QueuedAt time.Time `json:"queued_at"`
	// Share is the part of the instance's price that the container is charged.
	Share float64 `json:"share"`
	// Adopted marks a container that was found on the instance.
	Adopted bool `json:"adopted,omitempty"`
	// After are attempts on the instance, as OnInstance names them: this one begins when one
	// of them has ended. Empty: at once.
	After []string `json:"after,omitempty"`
}

// OnInstance is what the runner calls the attempt. It starts a name once, so that the
// attempts after the first need names of their own.
func (a Assignment) OnInstance() string {
	if a.Attempt > 1 {
		return fmt.Sprintf("%s~%d", a.Container, a.Attempt)
	}
	return a.Container
}

// ParseOnInstance returns the container and the attempt that the runner calls so.
func ParseOnInstance(name string) (container string, attempt int, err error) {
	container, suffix, numbered := strings.Cut(name, "~")
	attempt = 1
	if numbered {
		if attempt, err = strconv.Atoi(suffix); err != nil || attempt < 2 {
			return "", 0, fmt.Errorf("%q is not the name of an attempt", name)
		}
	}
	return container, attempt, CheckContainerID(container)
}

// Orders is what a Fleet tells one of its Instances. The same orders may come again,
// also with more or less in them: the workflow task that sent them may have failed, and
// been carried out anew when more was known. What was done already is not done again.
type Orders struct {
	// Fleet is the first run of the fleet's workflow. One that was created anew wants a
	// report.
	Fleet string `json:"fleet"`
	Seq   int64  `json:"seq"`
	// Run are containers to start.
	Run []Assignment `json:"run,omitempty"`
	// Resume are containers that an earlier workflow of the instance was told to run. It
	// stays with them, whatever its state: they may have been started, and may have ended.
	Resume []Assignment `json:"resume,omitempty"`
	// Kill are attempts to end, as Assignment.OnInstance names them.
	Kill []string `json:"kill,omitempty"`
	// Revoke are attempts that must not begin if they have not, named in the same way.
	Revoke []string `json:"revoke,omitempty"`
	// Leave asks the instance to go if nothing runs on it, without waiting for its
	// idle timeout, and says why.
	Leave string `json:"leave,omitempty"`
	// Drain asks the instance to drain, unless it is on hold, and says why.
	Drain string `json:"drain,omitempty"`
	// Keep says whether the instance stays when its idle timeout has passed. Nil: as
	// before.
	Keep *bool `json:"keep,omitempty"`
	// Greet has no effect but that of Fleet.
	Greet bool `json:"greet,omitempty"`
}

// Report is what an Instance tells its Fleet: where it stands, and what has happened
// since the last report. Like Orders, the same may come again, with other content.
type Report struct {
	Instance string `json:"instance"`
	// Incarnation is that of the sender's input. A report of an earlier one is out of date.
	Incarnation int64 `json:"incarnation,omitempty"`
	Seq         int64 `json:"seq"`
	// OrdersSeen is the highest Orders.Seq that the instance has carried out.
	OrdersSeen int64    `json:"orders_seen"`
	Type       string   `json:"type"`
	State      string   `json:"state"`
	Behavior   Behavior `json:"behavior"`
	CloudID    string   `json:"cloud_id,omitempty"`
	// Running are the attempts that start or run on the instance, as
	// Assignment.OnInstance names them.
	Running []string `json:"running,omitempty"`
	Ended   []Ended  `json:"ended,omitempty"`
	// Refused are attempts of Orders.Run that were not started and never will be.
	Refused []string `json:"refused,omitempty"`
	// Refusal says why the cloud did not create the instance.
	Refusal *CreateRefusal `json:"refusal,omitempty"`
	// BootOutcome is set in every report from the one on that settles it.
	BootOutcome string `json:"boot_outcome,omitempty"`
	// Kept: it stays when its idle timeout has passed, as Orders.Keep has said.
	Kept bool `json:"kept,omitempty"`
	// Listed: what runs on the instance has been looked at.
	Listed bool `json:"listed,omitempty"`
	// Gone says that the instance no longer exists in the cloud, or never did.
	Gone   bool   `json:"gone,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Mail is what several containers ask of their Fleet, and several instances tell it.
type Mail struct {
	Requests []Request `json:"requests,omitempty"`
	Reports  []Report  `json:"reports,omitempty"`
}

// Ended is the end of one attempt of a container.
type Ended struct {
	Container string  `json:"container"`
	Attempt   int     `json:"attempt"`
	How       EndKind `json:"how"`
	Detail    string  `json:"detail,omitempty"`
}

// EndKind says how an attempt ended.
type EndKind string

// The ends of an attempt. After all but Exited and Unwanted the container is tried
// again, as long as it has attempts left; one that was Revoked has not used one up.
const (
	Exited      EndKind = "exited"       // has a result, which the Container was told
	StartFailed EndKind = "start failed" // the instance could not start it
	Lost        EndKind = "lost"         // its instance is gone
	Unkillable  EndKind = "unkillable"   // given up; its instance goes
	Preempted   EndKind = "preempted"    // ended by drover: its provider takes the instance
	Unwanted    EndKind = "unwanted"     // its workflow has closed; nothing was started
	Revoked     EndKind = "revoked"      // it had not begun, and will not
)

// Outcome is the end of a container, told to its workflow. One of Result, Cancelled, Failed
// and Refused is set.
type Outcome struct {
	Result *ContainerResult `json:"result,omitempty"`
	// Cancelled: it has no result; nothing of it runs.
	Cancelled bool `json:"cancelled,omitempty"`
	// Story says, with Cancelled, what became of its last attempt, if there was one.
	Story string `json:"story,omitempty"`
	// Failed says why no further attempt is made.
	Failed string `json:"failed,omitempty"`
	// Refused says why it can't run in this fleet.
	Refused string `json:"refused,omitempty"`
}

// CreateRefusal says why an instance was not created: a driver's refusal, or, with class
// RefusedFailed, an error that did not go away.
type CreateRefusal struct {
	// Class, Scope, Group and RetryAt are those of cloud.Error.
	Class   string    `json:"class"`
	Scope   string    `json:"scope,omitempty"`
	Group   string    `json:"group,omitempty"`
	RetryAt time.Time `json:"retry_at,omitzero"`
	Message string    `json:"message"`
	// Doubtful: an earlier try may have created it all the same. It is destroyed.
	Doubtful bool `json:"doubtful,omitempty"`
}

// RefusedFailed is the class of an error of no class of the driver's.
const RefusedFailed = "failed"

// Message is a signal to send or a workflow to start: what a workflow hands to the
// Deliver activity.
type Message struct {
	// WorkflowID is the receiver.
	WorkflowID string `json:"workflow_id"`
	// Signal is the signal's name. Empty: start the Instance workflow of that ID.
	Signal string `json:"signal,omitempty"`
	// Payload is the signal's argument or the workflow's input.
	Payload json.RawMessage `json:"payload"`
	// RequestID makes the delivery of the same content idempotent.
	RequestID string `json:"request_id"`
}

// Delivery is the result of the Deliver activity.
type Delivery struct {
	// Missing are the indexes of messages whose receiver does not run, or can't take them,
	// and of starts of Instance workflows that have closed already.
	Missing []int `json:"missing,omitempty"`
	// Doubtful are those of Missing that were for an Instance whose workflow has not come to
	// its own end: its machine may live, and may run what an earlier try has told it.
	Doubtful []int `json:"doubtful,omitempty"`
}
