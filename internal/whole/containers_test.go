package whole

import (
	"crypto/sha256"
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
	"drover/internal/fleetspec"
)

func TestContainersReturnWhatTheirCommandsReturn(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)

	t.Run("output and exit code 0", func(t *testing.T) {
		out, _, code := s.drover("run", "--", "echo", "hi there")
		assert.Equal(t, "hi there\n", out)
		assert.Zero(t, code)
	})
	t.Run("an exit code", func(t *testing.T) {
		_, _, code := s.drover("run", "--", "sh", "-c", "exit 7")
		assert.Equal(t, 7, code)
	})
	t.Run("a signal is 128+n", func(t *testing.T) {
		_, _, code := s.drover("run", "--", "sh", "-c", "kill -SEGV $$")
		assert.Equal(t, 128+int(syscall.SIGSEGV), code)
	})
	t.Run("a missing command is 127", func(t *testing.T) {
		_, _, code := s.drover("run", "--", "no-such-command")
		assert.Equal(t, 127, code)
	})
	t.Run("5 MB arrive byte for byte", func(t *testing.T) {
		out, _, code := s.drover("run", "--", "sh", "-c", "head -c 5000000 /dev/urandom >x; sha256sum <x | cut -c1-64 >&2; cat x")
		require.Zero(t, code)
		sum := fmt.Sprintf("%x\n", sha256.Sum256([]byte(out[65:])))
		assert.Len(t, out, 5000000+65)
		assert.Equal(t, sum, out[:65])
	})
	t.Run("the environment is unchanged", func(t *testing.T) {
		value := "a 'b' \"c\" $HOME `id` \\ \n\t=é€😀 -e x=y"
		out, _, code := s.drover("run", "--env", "ODD="+value, "--env", "PATH=/usr/bin:/bin", "--", "sh", "-c", `printf %s "$ODD"`)
		require.Zero(t, code)
		assert.Equal(t, value, out)
	})
	t.Run("stderr is in the output, and there is no standard input", func(t *testing.T) {
		out, _, code := s.drover("run", "--", "sh", "-c", "cat; echo err >&2; echo out")
		require.Zero(t, code)
		assert.Equal(t, "err\nout\n", out)
	})
}

func TestTheContainerWorkflowIsAContract(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	// Exactly what an outsider sends: any workflow ID, raw JSON.
	run, err := s.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "4a1f-from-outside", TaskQueue: "drover"},
		"Container", json.RawMessage(`{"command":["echo","hi"]}`))
	require.NoError(t, err)
	var result map[string]any
	require.NoError(t, run.Get(t.Context(), &result))
	for _, key := range []string{"exit_code", "output", "output_truncated", "instance", "cloud_id", "instance_type", "attempts", "queued_at", "started_at", "finished_at", "cost"} {
		assert.Contains(t, result, key)
	}
	assert.EqualValues(t, 0, result["exit_code"])
	assert.Equal(t, "hi\n", result["output"])
	assert.EqualValues(t, 1, result["attempts"])
	for _, key := range []string{"queued_at", "started_at", "finished_at"} {
		assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,9}Z$`, result[key], "RFC 3339 with at least milliseconds")
	}
}

func TestAContainerForAFleetThatDoesNotExistFailsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	s.eventually(10*time.Second, func() bool { // visibility lags
		_, stderr, code := s.drover("run", "--fleet", "nowhere", "--", "true")
		return code == 1 && strings.Contains(stderr, `fleet "nowhere" does not exist; fleets: default`)
	}, "the error names the fleets")
}

func TestAWorkerThatIsKilledLosesNothing(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	witness := filepath.Join(t.TempDir(), "starts")
	gate := filepath.Join(t.TempDir(), "gate")
	run := s.submit("survivor", map[string]any{"command": []string{"sh", "-c",
		"echo started >>" + witness + "; i=0; while [ ! -e " + gate + " ]; do i=$((i+1)); echo line $i; sleep 0.1; done; echo end $i; exit 5"}})
	s.eventually(30*time.Second, func() bool { _, err := os.Stat(witness); return err == nil }, "the container starts")
	s.workers[0].stop(syscall.SIGKILL)
	s.startWorker()
	s.eventually(90*time.Second, func() bool { // the new worker has taken over: output arrives again
		out, _, _ := s.drover("logs", "survivor")
		return strings.Count(out, "\n") > 100
	}, "output arrives through the new worker")
	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Equal(t, 5, result.ExitCode)
	assert.Equal(t, 1, result.Attempts)
	starts, err := os.ReadFile(witness)
	require.NoError(t, err)
	assert.Equal(t, "started\n", string(starts), "it was started once")

	var n int
	lines := strings.Split(strings.TrimSuffix(s.must("logs", "survivor"), "\n"), "\n")
	_, err = fmt.Sscanf(lines[len(lines)-1], "end %d", &n)
	require.NoError(t, err)
	require.Len(t, lines, n+1, "the whole output")
	for k := range n {
		require.Equal(t, fmt.Sprintf("line %d", k+1), lines[k])
	}
}

func TestAWorkerThatStopsHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	gate := filepath.Join(t.TempDir(), "gate")
	run := s.submit("handed-over", map[string]any{"command": []string{"sh", "-c", "while [ ! -e " + gate + " ]; do sleep 0.05; done; date +%s%N"}})
	s.eventually(30*time.Second, func() bool { return s.fleet().Running == 1 }, "the container runs")
	s.startWorker()
	s.workers[0].stop(syscall.SIGTERM)
	s.eventually(10*time.Second, func() bool { return s.attached("handed-over") }, "the other worker has taken over")
	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Zero(t, result.ExitCode)
	assert.Less(t, time.Since(result.FinishedAt.Time), 2*time.Second, "the exit is known when it happens")
}

// attached reports whether a worker is with the container: its activity has been
// started again, and not by the first worker.
func (s *system) attached(container string) bool {
	for _, i := range s.fleet().Instances {
		described, err := s.client.DescribeWorkflowExecution(s.Context(), api.InstanceWorkflowID("default", i.Name), "")
		require.NoError(s, err)
		for _, a := range described.GetPendingActivities() {
			if a.GetActivityType().GetName() == api.RunContainerActivity && a.GetAttempt() > 1 && a.GetState().String() == "Started" {
				return true
			}
		}
	}
	return false
}

func TestCancellingKillsARunningContainer(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	pidFile := filepath.Join(t.TempDir(), "pid")
	run := s.submit("cancelled", map[string]any{"command": []string{"sh", "-c", "echo $$ >" + pidFile + ".new; mv " + pidFile + ".new " + pidFile + "; exec sleep 1000"}})
	s.eventually(30*time.Second, func() bool { _, err := os.Stat(pidFile); return err == nil }, "the container starts")
	s.must("cancel", "cancelled")
	_, err := s.result(run)
	require.ErrorContains(t, err, "canceled")
	text, err := os.ReadFile(pidFile)
	require.NoError(t, err)
	var pid int
	_, err = fmt.Sscan(string(text), &pid)
	require.NoError(t, err)
	assert.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH, "its process is gone")
	_, _, code := s.drover("wait", "cancelled")
	assert.NotZero(t, code)
}

func TestWhenTheLastContainerHasEndedNothingIsLeft(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) { spec.Timeouts.Idle = fleetspec.Duration(2 * time.Second) })
	for k := range 5 {
		s.must("run", "--name", fmt.Sprintf("c-%d", k), "--detach", "--", "sh", "-c", "sleep 0.2; (setsid sleep 1000 &)")
	}
	for k := range 5 {
		s.must("wait", fmt.Sprintf("c-%d", k))
	}
	s.eventually(30*time.Second, func() bool { return len(s.fleet().Instances) == 0 }, "the instances go")
	left, err := filepath.Glob(filepath.Join(s.dir, "instances", "default", "[^.]*"))
	require.NoError(t, err)
	assert.Empty(t, left, "no file of an instance is left")
	assert.Empty(t, processesUnder(t, filepath.Join(s.dir, "instances")), "no process is left")
	var listed []any
	require.NoError(t, json.Unmarshal([]byte(s.must("instance", "list", "-o", "json")), &listed))
	assert.Empty(t, listed)
}

// processesUnder returns the processes that work in a directory or were told of it.
func processesUnder(t testing.TB, dir string) (found []string) {
	all, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, p := range all {
		cwd, _ := os.Readlink(filepath.Join(p, "cwd"))         // it may have ended
		environ, _ := os.ReadFile(filepath.Join(p, "environ")) // likewise
		if strings.HasPrefix(cwd, dir) || strings.Contains(string(environ), dir) {
			command, _ := os.ReadFile(filepath.Join(p, "cmdline")) // likewise
			found = append(found, p+" "+string(command))
		}
	}
	return found
}

func TestHistoriesThatGetLongContinueAsNewAndLoseNothing(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) { spec.Limits.MaxInstances = 1 })
	witness, gate := filepath.Join(t.TempDir(), "starts"), filepath.Join(t.TempDir(), "gate")
	long := s.submit("long", map[string]any{"command": []string{"sh", "-c", "echo x >>" + witness + "; while [ ! -e " + gate + " ]; do sleep 0.1; done; echo done"}})
	i := s.instance(api.StateRunning)
	first := i.RunID
	for batch := 0; i.RunID == first; batch++ { // a history is long at 4,096 events
		require.Less(t, batch, 20, "the instance has not continued as new")
		runs := make([]client.WorkflowRun, 40)
		for k := range runs {
			runs[k] = s.submit(fmt.Sprintf("b%d-%d", batch, k), map[string]any{"command": []string{"sh", "-c", fmt.Sprintf("exit %d", k)}, "vcpus": 0.1})
		}
		for k, run := range runs {
			result, err := s.result(run)
			require.NoError(t, err)
			require.Equal(t, k, result.ExitCode)
			require.Equal(t, 1, result.Attempts)
		}
		s.query(i.WorkflowID, &i)
	}
	assert.Contains(t, i.Running, "long")
	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	result, err := s.result(long)
	require.NoError(t, err)
	assert.Equal(t, "done\n", result.Output)
	starts, err := os.ReadFile(witness)
	require.NoError(t, err)
	assert.Equal(t, "x\n", string(starts), "it was started once")
}
