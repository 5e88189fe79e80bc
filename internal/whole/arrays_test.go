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
	"drover/internal/cli"
	"drover/internal/fleetspec"
)

func TestAnArrayRunsAsOneAndEndsAsItsWorstElement(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	script := `echo "$DROVER_ARRAY_ID $DROVER_ARRAY_INDEX of $DROVER_ARRAY_COUNT"; case $DROVER_ARRAY_INDEX in 3|17) exit 3;; 8) exit 5;; esac`
	out, stderr, code := s.drover("run", "--array", "0-19", "--name", "night", "--vcpus", "0.1", "--memory", "16MiB", "--", "sh", "-c", script)
	assert.Empty(t, out, "the output of elements is not mixed")
	assert.Equal(t, 5, code)
	assert.Contains(t, stderr, "night: 20 done (3 failed)\n")
	assert.True(t, strings.HasSuffix(stderr, "drover: array night: 3 of 20 failed: 3,17 (exit code 3), 8 (exit code 5); `drover logs night.3` shows the output of the first\n"), stderr)
	assert.Equal(t, "night 17 of 20\n", s.must("logs", "night.17"))

	_, stderr, code = s.drover("logs", "night")
	assert.Equal(t, cli.ExitUsage, code)
	assert.Equal(t, "drover: logs: night is an array, and has no output of its own; an element has: drover logs night.0\n", stderr)

	out, _, code = s.drover("wait", "night")
	assert.Equal(t, 5, code)
	assert.Regexp(t, `^night\[0-19\]: 17 exited with 0, 3 failed, cost \d\.\d{4}\n$`, out)
	out, _, code = s.drover("wait", "night[0-2,9]")
	assert.Zero(t, code, out)
	_, stderr, code = s.drover("wait", "night[19,20]")
	assert.Equal(t, cli.ExitFailure, code)
	assert.Equal(t, "drover: array night has no element 20; it has 0-19\n", stderr)
	_, stderr, code = s.drover("wait", "night[x]")
	assert.Equal(t, cli.ExitUsage, code)
	assert.Contains(t, stderr, `drover: night[x]: "x" is not allowed: indices, ranges and steps`)

	out, _, code = s.drover("wait", "night", "-o", "json")
	assert.Equal(t, 5, code)
	var end cli.ArrayEnd
	require.NoError(t, json.Unmarshal([]byte(out), &end))
	assert.Equal(t, 3, end.Failed)
	assert.Equal(t, 5, end.ExitCode)
	require.Len(t, end.Containers, 20)
	assert.Equal(t, "night.8", end.Containers[8].ID)
	assert.Equal(t, 5, *end.Containers[8].ExitCode)

	s.sameArray()
	s.eventually(20*time.Second, func() bool { return strings.Contains(s.must("ps", "-a"), "20 done") }, "visibility knows that all have ended")
	lines := strings.Split(strings.TrimSpace(s.must("ps", "-a")), "\n")
	require.Len(t, lines, 4, "the array is one line, beside two containers")
	assert.Regexp(t, `^night\[0-19\] +exited +- .* 20 done$`, lines[3])
	assert.Len(t, strings.Split(strings.TrimSpace(s.must("ps", "night")), "\n"), 21)
	assert.Contains(t, s.must("ps", "-a", "--expand"), "night.17 ")
}

func TestAnArrayThatIsIncompleteIsCompleted(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	for _, index := range []int{0, 2} { // as any client may submit elements
		_, err := s.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
			ID: fmt.Sprintf("container/part.%d", index), TaskQueue: "drover",
			Memo: map[string]any{"DroverArray": json.RawMessage(`{"name":"part","elements":"0-3"}`)},
		}, "Container", json.RawMessage(`{"command":["true"],"vcpus":0.1}`))
		require.NoError(t, err)
	}
	s.must("wait", "part.0")
	s.must("wait", "part.2")
	s.eventually(10*time.Second, func() bool { return strings.Contains(s.must("ps", "-a"), "part[0-3]") }, "visibility knows them")
	_, stderr, code := s.drover("wait", "part")
	assert.Equal(t, 1, code)
	assert.Equal(t, "drover: array part: 2 of 4 failed: 1,3 (does not exist)\n", stderr)
	_, stderr, code = s.drover("run", "--array", "0-3", "--name", "part", "--vcpus", "0.1", "--", "true")
	assert.Zero(t, code, stderr)
	assert.Contains(t, stderr, "drover: array part[0-3] exists already, this is about that one\n")
	s.must("wait", "part")
}

// sameArray submits the array night again, and others that it isn't.
func (s *system) sameArray() {
	_, stderr, code := s.drover("run", "--array", "0-19", "--name", "night", "--", "something", "else")
	assert.Equal(s, 5, code, "it is the same array")
	assert.Contains(s, stderr, "drover: array night[0-19] exists already, this is about that one, whose command is another: sh -c echo")
	_, stderr, code = s.drover("run", "--array", "0-20", "--name", "night", "--", "true")
	assert.Equal(s, 1, code)
	assert.Equal(s, "drover: array night exists already, with elements 0-19; give this one another --name\n", stderr)
	s.must("run", "--name", "solo", "--", "true")
	_, stderr, code = s.drover("run", "--array", "0-3", "--name", "solo", "--", "true")
	assert.Equal(s, 1, code)
	assert.Equal(s, "drover: array solo: there is a container of that name; give the array another: --name\n", stderr)
	s.must("run", "--name", "few.2", "--", "true")
	_, stderr, code = s.drover("run", "--array", "0-3", "--name", "few", "--", "true")
	assert.Equal(s, 1, code)
	assert.Contains(s, stderr, "container few.2 exists already, and is no element of it; give the array another --name")
	s.must("wait", "few.2")
}

func TestAnArrayIsListedAndCancelledAsOne(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) { spec.Limits.MaxInstances = 1 })
	gate := filepath.Join(t.TempDir(), "gate")
	// It has the name of an element, and runs beside the array, but is none.
	s.submit("night.40", map[string]any{"command": []string{"sleep", "1000"}, "vcpus": 0.1})
	s.eventually(30*time.Second, func() bool { return s.fleet().Running == 1 }, "the outsider runs")
	id := s.must("run", "--array", "0-38:2", "--name", "night", "--detach", "--vcpus", "0.5", "--", "sh", "-c",
		"mkdir "+gate+".first && exit 0; while [ ! -e "+gate+" ]; do sleep 0.1; done")
	assert.Equal(t, "night\n", id)

	var rows []map[string]any
	require.NoError(t, json.Unmarshal([]byte(s.must("ps", "-o", "json")), &rows), "at once")
	for _, row := range rows {
		if row["id"] == "night.40" {
			assert.NotContains(t, row, "array")
			continue
		}
		assert.Equal(t, "night", row["array"], row["id"])
		assert.Equal(t, row["id"], fmt.Sprintf("night.%v", row["array_index"]))
		assert.Contains(t, row, "status")
	}
	s.eventually(30*time.Second, func() bool {
		return strings.Contains(s.must("ps"), "3 running, 16 queued, 1 done\n")
	}, "three fit beside the outsider, and the first to run has ended")
	lines := strings.Split(strings.TrimSpace(s.must("ps")), "\n")
	require.Len(t, lines, 3)
	assert.Contains(t, strings.Join(lines[1:], "\n"), "night[0-38:2]")
	assert.Contains(t, strings.Join(lines[1:], "\n"), "night.40")

	assert.Equal(t, "night[36,38]: 2 of 2 are being cancelled\n", s.must("cancel", "night[36-38:2]"))
	_, stderr, code := s.drover("wait", "night[38]")
	assert.NotZero(t, code)
	assert.Regexp(t, "^drover: array night: 1 of 1 failed: 38 \\(cancelled.*\\); `drover logs night.38` shows the output of the first\n$", stderr)
	assert.Regexp(t, `^night\[0-38:2\]: 1[67] of 20 are being cancelled\n$`, s.must("cancel", "night"))
	_, stderr, code = s.drover("wait", "night")
	assert.Equal(t, 128+15, code)
	assert.Contains(t, stderr, "drover: array night: 19 of 20 failed: ")
	_, stderr, code = s.drover("cancel", "night")
	assert.Equal(t, 1, code)
	assert.Equal(t, "drover: array night[0-38:2] has ended already: nothing to cancel\n", stderr)
	assert.Equal(t, 1, s.fleet().Running, "the outsider runs on")
	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	s.must("cancel", "night.40")
}

func TestAnArrayThatIsInterruptedLeavesNothingUnsaid(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	started := t.TempDir()
	whole := s.begin("run", "--array", "0-9", "--name", "whole", "--vcpus", "0.1", "--memory", "16MiB",
		"--", "sh", "-c", "touch "+started+"/$DROVER_ARRAY_INDEX; exec sleep 1000")
	s.eventually(30*time.Second, func() bool { return strings.Contains(whole.tail(), "running") }, "it says that some run")
	// Given to an instance is not yet begun: what is cancelled in between has no exit code.
	s.eventually(30*time.Second, func() bool {
		begun, err := os.ReadDir(started)
		return err == nil && len(begun) == 10
	}, "all have begun")
	whole.stop(syscall.SIGTERM)
	assert.Equal(t, 128+15, whole.cmd.ProcessState.ExitCode(), whole.tail())
	assert.Contains(t, whole.tail(), "whole: is being cancelled\n")
	assert.Contains(t, whole.tail(), "drover: array whole was cancelled: 0-9 (cancelled; exit code 143)")
	assert.Zero(t, s.fleet().Running+s.fleet().Queued)

	part := s.begin("run", "--array", "0-9999", "--name", "part", "--priority", "-1", "--detach", "--", "true")
	s.eventually(30*time.Second, func() bool { return s.exists("part.0") }, "some are submitted")
	part.stop(syscall.SIGTERM)
	assert.Equal(t, 128+15, part.cmd.ProcessState.ExitCode(), part.tail())
	assert.Regexp(t, "(?m)^drover: interrupted; \\d+ of the 10000 elements of array part are submitted: the same command with --name part submits the rest, `drover cancel part` ends it$", part.tail())
	_, stderr, code := s.drover("cancel", "part")
	assert.Zero(t, code)
	assert.Regexp(t, `^drover: array part: \d+ of its 10000 elements do not exist, and are not cancelled\n$`, stderr)
	s.eventually(60*time.Second, func() bool { return s.fleet().Queued == 0 }, "they have ended")
}

// exists reports whether there is a container of an ID.
func (s *system) exists(id string) bool {
	_, err := s.client.DescribeWorkflowExecution(s.Context(), api.ContainerWorkflowID(id), "")
	return err == nil
}

// begin starts the drover command; what it says on stderr is in its log.
func (s *system) begin(args ...string) *process {
	return s.start(args[0]+"-"+args[4], program(s, "drover"), append([]string{"--address", s.address}, args...)...)
}
