// Package api holds the names and the JSON that drover's workflows, its
// activities, its command line and outsiders agree on. It does no I/O.
package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"go.temporal.io/sdk/temporal"
)

// DefaultTaskQueue is the task queue that drover's workers poll unless told
// otherwise.
const DefaultTaskQueue = "drover"

// FleetPriority is that of a Fleet: where there is more to do than workers can, all others
// wait for it. Servers that know no priorities ignore it.
var FleetPriority = temporal.Priority{PriorityKey: 1}

// The types of drover's workflows.
const (
	FleetWorkflow     = "Fleet"
	InstanceWorkflow  = "Instance"
	ContainerWorkflow = "Container"
)

// Signals that people and outsiders send. Their payloads are part of the contract.
const (
	// SignalSetIdleBehavior goes to an Instance, with a SetIdleBehavior or a plain
	// string.
	SignalSetIdleBehavior = "set-idle-behavior"
	// SignalDestroy goes to an Instance, with a reason string, a Destroy, or nothing.
	SignalDestroy = "destroy"
	// SignalSetPriority goes to a Container, with an integer.
	SignalSetPriority = "set-priority"
)

// Signals that drover's workflows send to each other.
const (
	// SignalRequest goes from a Container to its Fleet, with a Request.
	SignalRequest = "container-request"
	// SignalOrders goes from a Fleet to one of its Instances, with an Orders.
	SignalOrders = "fleet-orders"
	// SignalReport goes from an Instance to its Fleet, with a Report.
	SignalReport = "instance-report"
	// SignalMail goes to a Fleet in the place of several SignalRequest and SignalReport, with
	// a Mail.
	SignalMail = "mail"
	// SignalSubmitAgain goes from a Fleet that was created anew to the Containers that were
	// submitted before, without a payload.
	SignalSubmitAgain = "submit-again"
	// SignalOutcome goes from an Instance or a Fleet to a Container, with an Outcome.
	SignalOutcome = "outcome"
)

// Queries and updates.
const (
	// QueryState answers on every workflow: FleetState, InstanceState or
	// ContainerState.
	QueryState = "state"
	// QueryAttempts asks an Instance for what its runner calls the containers that start or
	// run there: a list of strings.
	QueryAttempts = "attempts"
	// QueryContainers asks a Fleet for its containers: a ContainersQuery in, a
	// ContainersPage out.
	QueryContainers = "containers"
	// UpdateIdleBehavior is SignalSetIdleBehavior as an update that refuses nonsense
	// to the one who sent it: a SetIdleBehavior in, an InstanceState out.
	UpdateIdleBehavior = "update-idle-behavior"
	// UpdateDestroy is SignalDestroy as an update: a Destroy in, an InstanceState out.
	UpdateDestroy = "update-destroy"
	// UpdateApply changes a Fleet's spec: a fleetspec.Spec in, a FleetState out.
	UpdateApply = "apply"
	// UpdateDelete ends a Fleet: a DeleteFleet in, a FleetState out.
	UpdateDelete = "delete"
)

// Search attributes, all Keywords. A workflow that sets one that is not registered
// is blocked, so workers register them when they start.
var (
	AttributeFleet        = temporal.NewSearchAttributeKeyKeyword("DroverFleet")
	AttributeState        = temporal.NewSearchAttributeKeyKeyword("DroverState")
	AttributeInstanceType = temporal.NewSearchAttributeKeyKeyword("DroverInstanceType")
	AttributeIdleBehavior = temporal.NewSearchAttributeKeyKeyword("DroverIdleBehavior")
	AttributeCloudID      = temporal.NewSearchAttributeKeyKeyword("DroverCloudID")
)

// SearchAttributes are the names of all search attributes, in alphabetical order.
func SearchAttributes() []string {
	return []string{
		AttributeCloudID.GetName(),
		AttributeFleet.GetName(),
		AttributeIdleBehavior.GetName(),
		AttributeInstanceType.GetName(),
		AttributeState.GetName(),
	}
}

// FleetWorkflowID returns the workflow ID of a fleet.
func FleetWorkflowID(fleet string) string { return "fleet/" + fleet }

// InstanceWorkflowID returns the workflow ID of an instance.
func InstanceWorkflowID(fleet, instance string) string {
	return "instance/" + fleet + "/" + instance
}

// ContainerWorkflowID returns the workflow ID of a container.
func ContainerWorkflowID(container string) string { return "container/" + container }

// WorkflowOf returns the workflow ID of a container: other, if there is one.
func WorkflowOf(container, other string) string {
	if other != "" {
		return other
	}
	return ContainerWorkflowID(container)
}

// ContainerID returns the ID of the container whose workflow has the given ID. A
// Container may be started under any workflow ID; one that is not of the contract's
// form names the container itself if it can, and otherwise an ID is made from it.
func ContainerID(workflowID string) string {
	id := strings.TrimPrefix(workflowID, "container/")
	if CheckContainerID(id) == nil {
		return id
	}
	readable := strings.Trim(unsafe.ReplaceAllString(id, "-"), "-._")
	if len(readable) > 60 {
		readable = readable[:60]
	}
	sum := sha256.Sum256([]byte(workflowID))
	return "c" + readable + "-" + hex.EncodeToString(sum[:4])
}

// OtherWorkflowID returns the workflow ID of a container if it is not
// ContainerWorkflowID of its ID, and otherwise nothing.
func OtherWorkflowID(workflowID string) string {
	if workflowID == ContainerWorkflowID(ContainerID(workflowID)) {
		return ""
	}
	return workflowID
}

var unsafe = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

var containerIDPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// CheckContainerID says what is wrong with a container's ID, if anything.
func CheckContainerID(id string) error {
	if id == "broken" {
		return fmt.Errorf("container ID %q is not allowed: it has a meaning in what the runner prints", id)
	}
	if !containerIDPattern.MatchString(id) {
		return fmt.Errorf("container ID %q is not allowed: 1 to 100 letters, digits, dots, dashes and underscores, a letter or digit first", id)
	}
	return nil
}
