package runner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The test binary is the runner when envAsRunner is set: envCrashAt ends it with
// SIGKILL at that point, envKillAfter shortens the time between the two signals of a timeout, envOnRecord that
// within which a container must be on record that another one waits for.
const (
	envAsRunner  = "RUNNER_TEST_AS_RUNNER"
	envCrashAt   = "RUNNER_TEST_CRASH_AT"
	envKillAfter = "RUNNER_TEST_KILL_AFTER"
	envOnRecord  = "RUNNER_TEST_ON_RECORD_WITHIN"
)

// Every wait for something that must happen ends after patience; tick is how often it looks.
const (
	patience = 30 * time.Second
	tick     = time.Millisecond
)

func TestMain(m *testing.M) {
	if os.Getenv(envAsRunner) != "" {
		os.Exit(asRunner())
	}
	// Supervisors become our children when `start` has ended, so that we see whether
	// they end.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if left := awaitNoChildren(patience); left != "" {
		fmt.Fprintln(os.Stderr, "processes left behind:", left)
		code = 1
	}
	os.Exit(code)
}

func asRunner() int {
	if at := os.Getenv(envCrashAt); at != "" {
		atPoint = func(point string) {
			if point == at {
				_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			}
		}
	}
	if d, err := time.ParseDuration(os.Getenv(envKillAfter)); err == nil {
		killAfter = d
	}
	if d, err := time.ParseDuration(os.Getenv(envOnRecord)); err == nil {
		onRecordWithin = d
	}
	return Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// awaitNoChildren reaps until nothing is left, and says what is after the limit.
func awaitNoChildren(limit time.Duration) string {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := unix.Wait4(-1, nil, 0, nil); errors.Is(err, unix.ECHILD) {
				return
			}
		}
	}()
	select {
	case <-done:
		return ""
	case <-time.After(limit):
	}
	left, err := descendants(os.Getpid())
	text := fmt.Sprint(err)
	for _, p := range left {
		line, _ := os.ReadFile(procPath(p.pid, "cmdline"))
		text += fmt.Sprintf(" [%d %s]", p.pid, bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		_ = p.signal(unix.SIGKILL)
	}
	return text
}

// host is a state directory and the runner that works on it.
type host struct {
	t    *testing.T
	root string
	env  []string // on top of the test's own
}

func newHost(t *testing.T) *host {
	h := &host{t: t, root: t.TempDir()}
	t.Cleanup(h.cleanUp)
	return h
}

// cleanUp ends whatever still runs.
func (h *host) cleanUp() {
	entries, _ := os.ReadDir(store{h.root}.containers())
	for _, e := range entries {
		require.Eventually(h.t, func() bool {
			_, _, code := h.call("", "kill", e.Name(), "--signal", "KILL")
			return code == ExitOK
		}, patience, tick)
	}
}

func (h *host) command(stdin string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	// GORACE: under the race detector every process would take a second to exit.
	cmd.Env = append(append(os.Environ(), envAsRunner+"=1", directoryEnv+"="+h.root, "GORACE=atexit_sleep_ms=0"), h.env...)
	cmd.Stdin = strings.NewReader(stdin)
	return cmd
}

// call makes one call of the runner.
func (h *host) call(stdin string, args ...string) (stdout, stderr string, code int) {
	cmd := h.command(stdin, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		h.t.Errorf("%v: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// ok makes a call that must succeed, and returns what it prints.
func (h *host) ok(stdin string, args ...string) string {
	h.t.Helper()
	out, errs, code := h.call(stdin, args...)
	require.Equal(h.t, ExitOK, code, "%v: %s", args, errs)
	require.Empty(h.t, errs, "%v", args)
	return out
}

func (h *host) wait(id string) Result {
	h.t.Helper()
	out := h.ok("", "wait", id)
	require.Equal(h.t, 1, strings.Count(out, "\n"))
	var res Result
	require.NoError(h.t, json.Unmarshal([]byte(out), &res))
	require.False(h.t, res.StartedAt.IsZero())
	require.False(h.t, res.FinishedAt.Before(res.StartedAt))
	return res
}

// shell is a spec that runs a script.
func shell(script string) string { return specJSON(Spec{Command: []string{"sh", "-c", script}}) }

// bash is one that runs a script which needs more than one digit to name a descriptor.
func bash(script string) string { return specJSON(Spec{Command: []string{"bash", "-c", script}}) }

func specJSON(spec Spec) string {
	data, err := json.Marshal(spec)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// witness is a file to which a container appends a line when it runs.
func (h *host) witness() (path string, lines func() int) {
	path = filepath.Join(h.root, "witness")
	return path, func() int {
		data, err := os.ReadFile(path)
		if !errors.Is(err, os.ErrNotExist) {
			require.NoError(h.t, err)
		}
		return bytes.Count(data, []byte("\n"))
	}
}

// await reads a number that a container writes to a file when it is ready.
func (h *host) await(path string) int {
	h.t.Helper()
	var n int
	require.Eventually(h.t, func() bool {
		data, err := os.ReadFile(path)
		if err != nil || !bytes.HasSuffix(data, []byte("\n")) {
			return false
		}
		n, err = strconv.Atoi(strings.TrimSpace(string(data)))
		return err == nil
	}, patience, tick)
	return n
}

// killSupervisor ends the supervisor of a container that runs.
func (h *host) killSupervisor(id string) {
	h.t.Helper()
	m, err := store{h.root}.record(id).meta()
	require.NoError(h.t, err)
	require.NoError(h.t, unix.Kill(m.Supervisor, unix.SIGKILL))
	require.NoError(h.t, awaitUnlocked(store{h.root}.record(id).path(lockFile)))
}

func alive(pid int) bool {
	data, err := os.ReadFile(procPath(pid, "stat"))
	return err == nil && !strings.Contains(string(data), ") Z ")
}
