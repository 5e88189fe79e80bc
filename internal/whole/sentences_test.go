package whole

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// instanceOf waits until a container runs, and returns its instance's name.
func (s *system) instanceOf(id string, not ...string) (name string) {
	s.Helper()
	s.eventually(45*time.Second, func() bool {
		state, status := s.why(id)
		status, _, _ = strings.Cut(status, " (")
		name = strings.TrimPrefix(status, "runs on ")
		return state == api.ContainerRunning && name != status && !slices.Contains(not, name)
	}, "container %s runs", id)
	return name
}

func TestAContainerThatTheMachinesFailTellsTheStoryOfEachAttempt(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	s.must("run", "--name", "unlucky", "--attempts", "2", "--detach", "--", "sleep", "1000")
	first := s.instanceOf("unlucky")
	s.must("instance", "destroy", first, "--reason", "test")
	second := s.instanceOf("unlucky", first)
	_, status := s.why("unlucky")
	assert.Regexp(t, `^runs on `+second+` \(attempt 1 on `+first+`: lost: instance local-[0-9a-f]+: destroyed: test \(by [^\n]+\)\)$`, status, "it says what became of the first")
	s.must("instance", "destroy", second, "--reason", "test")
	_, stderr, code := s.drover("wait", "unlucky")
	assert.Equal(t, 1, code)
	assert.Regexp(t, `^drover: container unlucky: attempt 1 on `+first+`: lost: [^\n;]+; attempt 2 on `+second+`: lost: [^\n;]+\n$`, stderr)
	state, status := s.why("unlucky")
	assert.Equal(t, api.ContainerFailed, state)
	assert.Contains(t, status, "attempt 1 on "+first+": lost")
}

func TestATimeoutEndsTheAttemptWithAResultThatSaysSo(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	stdout, stderr, code := s.drover("run", "--name", "late", "--timeout", "1s", "--", "sh", "-c", "echo begun; exec sleep 1000")
	assert.Equal(t, 128+15, code)
	assert.Equal(t, "begun\n", stdout)
	assert.Regexp(t, `(?m)^drover: container late: timed out after 1s$`, stderr)
	_, stderr, code = s.drover("wait", "late")
	assert.Equal(t, 128+15, code, "it is a result, and not tried again: %s", stderr)
	state, status := s.why("late")
	assert.Equal(t, api.ContainerExited, state)
	assert.Contains(t, status, "exit code 143: timed out after 1s")
	_, _, code = s.drover("run", "--timeout", "1m", "--", "true")
	assert.Zero(t, code, "one that ends in time is not touched")
}

func TestTheSameIDSubmittedTwiceIsTheSameContainer(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	witness := filepath.Join(t.TempDir(), "starts")
	command := []string{"sh", "-c", "echo x >>" + witness + "; echo once; exit 6"}
	var all sync.WaitGroup
	outs, notes, codes := make([]string, 3), make([]string, 3), make([]int, 3)
	for k := range 3 {
		all.Go(func() {
			outs[k], notes[k], codes[k] = s.drover(append([]string{"run", "--name", "same", "--"}, command...)...)
		})
	}
	all.Wait()
	for k := range 3 {
		assert.Equal(t, "once\n", outs[k])
		assert.Equal(t, 6, codes[k], notes[k])
	}
	assert.Equal(t, 2, strings.Count(strings.Join(notes, ""), "drover: container same exists already ("), notes)
	out, stderr, code := s.drover("run", "--name", "same", "--", "something", "else")
	assert.Equal(t, "once\n", out)
	assert.Equal(t, 6, code)
	assert.Contains(t, stderr, "drover: container same exists already (it has ended), this is about that one, whose command is another: sh -c echo x")
	text, err := os.ReadFile(witness)
	require.NoError(t, err)
	assert.Equal(t, "x\n", string(text), "it was started once")
}

func TestAPriorityThatIsSetWhileAContainerWaitsChangesItsPlace(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) { spec.Limits.MaxInstances = 1 })
	gate := filepath.Join(t.TempDir(), "gate")
	order := filepath.Join(t.TempDir(), "order")
	s.submit("first", map[string]any{"command": waits(gate, "0"), "vcpus": 2})
	s.instanceOf("first")
	for _, id := range []string{"a", "b", "c"} {
		s.submit(id, map[string]any{"command": []string{"sh", "-c", "echo " + id + " >>" + order}, "vcpus": 2})
		s.eventually(20*time.Second, func() bool { state, _ := s.why(id); return state == api.ContainerQueued }, "%s waits", id)
	}
	at := func(id, position string) {
		t.Helper()
		s.eventually(20*time.Second, func() bool {
			_, status := s.why(id)
			return status == "queue position "+position+": fleet is at its limit of 1 instance (max_instances)"
		}, "container %s is at position %s", id, position)
	}
	set := func(id string, priority any) {
		require.NoError(t, s.client.SignalWorkflow(t.Context(), api.ContainerWorkflowID(id), "", "set-priority", priority))
	}
	at("c", "3")
	set("c", 5)
	at("c", "1")
	at("a", "2")
	at("b", "3")
	set("a", -1)
	s.eventually(20*time.Second, func() bool { _, status := s.why("a"); return status == "on hold: priority is negative" }, "a is on hold")
	at("b", "2")
	set("b", "soon") // no priority
	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	s.must("wait", "c")
	s.must("wait", "b")
	set("a", 0)
	s.must("wait", "a")
	text, err := os.ReadFile(order)
	require.NoError(t, err)
	assert.Equal(t, "c\nb\na\n", string(text))
}

func TestWhatNoTypeCouldEverRunIsRefusedAtOnceWithTheNearest(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	k := 0
	for says, flags := range map[string][]string{
		"no instance type fits 9 vCPUs, 512MiB; nearest: large (8 vCPUs, 16GiB, 80GiB scratch) lacks 1 vCPU; medium (4 vCPUs, 8GiB, 40GiB scratch) lacks 5 vCPUs; small (2 vCPUs, 4GiB, 20GiB scratch) lacks 7 vCPUs":                                            {"--vcpus", "9"},
		"no instance type fits 1 vCPU, 20GiB; nearest: large (8 vCPUs, 16GiB, 80GiB scratch) lacks 4GiB of memory; medium (4 vCPUs, 8GiB, 40GiB scratch) lacks 12GiB of memory; small (2 vCPUs, 4GiB, 20GiB scratch) lacks 16GiB of memory":                      {"--memory", "20GiB"},
		"no instance type fits 1 vCPU, 512MiB, 1 GPU; nearest: small (2 vCPUs, 4GiB, 20GiB scratch) lacks 1 GPU; medium (4 vCPUs, 8GiB, 40GiB scratch) lacks 1 GPU; large (8 vCPUs, 16GiB, 80GiB scratch) lacks 1 GPU":                                           {"--gpus", "1"},
		"no instance type fits 1 vCPU, 512MiB, 100GiB scratch; nearest: large (8 vCPUs, 16GiB, 80GiB scratch) lacks 20GiB of scratch; medium (4 vCPUs, 8GiB, 40GiB scratch) lacks 60GiB of scratch; small (2 vCPUs, 4GiB, 20GiB scratch) lacks 80GiB of scratch": {"--scratch", "100GiB"},
	} {
		k++
		id := fmt.Sprint("big-", k)
		s.refused(1, "container "+id+": fleet default can't run it: "+says, append(append([]string{"run", "--name", id}, flags...), "--", "true")...)
	}
	assert.Zero(t, s.fleet().Totals.Created, "nothing was bought")
}

// TestAPreemptibleContainerFallsBackToOnDemand has no spot capacity: a container that
// allows preemptible instances runs on another, and is bought one of those first where
// there is some.
func TestAPreemptibleContainerFallsBackToOnDemand(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.startWorker()
	types := []fleetspec.InstanceType{
		{Name: "spot", ProviderType: "cheap", VCPUs: 2, Memory: 4 << 30, Price: 0.01, Preemptible: true, Architecture: fleetspec.ArchitectureAMD64},
		{Name: "on-demand", ProviderType: "dear", VCPUs: 2, Memory: 4 << 30, Price: 0.1, Architecture: fleetspec.ArchitectureAMD64},
	}
	for _, c := range []struct {
		fleet string
		none  []string
		flags []string
		want  string
	}{
		{"plenty", nil, []string{"--preemptible"}, "spot"},
		{"no-spot", []string{"cheap"}, []string{"--preemptible"}, "on-demand"},
		{"careful", nil, nil, "on-demand"},
	} {
		s.applyNamed(c.fleet, func(spec *fleetspec.Spec) {
			spec.InstanceTypes = types
			if c.none != nil {
				spec.Faults = &fleetspec.Faults{NoCapacity: c.none}
			}
		})
		s.must(append(append([]string{"run", "--name", c.fleet, "--fleet", c.fleet}, c.flags...), "--", "true")...)
		assert.Equal(t, []string{c.want}, s.rows("type", "instance", "list", "--fleet", c.fleet), c.fleet)
	}
	s.applyNamed("none", func(spec *fleetspec.Spec) {
		spec.InstanceTypes = types
		spec.Faults = &fleetspec.Faults{NoCapacity: []string{"dear"}}
	})
	s.submit("picky", map[string]any{"fleet": "none", "command": []string{"true"}})
	s.eventually(45*time.Second, func() bool {
		_, status := s.why("picky")
		return strings.HasPrefix(status, "queue position 1: no capacity for on-demand until ")
	}, "a container that does not allow it is not run on a preemptible instance")
	assert.Zero(t, s.fleetNamed("none").Totals.Created)
}
