package workflows_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// A server terminates a workflow that schedules an activity with an input of more than 2 MB.
func TestWhatOneActivityDeliversFitsIntoItsInput(t *testing.T) {
	for name, c := range map[string]struct{ found, probe, first int }{
		"short and many": {found: 400, probe: 10, first: 300},
		"longer":         {found: 300, probe: 6 << 10, first: 13},
		"huge":           {found: 20, probe: 64 << 10, first: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for k := range c.found {
				w.found = append(w.found, api.Found{Name: fmt.Sprintf("default-%04d", k), CloudID: fmt.Sprint("i-", k), Type: "small", Behavior: api.Run})
			}
			w.after(time.Minute, w.env.CancelWorkflow)
			w.after(2*time.Minute, func() {
				w.env.SetContinueAsNewSuggested(true)
				w.env.SignalWorkflow(api.SignalRequest, api.Request{Kind: api.Prioritize, ID: "nobody"})
			})
			w.startFleet(func(s *fleetspec.Spec) { s.BootProbe = strings.Repeat("<", c.probe) }) // six characters each, in JSON
			require.Len(t, w.started, c.found)
			for k, in := range w.started {
				assert.Len(t, in.Spec.BootProbe, c.probe)
				assert.Equal(t, w.found[k].Name, in.Name, "in their order")
			}
			for _, messages := range w.delivered {
				input, err := json.Marshal(messages)
				require.NoError(t, err)
				assert.Less(t, len(input), 1<<20, "%d messages", len(messages))
			}
			assert.Len(t, w.delivered[0], c.first, "no more activities than that takes")
		})
	}
}
