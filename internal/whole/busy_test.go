package whole

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"drover/internal/api"
	"drover/internal/fleetspec"
	"drover/internal/pause"
)

// keepBusy has the fleet continue as new every few seconds, after 500 signals, until stop is
// called.
func (s *system) keepBusy() (stop func()) {
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan error, 1)
	go func() {
		for pause.For(ctx, 10*time.Millisecond) == nil {
			nothing := api.Request{Kind: api.Prioritize, ID: "nobody"}
			err := s.client.SignalWorkflow(ctx, api.FleetWorkflowID("default"), "", api.SignalRequest, nothing)
			if err != nil && ctx.Err() == nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	return func() {
		cancel()
		require.NoError(s, <-done)
	}
}

// TestABusyFleetAdoptsWhatTheCloudHas has the runs of a fleet be shorter than two of its sync
// intervals, as far as the machine keeps up.
func TestABusyFleetAdoptsWhatTheCloudHas(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) {
		spec.Limits.MinIdle, spec.Intervals.Sync = 1, fleetspec.Duration(10*time.Second)
	})
	i := s.instance(api.StateIdle)
	stop := s.keepBusy()
	runs := func() int { return s.continuedRuns(api.FleetWorkflowID("default")) }
	s.eventually(60*time.Second, func() bool { return runs() > 1 }, "the fleet continues as new")
	before := runs()
	require.NoError(t, s.client.TerminateWorkflow(t.Context(), i.WorkflowID, "", "test"))
	s.eventually(120*time.Second, func() bool {
		var state api.InstanceState
		s.query(i.WorkflowID, &state)
		return state.RunID != i.RunID && state.State == api.StateIdle
	}, "the instance is adopted")
	t.Logf("meanwhile it has continued as new %d times", runs()-before) // less often on a busy machine
	stop()
}
