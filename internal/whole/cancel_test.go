package whole

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// TestContainersAreCancelledWhereverTheyAre cancels containers by the command in the
// states in which people meet them.
func TestContainersAreCancelledWhereverTheyAre(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.startWorker()
	s.applyNamed("default", func(spec *fleetspec.Spec) { spec.Limits.MaxInstances = 1 })
	s.applyNamed("slow", func(spec *fleetspec.Spec) { spec.Local.BootDelay = fleetspec.Duration(time.Hour) })
	stubborn := filepath.Join(t.TempDir(), "stubborn")
	begun := filepath.Join(t.TempDir(), "begun")
	s.submit("running", map[string]any{"command": []string{"sh", "-c", "touch " + begun + "; exec sleep 1000"}})
	s.submit("stubborn", map[string]any{"command": []string{"sh", "-c", "trap '' TERM; while [ ! -e " + stubborn + " ]; do sleep 0.1; done; exit 5"}})
	for _, id := range []string{"running", "stubborn"} {
		s.instanceOf(id)
	}
	s.eventually(20*time.Second, func() bool { _, err := os.Stat(begun); return err == nil }, "it has begun")
	s.submit("queued", map[string]any{"command": []string{"true"}, "vcpus": 2})
	s.submit("held", map[string]any{"command": []string{"true"}, "priority": -1})
	s.submit("assigned", map[string]any{"command": []string{"true"}, "fleet": "slow"})
	s.submit("unknown", map[string]any{"command": []string{"true"}, "fleet": "default"})
	for id, want := range map[string]string{"queued": api.ContainerQueued, "held": api.ContainerQueued, "assigned": api.ContainerAssigned} {
		s.eventually(20*time.Second, func() bool { state, _ := s.why(id); return state == want }, "%s is %s", id, want)
	}
	for _, id := range []string{"queued", "held", "assigned"} {
		assert.Equal(t, id+": is being cancelled\n", s.must("cancel", id))
		_, stderr, code := s.drover("wait", id)
		assert.Equal(t, 1, code)
		assert.Equal(t, "drover: container "+id+" was cancelled\n", stderr)
		state, status := s.why(id)
		assert.Equal(t, []string{api.ContainerCancelled, "cancelled"}, []string{state, status}, id)
	}
	assert.Equal(t, "running: is being cancelled\n", s.must("cancel", "running"))
	_, stderr, code := s.drover("wait", "running")
	assert.Equal(t, 128+15, code)
	assert.Equal(t, "drover: container running was cancelled\n", stderr)
	state, status := s.why("running")
	assert.Equal(t, []string{api.ContainerCancelled, "cancelled; exit code 143"}, []string{state, status})

	assert.Equal(t, "stubborn: is being cancelled\n", s.must("cancel", "stubborn"))
	s.eventually(20*time.Second, func() bool { _, status := s.why("stubborn"); return strings.HasPrefix(status, "being killed on ") }, "it is being killed")
	assert.Equal(t, "stubborn: is being cancelled\n", s.must("cancel", "stubborn"), "once more does no harm")
	require.NoError(t, os.WriteFile(stubborn, nil, 0o600))
	_, _, code = s.drover("wait", "stubborn")
	assert.Equal(t, 5, code, "its own exit code")

	for _, id := range []string{"queued", "running", "stubborn"} {
		s.refused(1, fmt.Sprintf("container %s has ended already (canceled): nothing to cancel", id), "cancel", id)
	}
	s.must("wait", "unknown")
}

// TestContainersThatAreCancelledWhileTheyStartAreOver cancels containers at every moment
// between their submission and their beginning: each ends, and none runs on.
func TestContainersThatAreCancelledWhileTheyStartAreOver(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) { spec.Limits.MaxInstances, spec.Limits.MinIdle = 1, 1 })
	s.instance(api.StateIdle)
	const containers = 25
	runs := make([]client.WorkflowRun, containers)
	var all sync.WaitGroup
	for k := range runs {
		runs[k] = s.submit(fmt.Sprint("brief-", k), map[string]any{"command": []string{"sleep", "4711"}, "vcpus": 0.05, "memory": "1MiB"})
		all.Go(func() {
			<-time.After(time.Duration(k) * 20 * time.Millisecond)
			if err := s.client.CancelWorkflow(s.Context(), runs[k].GetID(), ""); err != nil {
				t.Errorf("cancel %d: %v", k, err)
			}
		})
	}
	all.Wait()
	for k, run := range runs {
		_, err := s.result(run)
		assert.ErrorContains(t, err, "canceled", "container %d", k)
	}
	s.eventually(20*time.Second, func() bool {
		f := s.fleet()
		return f.Queued+f.Assigned+f.Running == 0 && f.Totals.Exited+f.Totals.Cancelled >= containers-1
	}, "the fleet knows")
	for _, p := range processesUnder(t, filepath.Join(s.dir, "instances")) {
		assert.NotContains(t, p, "4711", "nothing of them runs")
	}
	assert.Zero(t, s.fleet().Totals.Failed)
	assert.Zero(t, s.fleet().Totals.Retried)
}
