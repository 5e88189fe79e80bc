package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"drover/internal/fleetspec"
	"drover/internal/schedule"
)

// FleetInput is the input of the Fleet workflow.
type FleetInput struct {
	Spec fleetspec.Spec `json:"spec"`
	// Carried is what an earlier run of the same workflow left. Nil in the first.
	Carried *FleetCarried `json:"carried,omitempty"`
	// Mail had come in, and is to be taken in.
	Mail []Mail `json:"mail,omitempty"`
}

// UnmarshalJSON decodes an object.
func (f *FleetInput) UnmarshalJSON(data []byte) error {
	type plain FleetInput
	var p plain
	var mistyped *json.UnmarshalTypeError
	if err := json.Unmarshal(data, &p); errors.As(err, &mistyped) && mistyped.Field == "" {
		return fmt.Errorf(`a JSON %s is not a fleet's input; allowed: {"spec": …}`, mistyped.Value)
	} else if err != nil {
		return err
	}
	*f = FleetInput(p)
	return nil
}

// FleetCarried is what a Fleet carries over when it continues as new.
type FleetCarried struct {
	Ready     FleetReady          `json:"ready"`
	Shapes    []schedule.Shape    `json:"shapes,omitempty"`
	Queue     []CarriedContainer  `json:"queue,omitempty"`
	Instances []CarriedInstance   `json:"instances,omitempty"`
	Learnt    schedule.Learnt     `json:"learnt"`
	Stories   map[string][]string `json:"stories,omitempty"`
	Totals    FleetTotals         `json:"totals"`
	NextOrder int64               `json:"next_order"`
	// Names counts the instances that were named, over all runs.
	Names int64 `json:"names"`
	// Since is when the fleet was created.
	Since    time.Time `json:"since"`
	Deleting bool      `json:"deleting,omitempty"`
	// Prepared: a worker has found that it can work for the fleet.
	Prepared bool `json:"prepared,omitempty"`
	// Recalled: the containers of an earlier fleet of this name have been told, up to
	// RecallPage otherwise.
	Recalled   bool   `json:"recalled,omitempty"`
	RecallPage []byte `json:"recall_page,omitempty"`
	// Outbox is to be delivered.
	Outbox []Message `json:"outbox,omitempty"`
	Looks  Looks     `json:"looks,omitzero"`
}

// CarriedContainer is a container of a Fleet, in few bytes: there can be many.
type CarriedContainer struct {
	ID       string `json:"i"`
	Shape    int    `json:"s,omitempty"`
	Priority int    `json:"p,omitempty"`
	Order    int64  `json:"o"`
	Attempts int    `json:"n"`
	Attempt  int    `json:"a,omitempty"`
	Used     int    `json:"u,omitempty"`
	Highest  int    `json:"h,omitempty"`
	QueuedMS int64  `json:"q"`
	Instance string `json:"on,omitempty"`
	State    string `json:"st,omitempty"`
	Label    string `json:"l,omitempty"`
	Workflow string `json:"w,omitempty"`
	Cancel   bool   `json:"c,omitempty"`
	// SentMS is when it was sent to its instance or, sent ahead, has begun.
	SentMS int64 `json:"t,omitempty"`
	// After are, with commas between, the attempts of which one has to end before it begins.
	After string `json:"f,omitempty"`
	// Revoked: so says an order.
	Revoked bool `json:"r,omitempty"`
}

// CarriedInstance is an instance of a Fleet.
type CarriedInstance struct {
	Name      string    `json:"name"`
	Type      string    `json:"type"`
	State     string    `json:"state"`
	Behavior  Behavior  `json:"behavior"`
	CloudID   string    `json:"cloud_id,omitempty"`
	Accepted  bool      `json:"accepted,omitempty"`
	IdleSince time.Time `json:"idle_since,omitzero"`
	OrdersSeq int64     `json:"orders_seq"`
	ReportSeq int64     `json:"report_seq"`
	// Incarnation is the latest that has reported.
	Incarnation int64 `json:"incarnation,omitempty"`
	// Heard: the fleet knows of it by a report only, and has not started its workflow.
	Heard   bool `json:"heard,omitempty"`
	Leaving bool `json:"leaving,omitempty"`
	Kept    bool `json:"kept,omitempty"`
	// Reported: it has said what it runs. Strangers run on it, by the runner's names, and
	// are not known to the fleet (yet).
	Reported  bool     `json:"reported,omitempty"`
	Strangers []string `json:"strangers,omitempty"`
	// Brief: what ended last on it was short.
	Brief bool `json:"brief,omitempty"`
	// Telling are the IDs of the containers whose exits its latest report was about:
	// their outcomes may be on their way.
	Telling []string `json:"telling,omitempty"`
	// Orders are to be sent.
	Orders Orders `json:"orders,omitzero"`
}

// FleetReady is what a worker found when it prepared a fleet.
type FleetReady struct {
	// OutputStore is the URL of the store that is used.
	OutputStore string `json:"output_store"`
	// Found are the fleet's instances in the cloud.
	Found []Found `json:"found,omitempty"`
}

// FleetTotals counts what a fleet has done in all its life.
type FleetTotals struct {
	Submitted int64 `json:"submitted"`
	Exited    int64 `json:"exited"`
	Failed    int64 `json:"failed"`
	Cancelled int64 `json:"cancelled"`
	Retried   int64 `json:"retried"`
	Created   int64 `json:"created"`
}

// FleetState answers QueryState on a Fleet.
type FleetState struct {
	Name string         `json:"name"`
	Spec fleetspec.Spec `json:"spec"`
	// OutputStore is the URL of the store that is used. Empty until a worker has
	// prepared the fleet.
	OutputStore string `json:"output_store"`
	// Problem says why the fleet can't work, if so.
	Problem string `json:"problem,omitempty"`
	// Deleting: it takes nothing new, and goes when its containers have ended.
	Deleting  bool                 `json:"deleting,omitempty"`
	Queued    int                  `json:"queued"`
	Assigned  int                  `json:"assigned"`
	Running   int                  `json:"running"`
	Instances []FleetInstanceState `json:"instances"`
	Totals    FleetTotals          `json:"totals"`
	Since     Time                 `json:"since"`
}

// FleetInstanceState is an instance as its fleet sees it.
type FleetInstanceState struct {
	Name         string   `json:"name"`
	Type         string   `json:"type"`
	State        string   `json:"state"`
	IdleBehavior Behavior `json:"idle_behavior"`
	CloudID      string   `json:"cloud_id"`
	Containers   int      `json:"containers"`
}

// PageLimit is how many containers a page has: far from the 2 MB that an answer may have.
const PageLimit = 1000

// ContainersQuery selects containers of a Fleet.
type ContainersQuery struct {
	// ID selects one container, IDs several. Without them: all.
	ID  string   `json:"id,omitempty"`
	IDs []string `json:"ids,omitempty"`
	// Offset and Limit page through all. Limit 0: PageLimit; at most twice that.
	Offset int `json:"offset,omitempty"`
	Limit  int `json:"limit,omitempty"`
}

// ContainersPage is a part of a Fleet's containers, in the order in which they are
// scheduled.
type ContainersPage struct {
	Total      int              `json:"total"`
	Containers []ContainerState `json:"containers"`
}

// DeleteFleet is the payload of UpdateDelete.
type DeleteFleet struct {
	// Drain lets running and queued containers end first, and refuses new ones.
	Drain bool `json:"drain,omitempty"`
}

// UnmarshalJSON decodes an object or null.
func (d *DeleteFleet) UnmarshalJSON(data []byte) error {
	type plain DeleteFleet
	var p plain
	if err := strictly(data, &p); err != nil {
		return fmt.Errorf(`%w; allowed: {"drain": true}, {"drain": false} or nothing`, err)
	}
	*d = DeleteFleet(p)
	return nil
}
