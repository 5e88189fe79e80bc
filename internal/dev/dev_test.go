package dev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"drover/internal/cloud/local"
)

func TestMain(m *testing.M) {
	local.RunIfInstance()
	// The thread that starts processes lives as long as this process.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("drover/internal/dev.newForks.func1"))
}

// heard collects what a child says, and how often it was ready.
type heard struct {
	mu    sync.Mutex
	said  []string
	ready chan string
}

func (h *heard) say(format string, values ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, fmt.Sprintf(format, values...))
}

func newChild(t *testing.T, script string) (*child, *heard) {
	h := &heard{ready: make(chan string, 10)}
	return &child{
		name: "shell", path: "/bin/sh", args: func() []string { return []string{"-c", script} }, env: os.Environ(),
		logFile: filepath.Join(t.TempDir(), "log"), forks: newForks(), grace: 5 * time.Second, say: h.say,
		ready: func(line string) error {
			if line == "wrong" {
				return errors.New("printed nonsense")
			}
			h.ready <- line
			return nil
		},
	}, h
}

func TestAChildThatIsKilledIsRestarted(t *testing.T) {
	c, h := newChild(t, "echo $$; echo more; exec sleep 1000")
	require.NoError(t, c.start(t.Context()))
	first := <-h.ready
	c.signal(syscall.SIGKILL)
	assert.NotEqual(t, first, <-h.ready, "another process")
	require.NoError(t, c.stop())
	require.NoError(t, c.stop(), "it can be stopped twice")
	h.mu.Lock()
	defer h.mu.Unlock()
	assert.Contains(t, h.said[0], "shell ended (signal: killed): restarting it")
}

func TestAChildThatDoesNotStartIsAnErrorWithItsLastWords(t *testing.T) {
	c, _ := newChild(t, "echo noise >&2; echo the port is taken >&2; exit 1")
	assert.ErrorContains(t, c.start(t.Context()), "sh: exit status 1: the port is taken")
	c, _ = newChild(t, "echo wrong; exec sleep 1000")
	assert.Error(t, c.start(t.Context()))
	c, _ = newChild(t, "exit 0")
	c.path = "/does/not/exist"
	assert.ErrorIs(t, c.start(t.Context()), os.ErrNotExist)
}

func TestAChildThatIgnoresSIGTERMIsKilled(t *testing.T) {
	c, _ := newChild(t, "trap '' TERM; echo ready; while :; do sleep 0.1; done")
	c.grace = 100 * time.Millisecond
	require.NoError(t, c.start(t.Context()))
	assert.ErrorContains(t, c.stop(), "was killed")
}

func TestAStartThatTakesTooLongCanBeGivenUp(t *testing.T) {
	c, _ := newChild(t, "exec sleep 1000")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, c.start(ctx), context.DeadlineExceeded)
}

func TestADirectoryIsUsedByOneAtATime(t *testing.T) {
	path := t.TempDir()
	d, err := openDirectory(t.Context(), path)
	require.NoError(t, err)
	_, err = openDirectory(t.Context(), path)
	assert.EqualError(t, err, fmt.Sprintf("--state-dir: %s is in use by another drover dev (process %d): stop that one, or choose another directory", path, os.Getpid()))
	require.NoError(t, d.close())
	again, err := openDirectory(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, again.close())
	assert.DirExists(t, path)
}

func TestTemporaryDirectoriesGoAndStaleOnesAreSwept(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	live, err := openDirectory(t.Context(), "")
	require.NoError(t, err)
	stale, err := openDirectory(t.Context(), "")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(stale.instances(), "default"), 0o700))
	require.NoError(t, stale.lock.Close()) // as if it had been killed
	var said strings.Builder
	sweep(t.Context(), &said)
	assert.Empty(t, said.String())
	assert.NoDirExists(t, stale.path)
	assert.DirExists(t, live.path, "it is in use")
	require.NoError(t, live.close())
	assert.NoDirExists(t, live.path)
}

func TestAPortInUseIsSaid(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	err = checkPort("--ui-port", port, "")
	assert.EqualError(t, err, fmt.Sprintf("--ui-port: 127.0.0.1:%d is in use already: stop what listens there, or choose another port with --ui-port", port))
	assert.NoError(t, checkPort("--ui-port", 0, ""))
}

func TestPortsAreKeptOverRestarts(t *testing.T) {
	assert.Equal(t, 7233, portOf("127.0.0.1:7233", 0))
	assert.Equal(t, -1, portOf("nonsense", -1))
}
