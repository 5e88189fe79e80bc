package whole

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
)

// waits is a command that ends with an exit code once a file is there.
func waits(gate, code string) []string {
	return []string{"sh", "-c", "while [ ! -e " + gate + " ]; do sleep 0.05; done; exit " + code}
}

// fleetNamed asks a fleet for its state.
func (s *system) fleetNamed(name string) (state api.FleetState) {
	s.query(api.FleetWorkflowID(name), &state)
	return state
}

// rows runs a command that lists, and returns a column of what it lists.
func (s *system) rows(column string, args ...string) (values []string) {
	s.Helper()
	var rows []map[string]any
	require.NoError(s, json.Unmarshal([]byte(s.must(append(args, "-o", "json")...)), &rows))
	for _, row := range rows {
		values = append(values, row[column].(string))
	}
	return values
}

// refused runs a command that must fail with a line on stderr.
func (s *system) refused(code int, says string, args ...string) {
	s.Helper()
	stdout, stderr, got := s.drover(args...)
	assert.Equal(s, "drover: "+says+"\n", stderr, "drover %.200q", args)
	assert.Equal(s, code, got, "drover %.200q", args)
	assert.Empty(s, stdout, "drover %.200q", args)
}

func TestTwoFleetsOnTheSameWorkersSeeOnlyTheirOwn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.startWorker()
	gate := filepath.Join(t.TempDir(), "gate")
	names := []string{"one", "two"}
	for _, name := range names {
		s.applyNamed(name, quickSync)
		s.submit("c-"+name, map[string]any{"fleet": name, "command": waits(gate, "3")})
	}
	for _, name := range names {
		s.eventually(45*time.Second, func() bool { return s.fleetNamed(name).Running == 1 }, "the container of %s runs", name)
	}
	own := map[string]string{}
	for _, name := range names {
		own[name] = s.fleetNamed(name).Instances[0].Name
	}
	alone := func(name string) {
		t.Helper()
		assert.Equal(t, []string{own[name]}, s.rows("name", "instance", "list", "--fleet", name))
		assert.Equal(t, []string{"c-" + name}, s.rows("id", "ps", "--fleet", name))
		require.Len(t, s.fleetNamed(name).Instances, 1)
		assert.EqualValues(t, own[name], s.fleetNamed(name).Instances[0].Name)
	}
	for _, name := range names {
		alone(name)
	}
	assert.ElementsMatch(t, []string{own["one"], own["two"]}, s.rows("name", "instance", "list"))
	assert.ElementsMatch(t, []string{"c-one", "c-two"}, s.rows("id", "ps"))
	s.eventually(20*time.Second, func() bool {
		return slices.Equal(s.rows("id", "ps", "-a", "--fleet", "two"), []string{"c-two"})
	}, "also with what has ended")

	s.refused(1, `container "c-one" is of fleet one, not of two`, "ps", "c-one", "--fleet", "two")

	// A fleet that has lost its memory finds its own in the cloud's list, and nothing else.
	for _, id := range []string{api.FleetWorkflowID("two"), api.InstanceWorkflowID("two", own["two"])} {
		require.NoError(t, s.client.TerminateWorkflow(t.Context(), id, "", "test"))
	}
	s.applyNamed("two", quickSync)
	s.eventually(60*time.Second, func() bool { return s.fleetNamed("two").Running == 1 }, "it knows its container again")
	for _, name := range names {
		alone(name)
	}
	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	for _, name := range names {
		_, stderr, code := s.drover("wait", "c-"+name)
		assert.Equal(t, 3, code, stderr)
	}
	// Deleting one takes its instances, and leaves the other's.
	s.must("instance", "hold", own["one"])
	assert.Equal(t, "fleet two is being deleted: 0 containers end first, then 1 instance goes\n", s.must("fleet", "delete", "two"))
	s.eventually(60*time.Second, func() bool { return slices.Equal(s.rows("name", "fleet", "list"), []string{"one"}) }, "fleet two is gone")
	assert.Equal(t, []string{own["one"]}, s.rows("name", "instance", "list"))
	s.refused(1, "fleet \"two\" does not exist; fleets: one; create one with `drover fleet apply -f FILE`", "instance", "list", "--fleet", "two")
	s.refused(1, "fleet \"two\" does not exist; fleets: one; create one with `drover fleet apply -f FILE`", "ps", "--fleet", "two")
	s.eventually(20*time.Second, func() bool { // also when it is gone: visibility lags
		return slices.Contains(s.rows("name", "instance", "list", "-a", "--fleet", "two"), own["two"]) &&
			slices.Equal(s.rows("id", "ps", "-a", "--fleet", "two"), []string{"c-two"})
	}, "what was of fleet two is known")
	s.refused(1, "fleet one: instance "+own["one"]+" is on hold: drain, run or destroy it first", "fleet", "delete", "one", "--drain")
	s.must("instance", "destroy", own["one"])
}

func TestApplyShowsWhatChangesAndTouchesNothingThatRuns(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.startWorker()
	dir := t.TempDir()
	gate, file := filepath.Join(dir, "gate"), filepath.Join(dir, "fleet.yaml")
	write := func(yaml string) { require.NoError(t, os.WriteFile(file, []byte(yaml), 0o600)) }
	const types = "instance_types:\n  - {name: old, vcpus: 2, memory: 4GiB}\n"
	write(types + "limits: {max_instances: 7}\n")
	assert.Equal(t, `fleet default does not exist yet; its spec differs from the default one in:
  instance_types[small]: removed {name: "small", provider_type: "small", vcpus: 2, memory: 4GiB, scratch: 20GiB, price: 0.04, architecture: "amd64"}
  instance_types[small-spot]: removed {name: "small-spot", provider_type: "small", vcpus: 2, memory: 4GiB, scratch: 20GiB, price: 0.015, preemptible: true, architecture: "amd64"}
  instance_types[medium]: removed {name: "medium", provider_type: "medium", vcpus: 4, memory: 8GiB, scratch: 40GiB, price: 0.08, architecture: "amd64"}
  instance_types[large]: removed {name: "large", provider_type: "large", vcpus: 8, memory: 16GiB, scratch: 80GiB, price: 0.16, architecture: "amd64"}
  instance_types[old]: added {name: "old", provider_type: "old", vcpus: 2, memory: 4GiB, architecture: "amd64"}
  limits.max_instances: 64 → 7
fleet default is created
`, s.must("fleet", "apply", "-f", file))
	run := s.submit("c-1", map[string]any{"command": waits(gate, "4")})
	i := s.instance(api.StateRunning)
	before := s.fleet().Spec

	write(types + "limits: {max_instances: 8}\n")
	assert.Equal(t, "fleet default changes:\n  limits.max_instances: 7 → 8\ndry run: nothing was done\n", s.must("fleet", "apply", "--dry-run", "-f", file))
	assert.Equal(t, before, s.fleet().Spec, "a dry run changes nothing")
	write(types + "limits:\n  max_instances: 8\n  min_idle: -1\n")
	s.refused(1, file+":5: limits.min_idle: -1 is out of range; allowed: 0 to limits.max_instances (8)", "fleet", "apply", "-f", file)
	assert.Equal(t, before, s.fleet().Spec, "a bad spec changes nothing")

	write("instance_types:\n  - {name: new, vcpus: 2, memory: 4GiB}\nlimits: {max_instances: 8}\n")
	assert.Equal(t, `fleet default changes:
  instance_types[old]: removed {name: "old", provider_type: "old", vcpus: 2, memory: 4GiB, architecture: "amd64"}
  instance_types[new]: added {name: "new", provider_type: "new", vcpus: 2, memory: 4GiB, architecture: "amd64"}
  limits.max_instances: 7 → 8
fleet default is changed
`, s.must("fleet", "apply", "-f", file))
	s.eventually(20*time.Second, func() bool { s.query(i.WorkflowID, &i); return i.IdleBehavior == api.Drain }, "an instance whose type is removed drains")
	assert.Equal(t, "type old is no longer in the fleet's spec", i.BehaviorReason)
	assert.Equal(t, []string{"c-1"}, i.Running, "what runs on it runs on")
	s.must("run", "--name", "c-2", "--", "true") // goes to one of the new type
	var second api.ContainerState
	s.query(api.ContainerWorkflowID("c-2"), &second)
	assert.NotEqual(t, i.Name, second.Instance)
	assert.Equal(t, "fleet default: nothing changes\n", s.must("fleet", "apply", "-f", file))

	s.refused(1, "fleet default: fleet default has 1 container that has not ended: drain it (--drain), or cancel them first", "fleet", "delete", "default")
	assert.Equal(t, 1, s.fleet().Running)
	assert.Contains(t, s.must("fleet", "delete", "default", "--drain"), "fleet default is being deleted: 1 container ends first, then ")
	s.refused(1, "container late: fleet default is being deleted", "run", "--name", "late", "--", "true")
	s.refused(1, "fleet default is being deleted: it can be created anew once it is gone", "fleet", "apply", "-f", file)
	assert.Contains(t, s.must("fleet", "status"), "it is being deleted\n")
	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Equal(t, 4, result.ExitCode)
	assert.Equal(t, 1, result.Attempts)
	assert.Equal(t, i.Name, result.Instance)
	assert.Equal(t, "drained: type old is no longer in the fleet's spec", s.gone(i).Reason)
	s.eventually(60*time.Second, func() bool { return s.must("fleet", "list", "-o", "json") == "[]\n" }, "the fleet is gone")
	assert.Empty(t, s.rows("name", "instance", "list"))
}
