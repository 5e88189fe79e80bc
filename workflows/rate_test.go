package workflows_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// throttled has a cloud accept so many create requests a second, and as many at once.
// It does not say when it will accept the next, and answers after 300 ms.
func (w *world) throttled(rate float64) (refused *int) {
	refused = new(int)
	tokens, filled := rate, time.Time{}
	w.missing = func(m api.Message) bool {
		var in api.InstanceInput
		if m.Signal != "" || json.Unmarshal(m.Payload, &in) != nil {
			return false
		}
		w.after(300*time.Millisecond, func() {
			now := w.env.Now()
			if !filled.IsZero() {
				tokens = min(rate, tokens+now.Sub(filled).Seconds()*rate)
			}
			filled = now
			r := api.Report{Instance: in.Name, Type: in.Type.Name, Incarnation: in.Incarnation, Seq: 1, Behavior: api.Run}
			if tokens >= 1 {
				tokens--
				r.State, r.CloudID = api.StateBooting, "i-"+in.Name
			} else {
				*refused++
				r.State, r.Gone, r.Refusal = api.StateGone, true, &api.CreateRefusal{Class: "rate-limit", Message: "RequestLimitExceeded"}
			}
			w.env.SignalWorkflow(api.SignalReport, r)
		})
		return false
	}
	return refused
}

func TestManyAreAskedForAsFastAsTheCloudAllows(t *testing.T) {
	w := newWorld(t)
	const n, rate = 120, 10 // as many as one run of the workflow takes
	refused := w.throttled(rate)
	w.after(time.Second, func() {
		for k := range n {
			r := request(fmt.Sprint("c-", k))
			r.VCPUs = 2
			w.env.SignalWorkflow(api.SignalRequest, r)
		}
	})
	w.after(8*time.Second, func() {
		status := w.containers()[n-1].Status
		assert.Regexp(t, "since the cloud limits the rate of requests|the cloud limits the rate of requests, next try at ", status)
	})
	w.after(15*time.Second, func() { // at best (n-rate)/rate = 11 s after the first
		assert.EqualValues(t, n, query[api.FleetState](w).Totals.Created)
		w.env.SetContinueAsNewSuggested(true)
		w.env.SignalWorkflow(api.SignalRequest, api.Request{Kind: api.Prioritize, ID: "nobody"})
	})
	w.startFleet(func(s *fleetspec.Spec) { s.Limits.MaxInstances, s.Limits.CreateConcurrency = n, n })
	in := next[api.FleetInput](w)
	assert.Positive(t, in.Carried.Learnt.Pace.Window, "the next run keeps the pace")
	assert.Less(t, *refused, n+n/2)
	require.NotZero(t, *refused)
}
