package runner

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// attached makes the call `run` and returns the output and the result.
func (h *host) attached(spec, id string, options ...string) (string, Result) {
	h.t.Helper()
	out, errs, code := h.call(spec, append([]string{"run", id}, options...)...)
	require.Equal(h.t, ExitOK, code, errs)
	lines := strings.Split(errs, "\n")
	require.Len(h.t, lines, 3, "%q", errs)
	require.Equal(h.t, Started, lines[0])
	var result Result
	require.NoError(h.t, json.Unmarshal([]byte(lines[1]), &result))
	return out, result
}

func TestRunStartsPrintsTheOutputAndThenTheResult(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	out, result := h.attached(shell("echo one; echo two >&2; exit 7"), "c")
	assert.Equal(t, "one\ntwo\n", out)
	assert.Equal(t, 7, result.ExitCode)
	assert.Equal(t, h.wait("c"), result)
}

func TestRunGoesOnWithWhatHasStarted(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	path, lines := h.witness()
	spec := shell("echo once >>" + path + "; echo output")
	h.attached(spec, "c")
	out, result := h.attached(spec, "c", "--offset", "3")
	assert.Equal(t, "put\n", out)
	assert.Zero(t, result.ExitCode)
	assert.Equal(t, 1, lines())
}

func TestRunForgetsWhatHasEnded(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.attached(shell("echo old"), "a")
	h.attached(shell("echo old"), "b")
	h.attached(shell("true"), "c", "--forget", "a", "--forget", "b", "--forget", "never-here")
	for _, id := range []string{"a", "b"} {
		_, _, code := h.call("", "logs", id)
		assert.Equal(t, ExitNoContainer, code)
	}
	out, result := h.attached(shell("echo old"), "a")
	assert.Empty(t, out, "it has run, and does not again")
	assert.Zero(t, result.ExitCode)
}

func TestRunOfWhatCannotBePutOnRecordStartsNothing(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	require.NoError(t, os.WriteFile(filepath.Join(h.root, "containers"), nil, 0o600))
	out, errs, code := h.call(shell("true"), "run", "c")
	assert.Equal(t, ExitFailed, code)
	assert.Empty(t, out)
	assert.NotContains(t, errs, Started)
	assert.Equal(t, 1, strings.Count(errs, "\n"), "%q", errs)
	require.NoError(t, os.Remove(filepath.Join(h.root, "containers")))
}

func TestRunOfAContainerThatWasFencedOff(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	_, _, code := h.call("", "kill", "c")
	require.Equal(t, ExitOK, code)
	out, result := h.attached(shell("echo never"), "c")
	assert.Empty(t, out)
	assert.Equal(t, ExitUnknown, result.ExitCode)
}

func TestWhoeverWaitsForARunMayGo(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	path := filepath.Join(h.root, "pid")
	attached := h.command(shell("echo $$ >"+path+"; exec sleep 1000"), "run", "c")
	out, err := attached.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, attached.Start())
	pid := h.await(path)
	require.NoError(t, out.Close())
	require.Error(t, attached.Wait(), "it ends, since nobody reads what it prints")
	assert.NoError(t, syscall.Kill(pid, 0), "the container runs on")
	assert.Equal(t, "c\n", h.ok("", "list"))
}

func TestRunOfAContainerWhoseSupervisorIsKilled(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	path := filepath.Join(h.root, "pid")
	attached := h.command(shell("echo $$ >"+path+"; echo output; exec sleep 1000"), "run", "c")
	var errs bytes.Buffer
	attached.Stderr = &errs
	out, err := attached.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, attached.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "output\n", line)
	pid := h.await(path)
	h.killSupervisor("c")
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	require.NoError(t, attached.Wait())
	assert.Contains(t, errs.String(), `"exit_code":-1`)
}

func TestRunPrintsOutputWhenItIsWritten(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	gate := filepath.Join(h.root, "gate")
	require.NoError(t, unix.Mkfifo(gate, 0o600))
	attached := h.command(shell("echo one; cat "+gate), "run", "c")
	out, err := attached.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, attached.Start())
	lines := bufio.NewReader(out)
	one, err := lines.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "one\n", one, "while the container runs")
	require.NoError(t, os.WriteFile(gate, []byte("two\n"), 0o600))
	two, err := lines.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "two\n", two)
	require.NoError(t, attached.Wait())
}
