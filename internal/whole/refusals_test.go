package whole

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// workflows counts all workflows that were ever started.
func (s *system) workflows() int64 {
	counted, err := s.client.CountWorkflow(s.Context(), countRequest(""))
	require.NoError(s, err)
	return counted.GetCount()
}

// settled waits until visibility knows as many workflows as there should be.
func (s *system) settled(want int64) {
	s.Helper()
	s.eventually(20*time.Second, func() bool { return s.workflows() == want }, "there are %d workflows", want)
}

// TestTheCommandRefusesWhatThereIsNot gives every command IDs and names that do not exist,
// or that it can do nothing for: one line, and nothing has changed.
func TestTheCommandRefusesWhatThereIsNot(t *testing.T) {
	t.Parallel()
	s := newSystem(t, staysIdle)
	s.must("run", "--name", "over", "--", "echo", "hi")
	s.must("run", "--name", "list", "--array", "3-4", "--", "true")
	i := s.instance(api.StateIdle)
	s.must("instance", "hold", i.Name)
	for _, fleet := range []string{"a", "b"} { // no worker polls that task queue
		_, err := s.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: api.InstanceWorkflowID(fleet, "twin"), TaskQueue: "nobody"}, api.InstanceWorkflow)
		require.NoError(t, err)
	}
	s.settled(7) // the fleet, three containers, three instances
	before := s.fleet()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	noFleet := "fleet %q does not exist; fleets: default; create one with `drover fleet apply -f FILE`"
	noContainer := "container %q does not exist; `drover ps -a` lists those that do"
	noInstance := "instance %q does not exist; `drover instance list -a` shows those that do or did"
	cases := []struct {
		says string
		code int
		args []string
	}{
		{"container over has ended already (completed): nothing to cancel", 1, []string{"cancel", "over"}},
		{"array list[3,4] has ended already: nothing to cancel", 1, []string{"cancel", "list"}},
		{fmt.Sprintf(noContainer+"; "+noContainer, "x", "y"), 1, []string{"cancel", "x", "y"}},
		{"array list has no element 5; it has 3,4", 1, []string{"wait", "list[5]"}},
		{`list[5-4]: "5-4" ends before it begins; allowed: the lower index first, such as 4-5`, 2, []string{"wait", "list[5-4]"}},
		{"logs: list is an array, and has no output of its own; an element has: drover logs list.3", 2, []string{"logs", "list"}},
		{"output of container over: attempt 7 has none; attempts that have: [1]", 1, []string{"logs", "over", "--attempt", "7"}},
		{fmt.Sprintf(noFleet, "other"), 1, []string{"ps", "over", "--fleet", "other"}},
		{`instance "twin" exists in more than one fleet: name one of a/twin, b/twin`, 1, []string{"instance", "show", "twin"}},
		{`instance "twin" exists in more than one fleet: name one of a/twin, b/twin`, 1, []string{"instance", "destroy", "twin"}},
		{"fleet default: instance " + i.Name + " is on hold: drain, run or destroy it first", 1, []string{"fleet", "delete", "default"}},
		{"-f: open " + dir + "/none: no such file or directory", 1, []string{"fleet", "apply", "-f", dir + "/none"}},
		{"-f: read " + dir + ": is a directory", 1, []string{"fleet", "apply", "-f", dir}},
		{file("empty", "") + `:1: is empty; allowed: a fleet's spec, such as "name: default"`, 1, []string{"fleet", "apply", "-f", dir + "/empty"}},
		{file("binary", "\x7fELF\xff") + ":1: is not text; allowed: YAML in UTF-8", 1, []string{"fleet", "apply", "-f", dir + "/binary"}},
		{file("late", "name: other\nlimits:\n  max_instances: -1\n") + ":3: limits.max_instances: -1 is too small; allowed: 1 or more", 1, []string{"fleet", "apply", "-f", dir + "/late"}},
		{`container over: Temporal has no namespace "nonsense"; choose another with --namespace or TEMPORAL_NAMESPACE, or create it: temporal operator namespace create -n nonsense`, 1, []string{"--namespace", "nonsense", "wait", "over"}},
	}
	for _, c := range []struct {
		about string
		args  []string
	}{
		{"list workflows: ", []string{"ps"}}, {"list workflows: ", []string{"instance", "list"}}, {"list workflows: ", []string{"fleet", "list"}},
		{"list workflows: ", []string{"instance", "show", "x"}}, {"container x: ", []string{"run", "--name", "x", "--", "true"}},
		{"container x: ", []string{"cancel", "x"}}, {"container x: ", []string{"logs", "x"}}, {"fleet default: ", []string{"fleet", "status", "default"}},
		{"fleet default: ", []string{"fleet", "delete", "default"}}, {"fleet default: ", []string{"ps", "--fleet", "default"}},
	} {
		cases = append(cases, struct {
			says string
			code int
			args []string
		}{c.about + `Temporal has no namespace "nonsense"; choose another with --namespace or TEMPORAL_NAMESPACE, or create it: temporal operator namespace create -n nonsense`,
			1, append([]string{"--namespace", "nonsense"}, c.args...)})
	}
	for _, id := range []string{"nope", "", "ü", "a b", "a\nb", "nope[0-9]", "a'b", strings.Repeat("a", 3000)} {
		for _, command := range []string{"ps", "wait", "logs", "cancel"} {
			cases = append(cases, struct {
				says string
				code int
				args []string
			}{fmt.Sprintf(noContainer, id), 1, []string{command, id}})
		}
	}
	for _, name := range []string{"nope", "default/nope", "a/b/c/d", "a'b", strings.Repeat("a", 3000), "", "ü"} {
		says := fmt.Sprintf(noInstance, name)
		if name == "" || name == "ü" {
			says = fmt.Sprintf("instance %q does not exist; `drover instance list` lists those that do", name)
		}
		for _, command := range []string{"show", "hold", "drain", "run", "destroy"} {
			cases = append(cases, struct {
				says string
				code int
				args []string
			}{says, 1, []string{"instance", command, name}})
		}
	}
	for _, name := range []string{"nope", "", "UPPER ü", "a'b"} {
		for _, args := range [][]string{{"fleet", "status", name}, {"fleet", "delete", name}} {
			cases = append(cases, struct {
				says string
				code int
				args []string
			}{fmt.Sprintf(noFleet, name), 1, args})
		}
		if name != "" { // as if it were not given
			cases = append(cases, struct {
				says string
				code int
				args []string
			}{fmt.Sprintf(noFleet, name), 1, []string{"ps", "-a", "--fleet", name}}, struct {
				says string
				code int
				args []string
			}{fmt.Sprintf(noFleet, name), 1, []string{"instance", "list", "-a", "--fleet", name}})
		}
	}
	for _, c := range cases {
		s.refused(c.code, c.says, c.args...)
	}
	assert.Equal(t, before, s.fleet(), "nothing has changed")
	s.settled(7)
	s.must("instance", "destroy", i.Name)
	s.gone(i)
	s.refused(1, fmt.Sprintf("instance %q is gone: nothing can be ordered of it any more", i.Name), "instance", "hold", i.Name)
	s.refused(1, "container refused: fleet \"nope\" does not exist; fleets: default", "run", "--name", "refused", "--fleet", "nope", "--", "true")
	s.refused(1, "container image: fleet default runs no images: its engine is process; allowed: a container without an image, or a fleet with engine docker or podman",
		"run", "--name", "image", "--image", "alpine", "--", "true")
	s.applyNamed("sticky", func(spec *fleetspec.Spec) {
		spec.Faults = &fleetspec.Faults{Destroy: fleetspec.CallFaults{Fail: 1}}
	})
	s.must("run", "--fleet", "sticky", "--", "true")
	leaving := s.fleetNamed("sticky").Instances[0].Name
	s.must("instance", "destroy", leaving)
	s.eventually(20*time.Second, func() bool { return s.fleetNamed("sticky").Instances[0].State == api.StateShutdown }, "it shuts down")
	s.refused(1, fmt.Sprintf("instance %s: its idle behavior can no longer change: it is in state shutdown", leaving), "instance", "hold", leaving)
	_, stderr, code := s.drover("fleet", "apply", "-f", file("no-key", "name: no-key\nssh: {key_file: /does/not/exist}\n"))
	assert.Equal(t, 1, code, "it exists, and says why it can't work")
	assert.Equal(t, "drover: fleet no-key can't work: ssh.key_file: stat /does/not/exist: no such file or directory\n", stderr)
	s.submit("stuck", map[string]any{"command": []string{"true"}, "fleet": "no-key"})
	s.eventually(20*time.Second, func() bool { state, _ := s.why("stuck"); return state == api.ContainerQueued }, "it waits")
	s.refused(1, "output of container stuck: the fleet has no output store yet: no worker has prepared it", "logs", "stuck")
}

// TestNonsenseThroughAnyClientIsRefusedInOneLine is what a stranger sends with Temporal's
// own tools.
func TestNonsenseThroughAnyClientIsRefusedInOneLine(t *testing.T) {
	t.Parallel()
	s := newSystem(t, staysIdle)
	s.must("run", "--", "true")
	i := s.instance(api.StateIdle)
	s.must("instance", "hold", i.Name)
	command := func(more string) json.RawMessage { return json.RawMessage(`{"command": ["true"]` + more + `}`) }
	const keys = "allowed: an object with the keys fleet, command, image, env, vcpus, memory, scratch, gpus, priority, preemptible, timeout, attempts"
	for k, c := range []struct {
		workflow, id string
		input        []any
		says         string
	}{
		{"Container", "", nil, "container spec: is not JSON; " + keys},
		{"Container", "", []any{7}, "container spec: the spec: a JSON number is not allowed here; " + keys},
		{"Container", "", []any{"true"}, "container spec: the spec: a JSON string is not allowed here; " + keys},
		{"Container", "", []any{[]byte("\xff\x01")}, "container spec: is not JSON; " + keys},
		{"Container", "", []any{command(`, "comand": []`)}, `container spec: json: unknown field "comand"; ` + keys},
		{"Container", "", []any{command(`, "vcpus": "NaN"`)}, "container spec: vcpus: a JSON string is not allowed here; allowed: a number"},
		{"Container", "", []any{command(`, "timeout": 5`)}, `container spec: timeout: "5" is not a duration; allowed: a number with h, m, s or ms, as in 90s or 1h30m, or 0`},
		{"Container", "", []any{command(`, "gpus": -1`)}, "gpus: -1 is not allowed: 0 to 1000000"},
		{"Container", "", []any{command(`, "env": {"A": "` + strings.Repeat("x", 1<<20) + `"}`)}, "command, image and env have 1048581 bytes together; allowed: at most 1MiB"},
		{"Fleet", "fleet/", nil, `name: "" is not a fleet's name; allowed: 1 to 40 of a-z, 0-9 and -, with - neither first nor last`},
		{"Fleet", "fleet/x", []any{7}, `a JSON number is not a fleet's input; allowed: {"spec": …}`},
		{"Fleet", "fleet/x", []any{json.RawMessage(`{"spec": {"name": "y"}}`)}, "the workflow ID of fleet y must be fleet/y"},
		{"Fleet", "fleet/x", []any{json.RawMessage(`{"spec": {"name": "x", "limits": {"min_idle": "many"}}}`)}, `fleet spec: limits.min_idle: "many" is not allowed here; allowed: a whole number`},
	} {
		if c.id == "" {
			c.id = fmt.Sprint("container/nonsense-", k)
		}
		run, err := s.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: c.id, TaskQueue: "drover"}, c.workflow, c.input...)
		require.NoError(t, err)
		oneLine(t, s.ends(run), c.says)
	}
	for _, c := range []struct {
		id, update string
		input      []any
		says       string
	}{
		{"fleet/default", "apply", nil, `name: "" is not a fleet's name`},
		{"fleet/default", "apply", []any{7}, `fleet spec: "7" is not a fleet's spec; allowed: keys and values, such as "name: default"`},
		{"fleet/default", "apply", []any{json.RawMessage(`{"limits": {"max_instances": 0}}`)}, "limits.max_instances: 0 is too small; allowed: 1 or more"},
		{"fleet/default", "apply", []any{json.RawMessage(`{"output": {"tail": "4XB"}}`)}, `fleet spec: output.tail: "4XB" is not a size; allowed: `},
		{"fleet/default", "apply", []any{json.RawMessage(`{"name": "other"}`)}, `name: "default" can't become "other": a fleet keeps its name`},
		{"fleet/default", "delete", []any{"now"}, `a JSON string is not allowed here; allowed: {"drain": true}, {"drain": false} or nothing`},
		{i.WorkflowID, "update-idle-behavior", nil, `idle behavior "" is not allowed: run, hold or drain`},
		{i.WorkflowID, "update-idle-behavior", []any{"sleep"}, `idle behavior "sleep" is not allowed: run, hold or drain`},
		{i.WorkflowID, "update-idle-behavior", []any{7}, `a JSON number is not allowed here; allowed: "run", "hold", "drain" or {"behavior": …, "reason": …, "by": …}`},
		{i.WorkflowID, "update-destroy", []any{[]int{1}}, `a JSON array is not allowed here; allowed: a reason as a string, {"reason": …, "by": …}, or nothing`},
		{i.WorkflowID, "update-idle-behavior", []any{api.SetIdleBehavior{Behavior: api.Drain, Reason: strings.Repeat("ü", 300_000)}}, "reason: has 300000 characters; allowed: at most 1000"},
		{i.WorkflowID, "update-destroy", []any{api.Destroy{By: strings.Repeat("ü", 201)}}, "by: has 201 characters; allowed: at most 200"},
		{i.WorkflowID, "update-nonsense", nil, "unknown update update-nonsense. KnownUpdates=["},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		handle, err := s.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
			WorkflowID: c.id, UpdateName: c.update, Args: c.input, WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		if err == nil {
			err = handle.Get(ctx, nil)
		}
		oneLine(t, err, c.says)
		cancel()
	}
	for _, id := range []string{"fleet/default", i.WorkflowID} {
		for _, name := range []string{"container-request", "instance-report", "set-idle-behavior", "nonsense"} {
			for _, payload := range []any{nil, 7, "x", []byte{1}, json.RawMessage(`{"kind": 5, "behaviour": "run"}`), json.RawMessage(`{"kind": "submit"}`)} {
				require.NoError(t, s.client.SignalWorkflow(t.Context(), id, "", name, payload))
			}
		}
	}
	s.eventually(20*time.Second, func() bool {
		return strings.Contains(s.must("instance", "show", i.Name), `ignored signal set-idle-behavior: json: unknown field "kind"; allowed: "run", "hold", "drain" or {"behavior": …, "reason": …, "by": …}`)
	}, "it is said where people look")
	s.query(i.WorkflowID, &i)
	assert.Equal(t, api.Hold, i.IdleBehavior)
	assert.Equal(t, fleetspec.Default("default").Limits, s.fleet().Spec.Limits)
	assert.Equal(t, "still works\n", s.must("run", "--", "echo", "still works"))
	state := s.fleet()
	assert.Zero(t, state.Queued+state.Assigned+state.Running)
	assert.Len(t, state.Instances, 2)
	s.must("instance", "destroy", i.Name)
}

// ends waits for a workflow to end, and returns how.
func (s *system) ends(run client.WorkflowRun) error {
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	defer cancel()
	return run.Get(ctx, nil)
}

// oneLine asserts that an error's own message is one line, and says something.
func oneLine(t *testing.T, err error, says string) {
	t.Helper()
	var application *temporal.ApplicationError
	message := fmt.Sprint(err)
	if errors.As(err, &application) {
		message = application.Message()
	}
	assert.Contains(t, message, says)
	assert.NotContains(t, message, "\n")
	assert.NotContains(t, message, "api.", "the names of our types are nobody's business")
}

// TestDevRefusesBeforeItStartsAnything has `drover dev` told to use what it can't.
func TestDevRefusesBeforeItStartsAnything(t *testing.T) {
	s := newServer(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	file := filepath.Join(tmp, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	used := s.address[strings.LastIndex(s.address, ":")+1:]
	for says, args := range map[string][]string{
		"--state-dir: mkdir " + file + ": not a directory":                                                                    {"--state-dir", file},
		"--state-dir: mkdir " + file + ": not a directory\x00two":                                                             {"--state-dir", file + "/below"},
		"--ui-port: 127.0.0.1:" + used + " is in use already: stop what listens there, or choose another port with --ui-port": {"--ui-port", used},
		"--temporal-port: 127.0.0.1:" + used + " is in use already: stop what listens there, or choose another port with --temporal-port (or --address to use the Temporal that runs there)": {"--temporal-port", used},
		"no Temporal at 127.0.0.1:1: transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused; start one with `drover dev`, or set TEMPORAL_ADDRESS":                {"--address", "127.0.0.1:1"},
	} {
		says, _, _ = strings.Cut(says, "\x00")
		s.refused(1, says, append([]string{"dev", "--temporal-port", "0", "--ui-port", "0"}, args...)...)
	}
	left, err := filepath.Glob(filepath.Join(tmp, "drover-dev-*"))
	require.NoError(t, err)
	assert.Empty(t, left, "nothing is left")
}
