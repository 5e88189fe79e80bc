//go:build record

package whole

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// TestRecordHistories records the histories that the replay test in package workflows
// replays, into $DROVER_RECORD. scripts/record-histories.sh runs it.
func TestRecordHistories(t *testing.T) {
	dir := os.Getenv("DROVER_RECORD")
	require.NotEmpty(t, dir, "run scripts/record-histories.sh")
	t.Run("good", func(t *testing.T) {
		s := newSystem(t, func(spec *fleetspec.Spec) { spec.Timeouts.Idle = fleetspec.Duration(3 * time.Second) })
		ended := s.submit("ended", map[string]any{"command": []string{"sh", "-c", "sleep 12; exit 3"}})
		short := s.submit("short", map[string]any{"command": []string{"true"}})
		cancelled := s.submit("cancelled", map[string]any{"command": []string{"sleep", "1000"}})
		i := s.instance(api.StateRunning)
		s.signal(i, api.SignalSetIdleBehavior, "hold")
		s.signal(i, api.SignalSetIdleBehavior, "sideways")
		s.signal(i, api.SignalSetIdleBehavior, map[string]string{"behavior": "run", "by": "ann"})
		_, err := s.result(short)
		require.NoError(t, err)
		require.NoError(t, s.client.SignalWorkflow(t.Context(), cancelled.GetID(), "", api.SignalSetPriority, 3))
		require.NoError(t, s.client.CancelWorkflow(t.Context(), cancelled.GetID(), ""))
		_, err = s.result(cancelled)
		require.Error(t, err)
		_, err = s.result(ended)
		require.NoError(t, err)
		s.gone(i)
		s.record(dir, "good", i.WorkflowID, ended.GetID(), short.GetID(), cancelled.GetID(), api.FleetWorkflowID("default"))
	})
	t.Run("bad", func(t *testing.T) {
		s := newSystem(t, func(spec *fleetspec.Spec) {
			spec.Intervals.Probe = fleetspec.Duration(time.Second)
			spec.Local.Quota = 1
			spec.Limits.MaxInstances = 2
		})
		lost := s.submit("lost", map[string]any{"command": []string{"sleep", "1000"}, "attempts": 1, "vcpus": 8})
		i := s.instance(api.StateRunning)
		waits := s.submit("waits", map[string]any{"command": []string{"true"}, "vcpus": 8})
		s.eventually(20*time.Second, func() bool { return s.fleet().Totals.Submitted == 2 }, "the second is refused for the quota")
		s.powerCut(i)
		_, err := s.result(lost)
		require.Error(t, err)
		_, err = s.result(waits)
		require.NoError(t, err)
		refused := s.submit("refused", map[string]any{"command": []string{"true"}, "vcpus": 800})
		_, err = s.result(refused)
		require.Error(t, err)
		s.record(dir, "bad", i.WorkflowID, lost.GetID(), refused.GetID(), api.FleetWorkflowID("default"))
	})
	t.Run("found", func(t *testing.T) {
		s := newSystem(t, quickSync)
		gate := filepath.Join(t.TempDir(), "gate")
		run := s.submit("adopted", map[string]any{"command": []string{"sh", "-c", "while [ ! -e " + gate + " ]; do sleep 0.1; done; exit 6"}})
		i := s.instance(api.StateRunning)
		for _, id := range []string{api.FleetWorkflowID("default"), i.WorkflowID} {
			require.NoError(t, s.client.TerminateWorkflow(t.Context(), id, "", "test"))
		}
		s.apply(quickSync)
		s.eventually(60*time.Second, func() bool { return s.fleet().Running == 1 }, "it is adopted")
		require.NoError(t, os.WriteFile(gate, nil, 0o600))
		_, err := s.result(run)
		require.NoError(t, err)
		s.gone(i)
		s.record(dir, "found", i.WorkflowID, run.GetID(), api.FleetWorkflowID("default"))
	})
	t.Run("continued", func(t *testing.T) {
		s := newSystem(t, func(spec *fleetspec.Spec) { spec.Timeouts.Idle = fleetspec.Duration(3 * time.Second) })
		run := s.submit("long", map[string]any{"command": []string{"sleep", "20"}})
		i := s.instance(api.StateRunning)
		for k := range 600 {
			s.signal(i, api.SignalSetIdleBehavior, []string{"run", "sideways"}[k%2])
			s.send(run.GetID(), api.SignalSetPriority, k)
		}
		_, err := s.result(run)
		require.NoError(t, err)
		s.gone(i)
		require.NotZero(t, s.continuedRuns(i.WorkflowID))
		s.record(dir, "continued", i.WorkflowID, run.GetID(), api.FleetWorkflowID("default"))
	})
	t.Run("slow", func(t *testing.T) {
		s := newSystem(t, func(spec *fleetspec.Spec) {
			spec.BootProbe = "exit 3"
			spec.Timeouts.Boot = fleetspec.Duration(3 * time.Second)
			spec.Intervals.Probe = fleetspec.Duration(time.Second)
		})
		s.submit("never", map[string]any{"command": []string{"true"}})
		i := s.instance(api.StateBooting)
		s.gone(i)
		s.record(dir, "slow", i.WorkflowID)
	})
}

// record writes the histories of workflows, one file each.
func (s *system) record(dir, scenario string, workflowIDs ...string) {
	require.NoError(s, os.MkdirAll(dir, 0o755))
	for _, id := range workflowIDs {
		var history historypb.History
		for h := s.client.GetWorkflowHistory(s.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); h.HasNext(); {
			event, err := h.Next()
			require.NoError(s, err)
			history.Events = append(history.Events, event)
		}
		data, err := protojson.Marshal(&history)
		require.NoError(s, err)
		kind, rest, _ := strings.Cut(id, "/")
		name := kind + "-" + scenario
		if kind == "container" {
			name += "-" + rest
		}
		require.NoError(s, os.WriteFile(filepath.Join(dir, name+".json"), data, 0o644))
	}
}
