package whole

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/fleetspec"
)

// scripted writes a runner that is a script, and returns where the files are by which it and a
// test talk to each other; it is one of them.
func scripted(t *testing.T, script string) (path func(name string) string) {
	control := t.TempDir()
	path = func(name string) string { return filepath.Join(control, name) }
	require.NoError(t, os.WriteFile(path("runner"), []byte(strings.ReplaceAll(script, "CONTROL", control)), 0o755))
	return path
}

// startsOnce is a runner that starts a container once, and then can't be asked to again.
const startsOnce = `#!/bin/sh
case $1 in
version) echo scripted ;;
list) [ ! -e CONTROL/up ] || [ -e CONTROL/over ] || cat CONTROL/up ;;
start)
	cat >/dev/null
	echo start >>CONTROL/log
	[ ! -e CONTROL/up ] || { echo out of processes >&2; exit 1; }
	echo $2 >CONTROL/up ;;
wait | logs)
	[ -e CONTROL/up ] || exit 4
	while [ ! -e CONTROL/over ]; do sleep 0.1; done
	[ $1 = logs ] || echo '{"exit_code": 7, "started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:01Z"}' ;;
esac
`

// TestAContainerThatRunsIsNotTakenForOneThatCouldNotBeStarted has another worker attach to
// a container on an instance that is too busy for another call to start it.
func TestAContainerThatRunsIsNotTakenForOneThatCouldNotBeStarted(t *testing.T) {
	t.Parallel()
	path := scripted(t, startsOnce)
	started := func() int {
		text, err := os.ReadFile(path("log"))
		if err != nil {
			return 0
		}
		return strings.Count(string(text), "start")
	}
	s := newSystem(t, func(spec *fleetspec.Spec) {
		staysIdle(spec)
		spec.Runner.Source = path("runner")
	})
	run := s.submit("busy", map[string]any{"command": []string{"true"}})
	s.eventually(time.Minute, func() bool { return started() == 1 }, "it is started")

	s.workers[0].stop(syscall.SIGTERM)
	s.startWorker()
	s.eventually(time.Minute, func() bool { return started() > 2 }, "the other worker attaches, again and again")
	assert.EqualValues(t, 1, s.fleet().Running)
	assert.Zero(t, s.fleet().Totals.Retried, "it is not started elsewhere")

	require.NoError(t, os.WriteFile(path("over"), nil, 0o600))
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Equal(t, 7, result.ExitCode)
	assert.Equal(t, 1, result.Attempts)
}

// listsMore is a runner that lists what stands in a file.
const listsMore = `#!/bin/sh
case $1 in
version) echo scripted ;;
list) cat CONTROL/list 2>/dev/null || true ;;
start) cat >/dev/null; echo $2 >CONTROL/list ;;
wait | logs)
	while grep -qx $2 CONTROL/list; do sleep 0.1; done
	[ $1 = logs ] || echo '{"exit_code": 0, "started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:01Z"}' ;;
kill) echo kill $2 >>CONTROL/log; sed -i /^$2\$/d CONTROL/list ;;
esac
`

// TestAnotherAttemptOnTheSameInstanceIsKilled has one turn up whose workflow nobody knows any
// more: the container would run twice.
func TestAnotherAttemptOnTheSameInstanceIsKilled(t *testing.T) {
	t.Parallel()
	path := scripted(t, listsMore)
	s := newSystem(t, func(spec *fleetspec.Spec) {
		staysIdle(spec)
		spec.Runner.Source = path("runner")
		spec.Intervals.Probe = fleetspec.Duration(time.Second)
	})
	run := s.submit("twice", map[string]any{"command": []string{"true"}})
	s.eventually(time.Minute, func() bool { _, err := os.Stat(path("list")); return err == nil }, "it is started")
	require.NoError(t, os.WriteFile(path("list"), []byte("twice\ntwice~2\n"), 0o600))

	s.eventually(time.Minute, func() bool { killed, err := os.ReadFile(path("log")); return err == nil && len(killed) > 0 }, "one is killed")
	killed, err := os.ReadFile(path("log"))
	require.NoError(t, err)
	assert.Equal(t, "kill twice~2\n", string(killed), "and only that which the fleet does not know")
	require.NoError(t, os.WriteFile(path("list"), nil, 0o600))
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Equal(t, 1, result.Attempts)
}

// startsLate is a runner that knows a container only once it has started it.
const startsLate = `#!/bin/sh
case $1 in
version) echo scripted ;;
list) cat CONTROL/list 2>/dev/null || true ;;
start)
	cat >/dev/null
	echo start >>CONTROL/log
	while [ ! -e CONTROL/gate ]; do sleep 0.1; done
	echo $2 >CONTROL/list ;;
wait | logs)
	while grep -qx $2 CONTROL/list; do sleep 0.1; done
	[ $1 = logs ] || echo '{"exit_code": 143, "started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:01Z"}' ;;
kill)
	echo kill >>CONTROL/log
	grep -qx $2 CONTROL/list 2>/dev/null || exit 4
	sed -i /^$2\$/d CONTROL/list ;;
esac
`

// TestAContainerThatIsCancelledWhileItIsStartedIsKilledOnceItHas has its instance not know it
// yet when it is to be killed.
func TestAContainerThatIsCancelledWhileItIsStartedIsKilledOnceItHas(t *testing.T) {
	t.Parallel()
	path := scripted(t, startsLate)
	logged := func(what string) func() bool {
		return func() bool {
			text, err := os.ReadFile(path("log"))
			return err == nil && strings.Contains(string(text), what)
		}
	}
	s := newSystem(t, func(spec *fleetspec.Spec) {
		staysIdle(spec)
		spec.Runner.Source = path("runner")
		spec.Timeouts.Signal = fleetspec.Duration(time.Second)
	})
	run := s.submit("late", map[string]any{"command": []string{"true"}})
	s.eventually(time.Minute, logged("start"), "it is being started")
	require.NoError(t, s.client.CancelWorkflow(t.Context(), run.GetID(), ""))
	s.eventually(time.Minute, logged("kill"), "it is to be killed")
	require.NoError(t, os.WriteFile(path("gate"), nil, 0o600))
	_, err := s.result(run)
	require.ErrorContains(t, err, "canceled")
	assert.Zero(t, s.fleet().Running)
}
