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

	"drover/internal/connect"
)

// freePort returns a port that nobody listens on.
func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// dev runs `drover dev` until it is ready.
func dev(t *testing.T, tmp string, args ...string) *system {
	s := &system{TB: t, dir: t.TempDir()}
	port := freePort(t)
	s.address = fmt.Sprintf("127.0.0.1:%d", port)
	t.Setenv("TMPDIR", tmp)
	s.server = s.start("dev", program(t, "drover"), append([]string{"dev", "--temporal-port", fmt.Sprint(port), "--ui-port", fmt.Sprint(freePort(t))}, args...)...)
	t.Cleanup(func() { s.server.stop(syscall.SIGTERM) })
	for s.server.line(t) != "ready" {
	}
	c, _, err := connect.Dial(t.Context(), connect.Options{Address: s.address, Logger: quiet{}})
	require.NoError(t, err)
	s.client = c
	t.Cleanup(c.Close)
	return s
}

func TestDevWithoutAStateDirectoryLeavesNothing(t *testing.T) {
	tmp := t.TempDir()
	s := dev(t, tmp)
	assert.Equal(t, "hi\n", s.must("run", "--", "echo", "hi"))
	s.must("run", "--detach", "--", "sleep", "1000")
	s.server.stop(syscall.SIGTERM)
	assert.Zero(t, s.server.cmd.ProcessState.ExitCode())
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	assert.Empty(t, left)
	assert.Empty(t, processesUnder(t, tmp))
}

func TestDevWithAStateDirectoryFindsEverythingAgain(t *testing.T) {
	tmp, state := t.TempDir(), t.TempDir()
	gate := filepath.Join(t.TempDir(), "gate")
	s := dev(t, tmp, "--state-dir", state)
	s.must("run", "--detach", "--name", "through", "--", "sh", "-c", "echo begin; while [ ! -e "+gate+" ]; do sleep 0.1; done; echo meanwhile; exit 9")
	s.must("run", "--detach", "--name", "on", "--", "sh", "-c", "while sleep 0.1; do :; done")
	s.eventually(20*time.Second, func() bool { return s.fleet().Running == 2 }, "the containers run")

	second, err := exec.Command(program(t, "drover"), "dev", "--state-dir", state, "--temporal-port", fmt.Sprint(freePort(t))).CombinedOutput()
	require.Error(t, err, "a second one on the same directory is refused")
	assert.Equal(t, 1, strings.Count(string(second), "\n"), "in one line: %s", second)

	s.server.stop(syscall.SIGTERM)
	assert.NotEmpty(t, processesUnder(t, filepath.Join(state, "instances")), "instances and containers run on")
	require.NoError(t, os.WriteFile(gate, nil, 0o600)) // one container ends while nobody looks

	s = dev(t, tmp, "--state-dir", state)
	_, _, code := s.drover("wait", "through")
	assert.Equal(t, 9, code)
	assert.Equal(t, "begin\nmeanwhile\n", s.must("logs", "through"))
	s.eventually(30*time.Second, func() bool { return s.fleet().Running == 1 }, "the other one runs on")
	s.must("cancel", "on")
	s.drover("wait", "on")
	for _, i := range s.fleet().Instances {
		s.must("instance", "destroy", i.Name)
	}
	s.eventually(30*time.Second, func() bool { return len(s.fleet().Instances) == 0 }, "the instances go")
	s.server.stop(syscall.SIGTERM)
	assert.Empty(t, processesUnder(t, state))
}

func TestDevRestartsAWorkerThatWasKilled(t *testing.T) {
	tmp := t.TempDir()
	s := dev(t, tmp)
	pid := s.child("drover-worker")
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	s.eventually(20*time.Second, func() bool { now := s.child("drover-worker"); return now != 0 && now != pid }, "there is another worker")
	assert.Equal(t, "hi\n", s.must("run", "--", "echo", "hi"))
}

// child returns the process ID of a child of `drover dev`, or 0.
func (s *system) child(name string) int {
	out, err := exec.Command("ps", "-o", "pid=,args=", "--ppid", fmt.Sprint(s.server.cmd.Process.Pid)).Output()
	if err != nil {
		return 0 // it has none
	}
	for line := range strings.Lines(string(out)) {
		var pid int
		if strings.Contains(line, name) {
			if _, err := fmt.Sscan(line, &pid); err == nil {
				return pid
			}
		}
	}
	return 0
}
