package devserver_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"drover/internal/devserver"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// deadline is far more than anything here takes, for a machine that is busy.
const deadline = time.Minute

// roleEnv makes this test binary the command itself, or a parent of it.
const roleEnv = "DROVER_DEVSERVER_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "server":
		os.Exit(devserver.Main(os.Args[1:], os.Stdout, os.Stderr))
	case "parent":
		os.Exit(beParent())
	}
	os.Exit(m.Run())
}

// beParent starts the command, which inherits stdout and stderr, and waits for it.
func beParent() int {
	child := exec.Command(os.Args[0], os.Args[1:]...)
	child.Env = append(os.Environ(), roleEnv+"=server")
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	if err := child.Run(); err != nil {
		return 1
	}
	return 0
}

// process is the command, running.
type process struct {
	devserver.Started
	cmd    *exec.Cmd
	stderr *lockedBuffer
	// rest is what it prints on stdout after its first line, once it has
	// ended and nobody else holds its stdout.
	rest chan string
}

// lockedBuffer can be read while a process writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// command is the command with free ports, not started.
func command(t testing.TB, role string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*deadline)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"--port=0", "--ui-port=0"}, args...)...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	return cmd
}

// start runs the command until the test ends, and returns when it serves.
func start(t testing.TB, args ...string) *process {
	t.Helper()
	return startCommand(t, command(t, "server", args...))
}

func startCommand(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, stderr: &lockedBuffer{}, rest: make(chan string, 1)}
	cmd.Stderr = p.stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			p.signal(t, syscall.SIGKILL)
			assert.Error(t, cmd.Wait())
		}
	})
	stdout := bufio.NewReader(out)
	line, err := stdout.ReadBytes('\n')
	require.NoError(t, err, "stderr: %s", p.stderr)
	require.NoError(t, json.Unmarshal(line, &p.Started))
	go func() {
		rest, err := io.ReadAll(stdout)
		if err != nil {
			rest = []byte(err.Error())
		}
		p.rest <- string(rest)
	}()
	return p
}

func (p *process) signal(t testing.TB, sig os.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(sig))
}

// awaitClosed waits until nobody holds the process's stdout, and returns what
// was printed after the first line.
func (p *process) awaitClosed(t testing.TB) string {
	t.Helper()
	select {
	case rest := <-p.rest:
		return rest
	case <-time.After(deadline):
		require.Fail(t, "still running", "stderr: %s", p.stderr)
		return ""
	}
}

// kill ends the process as a power cut would.
func (p *process) kill(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	p.awaitClosed(t)
	require.ErrorContains(t, p.cmd.Wait(), "killed")
}

func TestStopsCleanlyOnSignals(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			p := start(t)
			begun := time.Now()
			p.signal(t, sig)
			assert.Empty(t, p.awaitClosed(t), "more than one line on stdout")
			require.NoError(t, p.cmd.Wait(), "stderr: %s", p.stderr)
			assert.Less(t, time.Since(begun), 10*time.Second)
			assert.Empty(t, p.stderr.String(), "a start and a stop are nothing to log about")
		})
	}
}

func TestStopsWhileStarting(t *testing.T) {
	cmd := command(t, "server", "--log-level=info")
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = bufio.NewReader(stderr).ReadString('\n')
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	_, err = io.Copy(io.Discard, stderr)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait())
}

func TestPortInUseNamesThePortAndItsFlag(t *testing.T) {
	p := start(t)
	frontend := p.Address[strings.LastIndexByte(p.Address, ':')+1:]
	ui := p.UI[strings.LastIndexByte(p.UI, ':')+1:]
	for flag, port := range map[string]string{"--port": frontend, "--ui-port": ui, "--http-port": ui} {
		t.Run(flag, func(t *testing.T) {
			var stderr bytes.Buffer
			cmd := command(t, "server", flag+"="+port)
			cmd.Stderr = &stderr
			stdout, err := cmd.Output()
			exit := new(exec.ExitError)
			require.ErrorAs(t, err, &exit)
			assert.Equal(t, 1, exit.ExitCode())
			assert.Empty(t, stdout)
			assert.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
			assert.Contains(t, stderr.String(), flag+": 127.0.0.1:"+port+" is already in use")
		})
	}
}

func TestWrongUsage(t *testing.T) {
	for name, args := range map[string][]string{
		"unknown flag":    {"--prot=1"},
		"argument":        {"start"},
		"log level":       {"--log-level=loud"},
		"empty namespace": {"--namespace="},
		"parent":          {"--exit-with-parent=me"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			assert.Equal(t, 2, devserver.Main(args, &stdout, &stderr))
			assert.Empty(t, stdout.String())
			assert.Regexp(t, `^drover-devserver: [^\n]+; allowed: [^\n]+\n$`, stderr.String())
		})
	}
	var stdout, stderr bytes.Buffer
	assert.Zero(t, devserver.Main([]string{"--help"}, &stdout, &stderr))
	assert.Contains(t, stderr.String(), "-db-file")
}

func TestAFileThatIsNoDatabaseIsRefusedAndKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notes.txt")
	require.NoError(t, os.WriteFile(file, []byte("remember the milk"), 0o600))
	var stdout, stderr bytes.Buffer
	assert.Equal(t, 1, devserver.Main([]string{"--port=0", "--ui-port=0", "--db-file=" + file}, &stdout, &stderr))
	assert.Equal(t, "drover-devserver: --db-file "+file+": is no SQLite database; allowed: one that drover-devserver has made, or a new file\n", stderr.String())
	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "remember the milk", string(kept))
}

func TestHeadlessHasNoUI(t *testing.T) {
	for _, arg := range []string{"--headless", "--ui-port=-1"} {
		t.Run(arg, func(t *testing.T) { assert.Empty(t, start(t, arg).UI) })
	}
}

func TestExitsWithItsParent(t *testing.T) {
	parent := startCommand(t, command(t, "parent", "--exit-with-parent"))
	parent.signal(t, syscall.SIGKILL)
	// The server holds the same stdout for as long as it lives.
	assert.Empty(t, parent.awaitClosed(t))
	require.ErrorContains(t, parent.cmd.Wait(), "killed")
}

func TestDoesNotOutliveAParentThatIsGoneAlready(t *testing.T) {
	gone := exec.Command(os.Args[0], "-test.run=^$")
	require.NoError(t, gone.Run())
	cmd := command(t, "server", "--exit-with-parent="+strconv.Itoa(gone.Process.Pid))
	stdout, err := cmd.Output()
	require.NoError(t, err)
	assert.Empty(t, stdout)
}
