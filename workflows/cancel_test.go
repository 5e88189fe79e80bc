package workflows_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// TestAContainerIsCancelledInEveryState cancels container c in every state that a fleet
// knows, and twice: it ends once, as what it was.
func TestAContainerIsCancelledInEveryState(t *testing.T) {
	exited := func(attempt int) []api.Ended {
		return []api.Ended{{Container: "c", Attempt: attempt, How: api.Exited}}
	}
	for name, c := range map[string]struct {
		before func(w *world) // from 1 s on, brings it into the state
		state  string         // at 9 s; it is cancelled at 10 s and 11 s
		status string         // likewise
		kills  int            // orders to kill it
		after  func(w *world) // from 15 s on
		want   []api.Outcome  // that it is told, up to the first second after
		ends   []api.Outcome  // that it is told later
	}{
		"queued": {
			before: func(w *world) {
				other := request("other")
				other.Priority = 1
				w.signal(time.Second, api.SignalRequest, other)
				w.signal(2*time.Second, api.SignalRequest, request("c"))
				w.up(3*time.Second, 0)
			},
			state: api.ContainerQueued, status: "queue position 1: fleet is at its limit of 1 instance (max_instances)",
			want: []api.Outcome{{Cancelled: true}, {Cancelled: true}},
		},
		"on hold": {
			before: func(w *world) {
				held := request("c")
				held.Priority = -1
				w.signal(time.Second, api.SignalRequest, held)
			},
			state: api.ContainerQueued, status: "on hold: priority is negative",
			want: []api.Outcome{{Cancelled: true}, {Cancelled: true}},
		},
		"assigned to an instance that boots": {
			before: func(w *world) { w.signal(time.Second, api.SignalRequest, request("c")) },
			state:  api.ContainerAssigned, status: "waiting for a small instance to boot",
			want: []api.Outcome{{Cancelled: true}, {Cancelled: true}},
		},
		"just ordered, and begun": {
			before: func(w *world) {
				w.signal(time.Second, api.SignalRequest, request("c"))
				w.up(2*time.Second, 0)
			},
			state: api.ContainerRunning, kills: 1,
			after: func(w *world) {
				w.reportFrom(15*time.Second, 0, 2, api.Report{State: api.StateIdle, CloudID: "i-0", Ended: exited(1)})
			},
		},
		"just ordered, and never begun": {
			before: func(w *world) {
				w.signal(time.Second, api.SignalRequest, request("c"))
				w.up(2*time.Second, 0)
			},
			state: api.ContainerRunning, kills: 1,
			after: func(w *world) {
				w.reportFrom(15*time.Second, 0, 2, api.Report{State: api.StateIdle, CloudID: "i-0", Refused: []string{"c"}})
			},
			ends: []api.Outcome{{Cancelled: true}},
		},
		"running on an instance that is lost while it is killed": {
			before: func(w *world) {
				w.signal(time.Second, api.SignalRequest, request("c"))
				w.up(2*time.Second, 0)
				w.reportFrom(3*time.Second, 0, 2, api.Report{State: api.StateRunning, CloudID: "i-0", Running: []string{"c"}})
			},
			state: api.ContainerRunning, kills: 1,
			after: func(w *world) {
				w.reportFrom(15*time.Second, 0, 3, api.Report{State: api.StateGone, CloudID: "i-0", Gone: true,
					Ended: []api.Ended{{Container: "c", Attempt: 1, How: api.Lost, Detail: "power cut"}}})
			},
			ends: []api.Outcome{{Cancelled: true, Story: "cancelled; attempt 1 on NAME: lost: power cut"}},
		},
		"waiting for its next attempt": {
			before: func(w *world) {
				w.signal(time.Second, api.SignalRequest, request("c"))
				w.up(2*time.Second, 0)
				w.reportFrom(3*time.Second, 0, 2, api.Report{State: api.StateGone, CloudID: "i-0", Gone: true,
					Ended: []api.Ended{{Container: "c", Attempt: 1, How: api.Lost, Detail: "power cut"}}})
			},
			state: api.ContainerAssigned, status: "waiting for a small instance to boot (attempt 1 on NAME: lost: power cut)",
			want: []api.Outcome{{Cancelled: true}, {Cancelled: true}},
		},
		"ended, and being told": {
			before: func(w *world) {
				w.signal(time.Second, api.SignalRequest, request("c"))
				w.up(2*time.Second, 0)
				w.reportFrom(3*time.Second, 0, 2, api.Report{State: api.StateIdle, CloudID: "i-0", Ended: exited(1)})
			},
		},
		"ended": {
			before: func(w *world) {
				w.signal(time.Second, api.SignalRequest, request("c"))
				w.up(2*time.Second, 0)
				w.reportFrom(3*time.Second, 0, 2, api.Report{State: api.StateIdle, CloudID: "i-0", Ended: exited(1)})
				w.reportFrom(4*time.Second, 0, 3, api.Report{State: api.StateIdle, CloudID: "i-0"})
			},
			want: []api.Outcome{{Cancelled: true}, {Cancelled: true}},
		},
		"unknown": {
			before: func(w *world) { w.signal(time.Second, api.SignalRequest, request("other")) },
			want:   []api.Outcome{{Cancelled: true}, {Cancelled: true}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.before(w)
			named := func(text string) string {
				if len(w.started) == 0 {
					return text
				}
				return strings.ReplaceAll(text, "NAME", w.started[0].Name)
			}
			w.after(9*time.Second, func() {
				var seen api.ContainerState
				for _, each := range w.containers() {
					if each.ID == "c" {
						seen = each
					}
				}
				assert.Equal(t, c.state, seen.State, "before")
				if c.status != "" {
					assert.Equal(t, named(c.status), seen.Status)
				}
			})
			for _, at := range []time.Duration{10, 11} {
				w.signal(at*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c"})
			}
			w.after(12*time.Second, func() {
				assert.Equal(t, c.want, w.outcomes["container/c"], "at once")
				kills := 0
				for _, o := range w.orders {
					kills += len(o.Kill)
				}
				assert.Equal(t, c.kills, kills)
				if c.kills > 0 {
					require.Len(t, w.containers(), 1, "it is not known to have ended")
					assert.Equal(t, "being killed on "+w.started[0].Name, w.containers()[0].Status)
				}
			})
			if c.after != nil {
				c.after(w)
			}
			w.after(20*time.Second, func() {
				told := w.outcomes["container/c"][len(c.want):]
				for k := range c.ends {
					c.ends[k].Story = named(c.ends[k].Story)
				}
				assert.Equal(t, len(c.ends), len(told))
				for k := range told {
					assert.Equal(t, c.ends[k], told[k])
				}
				for _, left := range w.containers() {
					assert.NotEqual(t, "c", left.ID)
				}
			})
			w.signal(25*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "other"})
			w.after(26*time.Second, func() { // other has begun, and ends with its instance
				for _, m := range query[api.FleetState](w).Instances {
					w.env.SignalWorkflow(api.SignalReport, api.Report{Instance: m.Name, Type: m.Type, Seq: 50, State: api.StateGone, Gone: true,
						Ended: []api.Ended{{Container: "other", Attempt: 1, How: api.Lost}}})
				}
			})
			w.deleted(30 * time.Second)
			w.manage(func(s *fleetspec.Spec) { // one instance, with room for one container
				s.Limits.MaxInstances = 1
				s.InstanceTypes = s.InstanceTypes[:1]
				s.InstanceTypes[0].VCPUs = 1
			})
			for _, id := range w.ordered() {
				assert.NotEqual(t, "c#2", id, "it is not tried again")
			}
		})
	}
}
