package api

import (
	"time"

	"drover/internal/fleetspec"
)

// The states of an instance.
const (
	StateUnknown  = "unknown"  // found in the cloud's list, not created by this workflow
	StateBooting  = "booting"  // created by us, not yet usable
	StateIdle     = "idle"     // usable, nothing runs
	StateRunning  = "running"  // containers start or run
	StateShutdown = "shutdown" // being destroyed
	StateGone     = "gone"     // no longer in the cloud
)

// The boot outcomes, of which every instance reports exactly one.
const (
	BootSuccess     = "success"
	BootFailure     = "failure"
	BootAborted     = "aborted"     // shut down by choice before it was up
	BootDisappeared = "disappeared" // the cloud took it
)

// The outcomes of an instance that was created.
const (
	OutcomeDestroyed   = "destroyed"
	OutcomeDisappeared = "disappeared" // the cloud took it, or it ended by itself
)

// InstanceInput is the input of the Instance workflow.
type InstanceInput struct {
	Name string                 `json:"name"`
	Type fleetspec.InstanceType `json:"type"`
	Spec InstanceSpec           `json:"spec"`
	// Incarnation orders the workflows that an instance may have one after the other:
	// milliseconds since 1970.
	Incarnation int64 `json:"incarnation,omitempty"`
	// Found is set when the instance was not created by this workflow, but found in
	// the cloud's list: it may be running containers already.
	Found *Found `json:"found,omitempty"`
	// Carried is what an earlier run of the same workflow left. Nil in the first.
	Carried *InstanceCarried `json:"carried,omitempty"`
}

// InstanceSpec is the part of a fleet's spec that its instances need.
type InstanceSpec struct {
	Fleet       string              `json:"fleet"`
	Driver      string              `json:"driver"`
	Local       *fleetspec.Local    `json:"local,omitempty"`
	Faults      *fleetspec.Faults   `json:"faults,omitempty"`
	Timeouts    fleetspec.Timeouts  `json:"timeouts"`
	Intervals   fleetspec.Intervals `json:"intervals"`
	BootProbe   string              `json:"boot_probe"`
	InitCommand string              `json:"init_command,omitempty"`
	SSH         fleetspec.SSH       `json:"ssh"`
	Runner      fleetspec.Runner    `json:"runner"`
	Engine      string              `json:"engine"`
	// Output has the URL of the store that is used.
	Output fleetspec.Output `json:"output"`
}

// InstanceSpecOf returns what the instances of a fleet need.
func InstanceSpecOf(s fleetspec.Spec) InstanceSpec {
	return InstanceSpec{
		Fleet: s.Name, Driver: s.Driver, Local: s.Local, Faults: s.Faults, Timeouts: s.Timeouts, Intervals: s.Intervals,
		BootProbe: s.BootProbe, InitCommand: s.InitCommand, SSH: s.SSH, Runner: s.Runner, Engine: s.Engine, Output: s.Output,
	}
}

// Found is an instance in the cloud's list.
type Found struct {
	Name    string `json:"name"`
	CloudID string `json:"cloud_id"`
	// Type and Behavior are those of its tags.
	Type      string    `json:"type"`
	Behavior  Behavior  `json:"behavior"`
	CreatedAt time.Time `json:"created_at"`
}

// InstanceCarried is what an Instance carries over when it continues as new.
type InstanceCarried struct {
	State InstanceState `json:"state"`
	// Machine is how the instance is reached.
	Machine Machine `json:"machine"`
	// Containers run on the instance and are re-attached to.
	Containers []CarriedAttempt `json:"containers,omitempty"`
	// Kept: it stays when its idle timeout has passed.
	Kept bool `json:"kept,omitempty"`
	// IdleSince is when its last container ended, or when it came up.
	IdleSince time.Time `json:"idle_since"`
	// BusyCost is what the times in which containers ran have cost, the present one
	// not included.
	BusyCost float64 `json:"busy_cost"`
	// Tagged is the idle behavior in the cloud's tag.
	Tagged Behavior `json:"tagged"`
	// Forget are ended containers whose records the instance still has.
	Forget []string `json:"forget,omitempty"`
	// Unfit says why the instance drains once it is no longer on hold.
	Unfit string `json:"unfit,omitempty"`
	// Broken and Unreachable are what the last watch has said.
	Broken      bool   `json:"broken,omitempty"`
	Unreachable string `json:"unreachable,omitempty"`
	// Watched is what probes had seen by then, and Stale what the last watch said is stale.
	Watched Watched  `json:"watched"`
	Stale   []string `json:"stale,omitempty"`
	// Listed: what runs on it has been listed. AliveAt, of one that is not up, is since when its
	// boot timeout counts, Late why it has not come up, and Explained whether that is all that
	// can be said.
	Listed    bool      `json:"listed"`
	AliveAt   time.Time `json:"alive_at,omitzero"`
	Late      string    `json:"late,omitempty"`
	Explained bool      `json:"explained,omitempty"`
	// Aged: it has been drained because it had reached its maximum age.
	Aged bool `json:"aged,omitempty"`
	// OrdersSeen is the highest Orders.Seq that was carried out, ReportsSent the
	// highest Report.Seq.
	OrdersSeen int64 `json:"orders_seen"`
	// OrdersFrom is the Orders.Fleet of OrdersSeen.
	OrdersFrom  string `json:"orders_from"`
	ReportsSent int64  `json:"reports_sent"`
	// Had are the attempts that ended last: they are not started again.
	Had []string `json:"had,omitempty"`
}

// CarriedAttempt is an attempt of a container on an instance that continues as new.
type CarriedAttempt struct {
	Assignment
	// Killing: it is being killed. KillBy is when it is given up; the zero value: the term
	// timeout has not begun.
	Killing bool      `json:"killing,omitempty"`
	KillBy  time.Time `json:"kill_by,omitzero"`
	// Revoking: it is seen to that it does not begin if it has not.
	Revoking bool `json:"revoking,omitempty"`
	// GivenUp: it can't be killed.
	GivenUp bool `json:"given_up,omitempty"`
	// Unlisted: the instance no longer lists it, and its result is fetched.
	Unlisted bool `json:"unlisted,omitempty"`
}

// InstanceState answers QueryState on an Instance, and is the result of its
// workflow.
type InstanceState struct {
	Name         string   `json:"name"`
	Fleet        string   `json:"fleet"`
	CloudID      string   `json:"cloud_id"`
	Address      string   `json:"address"`
	State        string   `json:"state"`
	Since        Time     `json:"since"`
	Reason       string   `json:"reason"`
	IdleBehavior Behavior `json:"idle_behavior"`
	// BehaviorReason and BehaviorBy say why the behavior was set, and by whom.
	BehaviorReason string   `json:"behavior_reason,omitempty"`
	BehaviorBy     string   `json:"behavior_by,omitempty"`
	Type           string   `json:"type"`
	ProviderType   string   `json:"provider_type"`
	Price          float64  `json:"price"`
	Running        []string `json:"running"`
	LastContainer  string   `json:"last_container"`
	LastBusy       Time     `json:"last_busy"`
	BootOutcome    string   `json:"boot_outcome"`
	CreatedAt      Time     `json:"created_at"`
	// SSHAt is when it first answered, UpAt when it could first run containers, FirstAt
	// when it was first given one, LeftAt when its destruction began.
	SSHAt     Time `json:"ssh_at"`
	UpAt      Time `json:"up_at"`
	FirstAt   Time `json:"first_container_at"`
	LeftAt    Time `json:"left_at"`
	GoneAt    Time `json:"gone_at"`
	LastProbe Time `json:"last_probe"`
	// NoticeAt is when the provider will take the instance, once it has said so.
	NoticeAt Time `json:"notice_at"`
	// Outcome says, once the instance is gone, how it went: OutcomeDestroyed,
	// OutcomeDisappeared, or the CreateRefusal.Class with which it was not created.
	Outcome string `json:"outcome,omitempty"`
	// Notes are things that a person should see: an ignored signal, a boot that
	// failed and why. The newest is last.
	Notes []string `json:"notes,omitempty"`
	// Cost is what the instance has cost until CostAt, and BusyCost the part of it in which
	// containers ran. While it exists that is when something last happened to it: see
	// CostsUntil. CostAt is zero as long as it costs nothing.
	Cost       float64 `json:"cost"`
	BusyCost   float64 `json:"busy_cost"`
	CostAt     Time    `json:"cost_at"`
	WorkflowID string  `json:"workflow_id"`
	RunID      string  `json:"run_id"`
}

// CostsUntil is the state with what the instance has cost until then, if it still exists. A
// workflow can't answer with that itself: while nothing happens, its clock stands still.
func (s InstanceState) CostsUntil(at time.Time) InstanceState {
	since := at.Sub(s.CostAt.Time)
	if s.CostAt.IsZero() || s.State == StateGone || since <= 0 {
		return s
	}
	more := s.Price * since.Hours()
	s.Cost += more
	if s.State == StateRunning {
		s.BusyCost += more
	}
	s.CostAt = Time{at}
	return s
}
