package whole

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// instance waits until the fleet has one instance in that state, and returns it.
func (s *system) instance(state string) api.InstanceState {
	var found api.InstanceState
	s.eventually(time.Minute, func() bool {
		for _, i := range s.fleet().Instances {
			s.query(api.InstanceWorkflowID("default", i.Name), &found)
			if found.State == state {
				return true
			}
		}
		return false
	}, "an instance is %s", state)
	return found
}

func (s *system) signal(i api.InstanceState, name string, payload any) {
	require.NoError(s, s.client.SignalWorkflow(s.Context(), i.WorkflowID, "", name, payload))
}

// gone waits for the instance's workflow to end and returns its last state.
func (s *system) gone(i api.InstanceState) api.InstanceState {
	var last api.InstanceState
	require.NoError(s, s.client.GetWorkflow(s.Context(), i.WorkflowID, "").Get(s.Context(), &last))
	return last
}

// events counts the events in a workflow's history.
func (s *system) events(workflowID string) int {
	n := 0
	for h := s.client.GetWorkflowHistory(s.Context(), workflowID, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); h.HasNext(); n++ {
		_, err := h.Next()
		require.NoError(s, err)
	}
	return n
}

func TestOperatorsHoldDrainRunAndDestroyInstances(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) { spec.Timeouts.Idle = fleetspec.Duration(time.Second) })
	s.must("run", "--detach", "--name", "first", "--", "sleep", "1000")
	i := s.instance(api.StateRunning)

	s.signal(i, api.SignalSetIdleBehavior, "hold")
	s.eventually(5*time.Second, func() bool { s.query(i.WorkflowID, &i); return i.IdleBehavior == api.Hold }, "the signal arrives")
	s.must("cancel", "first")
	s.drover("wait", "first")
	held := time.Now()
	s.must("run", "--", "true") // goes elsewhere: nothing new is placed on it
	s.eventually(20*time.Second, func() bool { return len(s.fleet().Instances) == 1 && time.Since(held) > 3*time.Second }, "the other goes when idle")
	s.query(i.WorkflowID, &i)
	assert.Equal(t, api.StateIdle, i.State, "hold overrides the idle timeout")

	_, stderr, code := s.drover("instance", "drain", "no-such-instance")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "no-such-instance")

	s.must("instance", "drain", i.Name, "--reason", "patching")
	last := s.gone(i)
	assert.Equal(t, "drained: patching", last.Reason)
	assert.NotEmpty(t, last.BehaviorBy)

	s.must("run", "--detach", "--name", "long", "--", "sleep", "1000")
	i = s.instance(api.StateRunning)
	s.must("instance", "drain", i.Name)
	s.must("instance", "run", i.Name)
	s.query(i.WorkflowID, &i)
	assert.Equal(t, api.Run, i.IdleBehavior)
	s.must("cancel", "long")
	s.drover("wait", "long")

	s.must("run", "--detach", "--name", "doomed", "--attempts", "1", "--", "sleep", "1000")
	i = s.instance(api.StateRunning)
	s.signal(i, api.SignalDestroy, "on fire")
	assert.Equal(t, "destroyed: on fire", s.gone(i).Reason)
	_, stderr, code = s.drover("wait", "doomed")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "attempt 1 on "+i.Name+": lost")
}

func TestInstanceListIsAContract(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	s.must("run", "--detach", "--name", "c-1", "--", "sleep", "1000")
	s.instance(api.StateRunning)
	var listed []map[string]any
	require.NoError(t, json.Unmarshal([]byte(s.must("instance", "list", "-o", "json")), &listed))
	require.Len(t, listed, 1)
	for _, key := range []string{"name", "cloud_id", "address", "state", "idle_behavior", "type", "provider_type", "price", "running", "last_container", "last_busy", "boot_outcome", "workflow_id", "run_id"} {
		assert.Contains(t, listed[0], key)
	}
	assert.Equal(t, []any{"c-1"}, listed[0]["running"])
	assert.Equal(t, "success", listed[0]["boot_outcome"])

	var containers []map[string]any
	require.NoError(t, json.Unmarshal([]byte(s.must("ps", "-o", "json")), &containers))
	require.Len(t, containers, 1)
	for _, key := range []string{"id", "state", "fleet", "instance", "command", "priority", "queued_at", "started_at", "finished_at", "exit_code", "status"} {
		assert.Contains(t, containers[0], key)
	}
	s.must("cancel", "c-1")
}

func TestALongBootAndALongIdleAddNoEvents(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) {
		spec.Local.BootDelay = fleetspec.Duration(12 * time.Second)
		spec.Intervals.Probe = fleetspec.Duration(time.Second) // a dozen failed attempts, as in ten minutes at 1 m
		spec.Timeouts.Probe = fleetspec.Duration(10 * time.Second)
		spec.Timeouts.Idle = fleetspec.Duration(time.Hour)
	})
	s.must("run", "--", "true")
	i := s.instance(api.StateIdle)
	s.passes(4 * time.Second) // it is shown as idle by then
	booted := s.events(i.WorkflowID)
	t.Logf("%d events from the creation, through a boot of 12 probes and one container, until it is idle", booted)
	assert.LessOrEqual(t, booted, 70)
	s.query(i.WorkflowID, &i)
	before := i.LastProbe

	s.passes(12 * time.Second) // a dozen probes
	assert.Equal(t, booted, s.events(i.WorkflowID), "an instance that is idle and watched adds no event")
	assert.Equal(t, before, i.LastProbe, "the last probe is in the activity's heartbeat, not in the history")

	var shown api.InstanceState
	require.NoError(t, json.Unmarshal([]byte(s.must("instance", "show", i.Name, "-o", "json")), &shown))
	assert.GreaterOrEqual(t, shown.Cost-i.Cost, 12*i.Price/3600, "it costs money meanwhile")
	assert.InDelta(t, i.BusyCost, shown.BusyCost, 1e-12)
}

// passes lets time pass.
func (s *system) passes(d time.Duration) {
	from := time.Now()
	s.eventually(d+10*time.Second, func() bool { return time.Since(from) > d }, "%s pass", d)
}

func TestABootThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) {
		spec.BootProbe = "echo the disk is missing >&2; exit 3"
		spec.Timeouts.Boot = fleetspec.Duration(5 * time.Second)
		spec.Intervals.Probe = fleetspec.Duration(time.Second)
	})
	s.submit("c-1", map[string]any{"command": []string{"true"}})
	i := s.instance(api.StateBooting)
	last := s.gone(i)
	assert.Equal(t, api.BootFailure, last.BootOutcome)
	assert.Contains(t, last.Reason, "the disk is missing")
	assert.Contains(t, last.Reason, "boot timeout 5s at boot probe")
	s.must("cancel", "c-1")
}

func TestABootGoesOnSoonAfterItsWorkerWasKilled(t *testing.T) {
	t.Parallel()
	probing := filepath.Join(t.TempDir(), "probing")
	s := newSystem(t, func(spec *fleetspec.Spec) { spec.BootProbe = "mkdir " + probing + " || exit 0; exec sleep 1000" })
	run := s.submit("c-1", map[string]any{"command": []string{"true"}})
	s.eventually(30*time.Second, func() bool { _, err := os.Stat(probing); return err == nil }, "the instance is being probed")
	s.workers[0].stop(syscall.SIGKILL)
	s.startWorker()
	killed := time.Now()
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Zero(t, result.ExitCode)
	assert.Less(t, time.Since(killed), 50*time.Second, "an attempt may take longer than that")
}

func TestAnInstanceThatDiesIsNoticedAndItsContainerRunsElsewhere(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) {
		spec.Intervals.Probe = fleetspec.Duration(time.Second)
	})
	first := filepath.Join(t.TempDir(), "first")
	run := s.submit("c-1", map[string]any{"command": []string{"sh", "-c", "mkdir " + first + " || exit 0; sleep 1000"}})
	i := s.instance(api.StateRunning)
	s.eventually(10*time.Second, func() bool { _, err := os.Stat(first); return err == nil }, "the first attempt runs")
	s.powerCut(i)
	last := s.gone(i)
	assert.Contains(t, last.Reason, "disappeared")
	assert.Equal(t, api.BootSuccess, last.BootOutcome)
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Equal(t, 2, result.Attempts)
	assert.NotEqual(t, i.Name, result.Instance)
}

// powerCut ends an instance as a power cut would.
func (s *system) powerCut(i api.InstanceState) {
	pid, err := s.pid(i.Name)
	require.NoError(s, err)
	require.NoError(s, syscall.Kill(pid, syscall.SIGKILL))
}

// pid returns the process ID of an instance.
func (s *system) pid(name string) (pid int, err error) {
	text, err := os.ReadFile(filepath.Join(s.dir, "instances", "default", name, "pid"))
	if err == nil {
		_, err = fmt.Sscan(string(text), &pid)
	}
	return pid, err
}
