package api

import (
	"time"

	"drover/internal/fleetspec"
)

// SyncInput is the input of the SyncFleet activity.
type SyncInput struct {
	Fleet  string            `json:"fleet"`
	Driver string            `json:"driver"`
	Local  *fleetspec.Local  `json:"local,omitempty"`
	Faults *fleetspec.Faults `json:"faults,omitempty"`
	// Wait is the time until the first look, Interval that from one look to the next.
	Wait     fleetspec.Duration `json:"wait,omitempty"`
	Interval fleetspec.Duration `json:"interval"`
	// Suspected is what the last look has found, an interval before the first one.
	Suspected Suspicion `json:"suspected,omitzero"`
	// Report: the activity returns from its first look, also when there is nothing to say.
	Report bool `json:"report,omitempty"`
	// Once: two looks, a moment apart, whatever they find. Wait, Interval and Suspected
	// don't matter.
	Once bool `json:"once,omitempty"`
}

// SyncResult is where the cloud's list and the fleet differ, twice in a row.
type SyncResult struct {
	// Found are instances that the fleet does not know, or whose workflow does not run.
	Found []Found `json:"found,omitempty"`
	// Vanished are instances whose workflow does not run, and that the cloud does not
	// have.
	Vanished []string `json:"vanished,omitempty"`
	// Suspected is where they differed in the last look only.
	Suspected Suspicion `json:"suspected,omitzero"`
	// Failed: the cloud could not be looked at, so that nothing else has changed.
	Failed bool `json:"failed,omitempty"`
}

// Suspicion are the names of instances that one look at the cloud's list found where the
// fleet does not expect them: what SyncResult has of those on which two looks agree.
type Suspicion struct {
	Found    []string `json:"found,omitempty"`
	Vanished []string `json:"vanished,omitempty"`
}

// IsZero reports whether there are none.
func (s Suspicion) IsZero() bool { return len(s.Found)+len(s.Vanished) == 0 }

// Looks is what a Fleet knows of the looks at the cloud's list.
type Looks struct {
	// Last is when one was last heard of, also one that failed.
	Last time.Time `json:"last"`
	// Suspected is what it has found, and the next one has to confirm.
	Suspected Suspicion `json:"suspected,omitzero"`
}
