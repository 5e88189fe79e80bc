package local

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/internal/cloud"
	"drover/internal/cloud/cloudtest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

const patience = 10 * time.Second

// node is an instance under test.
type node struct {
	d    *Driver
	name string
	keys cloudtest.Keys
}

func newNode(t *testing.T, d *Driver) node {
	t.Helper()
	n := node{d: d, name: cloudtest.Name(t), keys: cloudtest.NewKeys(t)}
	_, err := d.Create(t.Context(), n.request())
	require.NoError(t, err)
	return n
}

func (n node) request() cloud.CreateRequest {
	return cloud.CreateRequest{
		Name: n.name, ProviderType: "small", User: "root",
		AuthorizedKey: n.keys.Authorized, HostKey: n.keys.Host,
	}
}

func (n node) awaitRunning(t *testing.T) cloud.Instance {
	t.Helper()
	var instance cloud.Instance
	eventually(t, func() bool {
		var err error
		instance, err = n.d.Get(t.Context(), n.name)
		return err == nil && instance.State == cloud.Running
	})
	return instance
}

func (n node) dial(t *testing.T) *ssh.Client {
	t.Helper()
	client, err := n.keys.Dial(t, n.awaitRunning(t), "root", 0)
	require.NoError(t, err)
	return client
}

func (n node) pid(t *testing.T) int {
	t.Helper()
	pid, err := n.d.PID(t.Context(), n.name)
	require.NoError(t, err)
	return pid
}

// powerCut kills the instance's process, and waits until it has ended.
func (n node) powerCut(t *testing.T) {
	t.Helper()
	pid := n.pid(t)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, func() bool { return !runs(pid) })
}

// hide starts a daemon that does all it can to get away, and returns its process ID.
func hide(t *testing.T, client *ssh.Client) int {
	t.Helper()
	output := cloudtest.Output(t, client,
		`env -i /bin/sh -c 'cd /; (setsid sh -c "echo \$\$; exec sleep 1001 </dev/null >/dev/null 2>&1" & )'`)
	pid, err := strconv.Atoi(strings.TrimSpace(output))
	require.NoError(t, err)
	return pid
}

func runs(pid int) bool {
	_, running := look(pid)
	return running
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, patience, 5*time.Millisecond)
}

func TestPowerCutIsTerminatedOnlyWhenNothingRuns(t *testing.T) {
	t.Parallel()
	n := newNode(t, newDriver(t, Config{}))
	client := n.dial(t)
	daemon := hide(t, client)
	for _, link := range []string{"cwd", "fd/0", "fd/1", "fd/2"} { // it did get away
		to, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", daemon, link))
		require.NoError(t, err)
		require.Contains(t, []string{"/", "/dev/null"}, to)
	}
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", daemon))
	require.NoError(t, err)
	require.NotContains(t, string(environment), markVariable)

	n.powerCut(t)
	require.True(t, runs(daemon), "it has outlived the instance's process")
	seen, err := n.d.inspect(n.name)
	require.NoError(t, err)
	assert.Equal(t, cloud.Terminating, seen.State)
	instance, err := n.d.Get(t.Context(), n.name)
	require.NoError(t, err)
	assert.Equal(t, cloud.Terminated, instance.State)
	assert.Equal(t, reasonDied, instance.Reason)
	assert.False(t, runs(daemon))
	assert.NoDirExists(t, n.d.path(n.name))
}

func TestListEndsWhatDiedAndLeavesItOut(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Config{})
	n, other := newNode(t, d), newNode(t, d)
	daemon := hide(t, n.dial(t))
	n.powerCut(t)
	instances, err := d.List(t.Context())
	require.NoError(t, err)
	require.Len(t, instances, 1)
	assert.Equal(t, other.name, instances[0].Name)
	assert.False(t, runs(daemon))
	assert.True(t, runs(other.pid(t)))
}

func TestDestroyLeavesNothingAndNobodyElseIsHurt(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Config{})
	n := newNode(t, d)
	client := n.dial(t)
	daemon, pid := hide(t, client), n.pid(t)
	outside := t.TempDir()
	precious := filepath.Join(outside, "precious")
	require.NoError(t, os.WriteFile(precious, nil, 0o600))
	deep := strings.Repeat("/0123456789", 30)
	cloudtest.Output(t, client, "mkdir -p $HOME"+deep+" && chmod 500 $HOME"+deep+" $HOME/0123456789; "+
		"cp /bin/sleep ~/mine; ~/mine 1002 >/dev/null 2>&1 & ln -s "+outside+" $HOME/link")
	// An operator who looks around in there is not the instance's.
	bystander := exec.CommandContext(t.Context(), "tail", "-f", filepath.Join(d.path(n.name), consoleFile))
	bystander.Dir = filepath.Join(d.path(n.name), homeDirectory)
	require.NoError(t, bystander.Start())

	began := time.Now()
	require.NoError(t, d.Destroy(t.Context(), n.name))
	t.Logf("destroyed in %v", time.Since(began))
	assert.False(t, runs(daemon))
	assert.False(t, runs(pid))
	assert.NoDirExists(t, fmt.Sprintf("/proc/%d", pid), "reaped")
	assert.True(t, runs(bystander.Process.Pid))
	require.NoError(t, bystander.Process.Kill())
	require.Error(t, bystander.Wait())
	assert.FileExists(t, precious)
	entries, err := os.ReadDir(d.fleet)
	require.NoError(t, err)
	for _, entry := range entries {
		assert.Contains(t, []string{lockFile, terminatedDirectory}, entry.Name())
	}
}

// An end that is only a part of the instance's own is not what became of a command.
func TestNobodyHearsHowThingsEndOnAnInstanceThatIsDestroyed(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Config{})
	n := newNode(t, d)
	client := n.dial(t)
	// As many processes as it takes to have time to say it.
	_, output, _ := begin(t, client, "for k in $(seq 300); do sleep 1003 </dev/null >/dev/null 2>&1 & done; echo ready; sleep 1003; echo it has ended")
	lines := bufio.NewReader(output)
	ready, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", ready)
	require.NoError(t, d.Destroy(t.Context(), n.name))
	said, err := io.ReadAll(lines)
	require.NoError(t, err)
	assert.Empty(t, string(said))
}

func TestHungMachineRunsAndCanBeDestroyed(t *testing.T) {
	t.Parallel()
	n := newNode(t, newDriver(t, Config{}))
	n.awaitRunning(t)
	pid := n.pid(t)
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	assert.Equal(t, cloud.Running, n.awaitRunning(t).State)
	require.NoError(t, n.d.Destroy(t.Context(), n.name))
	assert.False(t, runs(pid))
}

func TestInstanceEndsWithItsDirectory(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Config{})
	n := newNode(t, d)
	daemon, pid := hide(t, n.dial(t)), n.pid(t)
	require.NoError(t, os.RemoveAll(d.config.Directory))
	eventually(t, func() bool { return !runs(pid) && !runs(daemon) })
	reapChildren()
}

func TestUnreadableRecordEndsTheInstance(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Config{})
	n := newNode(t, d)
	n.awaitRunning(t)
	pid := n.pid(t)
	require.NoError(t, os.WriteFile(filepath.Join(d.path(n.name), recordFile), nil, 0o600))
	instances, err := d.List(t.Context())
	require.NoError(t, err)
	assert.Empty(t, instances)
	assert.False(t, runs(pid))
	instance, err := d.Get(t.Context(), n.name)
	require.NoError(t, err)
	assert.Equal(t, cloud.Terminated, instance.State)
	assert.Contains(t, instance.Reason, "unreadable")
}

func TestBootDelay(t *testing.T) {
	t.Parallel()
	const delay = 700 * time.Millisecond
	n := newNode(t, newDriver(t, Config{BootDelay: delay}))
	instance, err := n.d.Get(t.Context(), n.name)
	require.NoError(t, err)
	assert.Equal(t, cloud.Pending, instance.State, "Create does not wait")
	assert.Empty(t, instance.Address)
	assert.Positive(t, n.pid(t))
	running := n.awaitRunning(t)
	assert.GreaterOrEqual(t, time.Since(running.CreatedAt), delay)
	assert.Equal(t, "up\n", cloudtest.Output(t, n.dial(t), "echo up"))
}

func TestConsoleHasTheLast64KiB(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Config{})
	n := node{d: d, name: cloudtest.Name(t), keys: cloudtest.NewKeys(t)}
	req := n.request()
	req.InitCommand = "yes 0123456789 | head -c 100000; echo; echo to stderr >&2; exit 5"
	_, err := d.Create(t.Context(), req)
	require.NoError(t, err)
	n.awaitRunning(t)
	output, err := d.ConsoleOutput(t.Context(), n.name)
	require.NoError(t, err)
	assert.Len(t, output, consoleTail)
	assert.Contains(t, output, "\nto stderr\n")
	assert.Contains(t, output, "init command ended: exit status 5")
	assert.Contains(t, output, "listening on 127.0.0.1:")
}
