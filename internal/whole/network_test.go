package whole

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
	"drover/internal/cloud/local"
	"drover/internal/fleetspec"
	"drover/internal/realparts"
)

// cutCable drops everything from and to an instance's SSH server, and returns what
// undoes it.
func (s *system) cutCable(i api.InstanceState) (mend func()) {
	if _, err := exec.LookPath("iptables"); err != nil || os.Getuid() != 0 {
		realparts.Missing(s, "needs iptables, and root")
	}
	_, port, err := net.SplitHostPort(i.Address)
	require.NoError(s, err)
	rule := func(action string) error {
		for _, side := range []string{"--dport", "--sport"} {
			out, err := exec.Command("iptables", "-w", action, "INPUT", "-i", "lo", "-p", "tcp", side, port, "-j", "DROP").CombinedOutput()
			if err != nil {
				return fmt.Errorf("iptables: %w: %s", err, out)
			}
		}
		return nil
	}
	require.NoError(s, rule("-I"))
	cut := true
	mend = func() {
		if cut {
			cut = false
			assert.NoError(s, rule("-D"))
		}
	}
	s.Cleanup(mend)
	return mend
}

// witnessed returns a command that holds a lock for as long as it runs, says in a file
// that it has started, and in another that it found the lock taken.
func witnessed(dir, then string) []string {
	return []string{"sh", "-c", fmt.Sprintf("exec 8>%[1]s/lock; flock -n 8 || echo x >>%[1]s/overlaps; echo x >>%[1]s/starts; %[2]s", dir, then)}
}

func starts(t *testing.T, dir string) int {
	text, err := os.ReadFile(filepath.Join(dir, "starts"))
	if err != nil {
		return 0
	}
	return strings.Count(string(text), "x")
}

// impatient has instances that can't be reached given up soon.
func impatient(spec *fleetspec.Spec) {
	spec.Intervals.Probe, spec.Timeouts.Probe = fleetspec.Duration(time.Second), fleetspec.Duration(8*time.Second)
	spec.Timeouts.ShutdownRetry = fleetspec.Duration(time.Second)
}

func TestAContainerBehindACutCableNeverRunsTwice(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) {
		impatient(spec)
		spec.Faults = &fleetspec.Faults{Destroy: fleetspec.CallFaults{Fail: 1}}
	})
	dir := t.TempDir()
	// The first attempt runs for ever; whoever comes later finds that it has.
	run := s.submit("fenced", map[string]any{"command": witnessed(dir, fmt.Sprintf("mkdir %s/first || exit 3; exec sleep 1000", dir))})
	i := s.instance(api.StateRunning)
	s.eventually(20*time.Second, func() bool { return starts(t, dir) == 1 }, "it starts")
	s.cutCable(i)
	s.eventually(90*time.Second, func() bool { s.query(i.WorkflowID, &i); return i.State == api.StateShutdown }, "the instance is given up")
	assert.Contains(t, i.Reason, "unreachable")
	assert.Equal(t, []string{"fenced"}, i.Running)
	s.passes(5 * time.Second) // while destroying fails
	assert.Equal(t, 1, starts(t, dir), "it is not started elsewhere while its instance may exist")
	var waits api.ContainerState
	s.query(run.GetID(), &waits)
	assert.Zero(t, waits.FinishedAt)
	described, err := s.client.DescribeWorkflowExecution(t.Context(), i.WorkflowID, "")
	require.NoError(t, err)
	assert.Contains(t, described.String(), "injected fault", "that destroying fails is in sight")

	s.change(func(spec *fleetspec.Spec) { spec.Faults = nil })
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Equal(t, 3, result.ExitCode, "it has run elsewhere")
	assert.Equal(t, 2, result.Attempts)
	assert.Equal(t, 2, starts(t, dir))
	assert.NoFileExists(t, filepath.Join(dir, "overlaps"))
	assert.Equal(t, api.OutcomeDestroyed, s.gone(i).Outcome)
}

func TestACableThatIsMendedInTimeIsNotNoticed(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) { spec.Intervals.Probe = fleetspec.Duration(time.Second) })
	dir := t.TempDir()
	run := s.submit("patient", map[string]any{"command": witnessed(dir, "for k in $(seq 300); do echo line $k; sleep 0.1; done; exit 4")})
	i := s.instance(api.StateRunning)
	s.eventually(20*time.Second, func() bool { return starts(t, dir) == 1 }, "it starts")
	mend := s.cutCable(i)
	s.passes(15 * time.Second)
	mend()
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Equal(t, 4, result.ExitCode)
	assert.Equal(t, 1, result.Attempts)
	assert.Equal(t, 1, starts(t, dir))
	assert.Equal(t, 300, strings.Count(s.must("logs", "patient"), "line "), "the whole output")
}

func TestAnInstanceThatHangsIsGivenUpOnlyWhenItDoesNotComeBack(t *testing.T) {
	t.Parallel()
	s := newSystem(t, impatient)
	dir := t.TempDir()
	run := s.submit("hung", map[string]any{"command": witnessed(dir, fmt.Sprintf("mkdir %s/first || exit 3; exec sleep 1000", dir))})
	i := s.instance(api.StateRunning)
	s.eventually(20*time.Second, func() bool { return starts(t, dir) == 1 }, "it starts")
	pid, err := s.pid(i.Name)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	s.passes(3 * time.Second)
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	s.passes(5 * time.Second)
	s.query(i.WorkflowID, &i)
	assert.Equal(t, api.StateRunning, i.State, "it has come back")

	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	assert.Contains(t, s.gone(i).Reason, "unreachable")
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Equal(t, 2, result.Attempts)
	assert.NoFileExists(t, filepath.Join(dir, "overlaps"))
}

func TestASpotNoticeEndsTheContainerInTimeAndRunsItElsewhere(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) { spec.Intervals.Probe = fleetspec.Duration(time.Second) })
	dir := t.TempDir()
	script := fmt.Sprintf("mkdir %[1]s/first || exit 0; trap 'echo saved >%[1]s/saved; exit 143' TERM; while :; do sleep 0.1; done", dir)
	run := s.submit("spot", map[string]any{"command": witnessed(dir, script), "preemptible": true, "attempts": 2})
	i := s.instance(api.StateRunning)
	assert.Equal(t, "small-spot", i.Type)
	s.eventually(20*time.Second, func() bool { return starts(t, dir) == 1 }, "it starts")
	driver, err := local.New(local.Config{Fleet: "default", Directory: filepath.Join(s.dir, "instances")})
	require.NoError(t, err)
	require.NoError(t, driver.Preempt(t.Context(), i.Name, time.Now().Add(time.Minute)))
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Equal(t, 2, result.Attempts)
	assert.NotEqual(t, i.Name, result.Instance)
	assert.FileExists(t, filepath.Join(dir, "saved"), "it could save what it had")
	assert.NoFileExists(t, filepath.Join(dir, "overlaps"))
	last := s.gone(i)
	assert.Contains(t, last.Reason, "drained: the provider takes it at ", "it goes before it is taken")
	assert.NotZero(t, last.NoticeAt)
}

func TestALostDatabase(t *testing.T) {
	t.Parallel()
	s := newSystem(t, quickSync)
	pidFile := filepath.Join(t.TempDir(), "pid")
	s.submit("forgotten", map[string]any{"command": []string{"sh", "-c", "echo $$ >" + pidFile + ".new; mv " + pidFile + ".new " + pidFile + "; exec sleep 1000"}})
	i := s.instance(api.StateRunning)
	s.eventually(30*time.Second, func() bool { _, err := os.Stat(pidFile); return err == nil }, "the container starts")
	s.workers[0].stop(syscall.SIGKILL)
	s.server.stop(syscall.SIGKILL)
	for _, file := range []string{"temporal.db", "temporal.db-wal", "temporal.db-shm"} {
		require.NoError(t, os.RemoveAll(filepath.Join(s.dir, file)))
	}
	s.restartServer()
	s.startWorker()
	s.apply(quickSync)
	s.eventually(30*time.Second, func() bool { return len(s.fleet().Instances) == 1 }, "the instance is found")
	s.eventually(10*time.Second, func() bool {
		var found api.InstanceState
		s.query(i.WorkflowID, &found)
		return found.CloudID == i.CloudID
	}, "it has a workflow again")
	text, err := os.ReadFile(pidFile)
	require.NoError(t, err)
	s.eventually(60*time.Second, func() bool {
		_, err := os.Stat("/proc/" + strings.TrimSpace(string(text)))
		return os.IsNotExist(err)
	}, "the container that no workflow wants is killed")
	s.eventually(60*time.Second, func() bool { return len(s.fleet().Instances) == 0 }, "the instance goes when idle")
	assert.Empty(t, processesUnder(t, filepath.Join(s.dir, "instances")))
}

func TestATemporalServerThatIsKilledIsOnlyWaitedFor(t *testing.T) {
	t.Parallel()
	s := newSystem(t, nil)
	dir := t.TempDir()
	run := s.submit("steady", map[string]any{"command": witnessed(dir, "sleep 8; exit 7")})
	s.instance(api.StateRunning)
	s.eventually(20*time.Second, func() bool { return starts(t, dir) == 1 }, "it starts")
	s.server.stop(syscall.SIGKILL)
	s.passes(3 * time.Second)
	s.restartServer()
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Equal(t, 7, result.ExitCode)
	assert.Equal(t, 1, result.Attempts)
	assert.Equal(t, 1, starts(t, dir))
}
