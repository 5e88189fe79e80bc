//go:build record

package whole

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"drover/internal/api"
	"drover/internal/cloud/local"
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
		gate := filepath.Join(t.TempDir(), "gate")
		run := s.submit("long", map[string]any{"command": waits(gate, "0")})
		i := s.instance(api.StateRunning)
		for k := range 600 {
			s.signal(i, api.SignalSetIdleBehavior, []string{"run", "sideways"}[k%2])
			s.send(run.GetID(), api.SignalSetPriority, k)
			s.send(api.FleetWorkflowID("default"), api.SignalReport, "nonsense")
		}
		require.NoError(t, os.WriteFile(gate, nil, 0o600))
		_, err := s.result(run)
		require.NoError(t, err)
		s.gone(i)
		ids := []string{i.WorkflowID, run.GetID(), api.FleetWorkflowID("default")}
		for _, id := range ids {
			require.NotZero(t, s.continuedRuns(id), id)
		}
		s.record(dir, "continued", ids...)
	})
	t.Run("operated", func(t *testing.T) {
		s := newSystem(t, func(spec *fleetspec.Spec) { spec.Limits.MaxInstances = 1 })
		run := s.submit("killed", map[string]any{"command": []string{"sleep", "1000"}})
		i := s.instance(api.StateRunning)
		s.must("instance", "hold", i.Name, "--reason", "to be looked at")
		s.must("cancel", "killed")
		_, err := s.result(run)
		require.Error(t, err)
		s.must("instance", "drain", i.Name)
		s.gone(i)
		s.record(dir, "operated", i.WorkflowID, run.GetID(), api.FleetWorkflowID("default"))
	})
	t.Run("ahead", func(t *testing.T) {
		s := newServer(t)
		s.startWorker()
		p := s.sendAhead("default")
		s.send(api.ContainerWorkflowID(p.nextID), api.SignalSetPriority, -1) // it is called back
		s.eventually(time.Minute, func() bool { state, _ := s.why(p.nextID); return state == api.ContainerQueued }, "it is")
		s.must("instance", "destroy", p.instance, "--reason", "of no use")
		s.record(dir, "ahead", s.endOf(p.instance), api.FleetWorkflowID("default"))
	})
	t.Run("taken", func(t *testing.T) {
		s := newSystem(t, func(spec *fleetspec.Spec) { spec.Intervals.Probe = fleetspec.Duration(time.Second) })
		run := s.submit("spot", map[string]any{"command": []string{"sleep", "1000"}, "preemptible": true, "attempts": 1})
		i := s.instance(api.StateRunning)
		driver, err := local.New(local.Config{Fleet: "default", Directory: filepath.Join(s.dir, "instances")})
		require.NoError(t, err)
		require.NoError(t, driver.Preempt(t.Context(), i.Name, time.Now().Add(time.Minute)))
		_, err = s.result(run)
		require.Error(t, err)
		s.record(dir, "taken", s.endOf(i.Name), run.GetID())
	})
	t.Run("unreachable", func(t *testing.T) {
		s := newSystem(t, func(spec *fleetspec.Spec) {
			spec.Intervals.Probe, spec.Timeouts.Probe = fleetspec.Duration(time.Second), fleetspec.Duration(5*time.Second)
		})
		run := s.submit("hangs", map[string]any{"command": []string{"sleep", "1000"}, "attempts": 1})
		i := s.instance(api.StateRunning)
		pid, err := s.pid(i.Name)
		require.NoError(t, err)
		require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
		_, err = s.result(run)
		require.Error(t, err)
		s.record(dir, "unreachable", s.endOf(i.Name), run.GetID())
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

// endOf waits for the end of an instance and returns its workflow's ID.
func (s *system) endOf(instance string) string {
	i := api.InstanceState{WorkflowID: api.InstanceWorkflowID("default", instance)}
	s.gone(i)
	return i.WorkflowID
}

// record writes the histories of workflows: a file for each run.
func (s *system) record(dir, scenario string, workflowIDs ...string) {
	require.NoError(s, os.MkdirAll(dir, 0o755))
	for _, id := range workflowIDs {
		kind, rest, _ := strings.Cut(id, "/")
		name := kind + "-" + scenario
		if kind == "container" {
			name += "-" + rest
		}
		runs := s.runsOf(id)
		for k, run := range runs {
			file := name
			if len(runs) > 1 {
				file = fmt.Sprintf("%s-%d", name, k+1)
			}
			var history historypb.History
			for h := s.client.GetWorkflowHistory(s.Context(), id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); h.HasNext(); {
				event, err := h.Next()
				require.NoError(s, err)
				history.Events = append(history.Events, event)
			}
			data, err := protojson.Marshal(&history)
			require.NoError(s, err)
			var zipped bytes.Buffer
			z := gzip.NewWriter(&zipped)
			_, err = z.Write(data)
			require.NoError(s, errors.Join(err, z.Close()))
			require.NoError(s, os.WriteFile(filepath.Join(dir, file+".json.gz"), zipped.Bytes(), 0o644))
		}
	}
}

// runsOf returns the runs of a workflow that followed each other to the present one, in
// their order.
func (s *system) runsOf(workflowID string) (runs []string) {
	described, err := s.client.DescribeWorkflowExecution(s.Context(), workflowID, "")
	require.NoError(s, err)
	for run := described.GetWorkflowExecutionInfo().GetExecution().GetRunId(); run != ""; {
		runs = append(runs, run)
		first, err := s.client.GetWorkflowHistory(s.Context(), workflowID, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT).Next()
		require.NoError(s, err)
		run = first.GetWorkflowExecutionStartedEventAttributes().GetContinuedExecutionRunId()
	}
	slices.Reverse(runs)
	return runs
}
