package whole

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"drover/internal/api"
	"drover/internal/cloud"
	"drover/internal/fleetspec"
)

func quickSync(spec *fleetspec.Spec) { spec.Intervals.Sync = fleetspec.Duration(time.Second) }

// orphan is a container that runs while neither its fleet nor its instance has a workflow.
type orphan struct {
	*system
	run           client.WorkflowRun
	instance      api.InstanceState
	witness, gate string // of its starts; it ends when that is there
}

// orphaned has a container run, which must start within some time, and terminates the
// workflows that look after it.
func (s *system) orphaned(within time.Duration) orphan {
	dir := s.TempDir()
	c := orphan{system: s, witness: filepath.Join(dir, "starts"), gate: filepath.Join(dir, "gate")}
	c.run = s.submit("orphan", map[string]any{"command": []string{"sh", "-c", "echo x >>" + c.witness + "; while [ ! -e " + c.gate + " ]; do sleep 0.1; done; exit 6"}})
	c.instance = s.instance(api.StateRunning)
	s.eventually(within, func() bool { _, err := os.Stat(c.witness); return err == nil }, "the container starts")
	for _, id := range []string{api.FleetWorkflowID("default"), c.instance.WorkflowID} {
		require.NoError(s, s.client.TerminateWorkflow(s.Context(), id, "", "test"))
	}
	return c
}

// adopted has a new fleet find the container, which then ends where it has begun.
func (c orphan) adopted() api.ContainerResult {
	c.apply(quickSync)
	c.eventually(60*time.Second, func() bool { return c.fleet().Running == 1 }, "the fleet knows its container again")
	require.NoError(c, os.WriteFile(c.gate, nil, 0o600))
	result, err := c.result(c.run)
	require.NoError(c, err)
	assert.Equal(c, 6, result.ExitCode)
	assert.Equal(c, c.instance.Name, result.Instance)
	return result
}

func TestAFleetThatWasTerminatedAndAppliedAgainStartsNothingTwice(t *testing.T) {
	t.Parallel()
	s := newSystem(t, quickSync)
	c := s.orphaned(10 * time.Second)
	i, result := c.instance, c.adopted()
	took := result.FinishedAt.Sub(result.StartedAt.Time)
	assert.InDelta(t, i.Price*took.Hours()/2, result.Cost, 1e-9, "also a container that was adopted costs something")
	starts, err := os.ReadFile(c.witness)
	require.NoError(t, err)
	assert.Equal(t, "x\n", string(starts), "it was started once")
}

func TestAnInstanceThatIsFoundWithoutItsTypeKeepsItsContainerAndDrains(t *testing.T) {
	t.Parallel()
	s := newSystem(t, quickSync)
	c := s.orphaned(30 * time.Second)
	i := c.instance
	tagsFile := filepath.Join(s.dir, "instances", "default", i.Name, "tags.json")
	text, err := os.ReadFile(tagsFile)
	require.NoError(t, err)
	var tags map[string]string
	require.NoError(t, json.Unmarshal(text, &tags))
	require.Contains(t, tags, cloud.TagType)
	delete(tags, cloud.TagType)
	text, err = json.Marshal(tags)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(tagsFile, text, 0o600))
	c.adopted()
	last := s.gone(api.InstanceState{WorkflowID: i.WorkflowID})
	assert.Equal(t, "drained: it has no tag that says its type", last.Reason)
	s.eventually(30*time.Second, func() bool { return len(s.fleet().Instances) == 0 }, "the fleet forgets it")
}

func TestAContainerWhoseWorkflowWasTerminatedIsKilled(t *testing.T) {
	t.Parallel()
	s := newSystem(t, quickSync)
	pidFile := filepath.Join(t.TempDir(), "pid")
	run := s.submit("orphan", map[string]any{"command": []string{"sh", "-c", "echo $$ >" + pidFile + ".new; mv " + pidFile + ".new " + pidFile + "; exec sleep 1000"}})
	s.eventually(30*time.Second, func() bool { _, err := os.Stat(pidFile); return err == nil }, "the container starts")
	require.NoError(t, s.client.TerminateWorkflow(t.Context(), run.GetID(), "", "test"))
	s.eventually(60*time.Second, func() bool { return s.fleet().Running == 0 }, "it is killed")
	text, err := os.ReadFile(pidFile)
	require.NoError(t, err)
	_, err = os.Stat(fmt.Sprintf("/proc/%s", strings.TrimSpace(string(text))))
	assert.ErrorIs(t, err, os.ErrNotExist)
	s.eventually(30*time.Second, func() bool { return len(s.fleet().Instances) == 0 }, "the instance goes when idle")
}

func TestAnExitIsKnownWithoutAFleetAlsoToAnotherWorker(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	gate := filepath.Join(t.TempDir(), "gate")
	run := s.submit("alone", map[string]any{"command": []string{"sh", "-c", "echo x; while [ ! -e " + gate + " ]; do sleep 0.05; done; exit 4"}})
	i := s.instance(api.StateRunning)
	s.eventually(20*time.Second, func() bool { out, _, _ := s.drover("logs", "alone"); return out == "x\n" }, "the container runs")
	require.NoError(t, s.client.TerminateWorkflow(t.Context(), api.FleetWorkflowID("default"), "", "test"))
	s.startWorker()
	s.workers[0].stop(syscall.SIGTERM)
	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Equal(t, 4, result.ExitCode)
	assert.Equal(t, "x\n", result.Output)
	assert.Equal(t, i.Name, result.Instance)
}

func TestATermIsRepeatedUntilItWorksOrIsGivenUp(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) {
		spec.Timeouts.Signal, spec.Timeouts.Term = fleetspec.Duration(time.Second), fleetspec.Duration(8*time.Second)
		spec.Limits.MaxContainersPerInstance = 1
	})
	dir := t.TempDir()
	sleeps := "while :; do sleep 0.1; done"
	third := s.submit("third", map[string]any{"command": witnessed(dir, fmt.Sprintf("n=0; trap 'n=$((n+1)); echo $n >%s/terms; [ $n -lt 3 ] || exit 9' TERM; %s", dir, sleeps))})
	never := s.submit("never", map[string]any{"command": []string{"sh", "-c", fmt.Sprintf("trap '' TERM; touch %s/never; %s", dir, sleeps)}})
	s.eventually(30*time.Second, func() bool {
		_, err := os.Stat(filepath.Join(dir, "never"))
		return err == nil && starts(t, dir) == 1
	}, "both start")
	var stubborn api.ContainerState
	s.eventually(30*time.Second, func() bool { s.query(never.GetID(), &stubborn); return stubborn.Instance != "" }, "it is known where it runs")
	for _, run := range []string{third.GetID(), never.GetID()} {
		require.NoError(t, s.client.CancelWorkflow(t.Context(), run, ""))
	}
	_, err := s.result(third)
	require.ErrorContains(t, err, "canceled")
	terms, err := os.ReadFile(filepath.Join(dir, "terms"))
	require.NoError(t, err)
	assert.Equal(t, "3\n", string(terms))

	_, err = s.result(never)
	require.ErrorContains(t, err, "canceled")
	last := s.gone(api.InstanceState{WorkflowID: api.InstanceWorkflowID("default", stubborn.Instance)})
	assert.Equal(t, "drained: container never can't be killed", last.Reason)
	s.query(never.GetID(), &stubborn)
	assert.Contains(t, stubborn.Status, "unkillable")
}
