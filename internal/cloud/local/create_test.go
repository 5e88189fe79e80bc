package local

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/internal/cloud"
	"drover/internal/cloud/cloudtest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mains returns the processes that are, or are about to be, the instance of that
// name.
func mains(t *testing.T, name string) []int {
	t.Helper()
	all, err := allProcesses()
	require.NoError(t, err)
	var found []int
	for _, p := range all {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
		if err == nil && strings.HasPrefix(string(line), argvPrefix+testFleet+"/"+name) {
			found = append(found, p.pid)
		}
	}
	return found
}

// creator returns a worker that creates an instance and, when hold is set, then
// waits to be killed.
func creator(t *testing.T, n node, hold bool) *exec.Cmd {
	t.Helper()
	worker := exec.CommandContext(t.Context(), "/proc/self/exe", n.name, n.keys.Authorized, n.keys.Host)
	worker.Env = append(os.Environ(), creatorVariable+"="+n.d.config.Directory)
	if hold {
		worker.Env = append(worker.Env, creatorVariable+"_HOLDS=1")
	}
	worker.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return worker
}

func TestInstanceOutlivesItsCreator(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Config{})
	n := node{d: d, name: cloudtest.Name(t), keys: cloudtest.NewKeys(t)}
	worker := creator(t, n, true)
	created, workerOut, err := os.Pipe()
	require.NoError(t, err)
	leak, workerLeak, err := os.Pipe()
	require.NoError(t, err)
	worker.Stdout, worker.Stderr = workerOut, os.Stderr
	worker.ExtraFiles = []*os.File{workerLeak, workerLeak} // which the worker does not close on exec
	require.NoError(t, worker.Start())
	require.NoError(t, workerOut.Close())
	require.NoError(t, workerLeak.Close())
	for _, f := range []*os.File{created, leak} {
		require.NoError(t, f.SetReadDeadline(time.Now().Add(patience)))
	}
	lines := bufio.NewReader(created)
	for _, expected := range []string{"creating\n", "created\n"} {
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, expected, line)
	}
	pid := n.pid(t)
	require.NoError(t, syscall.Kill(-worker.Process.Pid, syscall.SIGHUP))
	require.NoError(t, syscall.Kill(-worker.Process.Pid, syscall.SIGKILL))
	require.Error(t, worker.Wait())

	n.awaitRunning(t)
	require.NoError(t, syscall.Kill(pid, syscall.SIGHUP))
	assert.Equal(t, "up\n", cloudtest.Output(t, n.dial(t), "echo up"))
	assert.Equal(t, pid, n.pid(t))
	_, err = io.ReadAll(leak)
	require.NoError(t, err, "the instance holds a file of its creator's")
	session, err := syscall.Getpgid(pid)
	require.NoError(t, err)
	assert.Equal(t, pid, session)
	for _, f := range []*os.File{created, leak} {
		require.NoError(t, f.Close())
	}
}

func TestCreateIsCompletedAfterADeathAtAnyPoint(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Config{})
	const rounds = 40
	outcomes := map[string]int{}
	for round := range rounds {
		life := time.Duration(rand.IntN(200*(round+1))) * time.Microsecond
		outcomes[dieAndComplete(t, d, life)]++
	}
	t.Logf("left by the worker that died: %v", outcomes)
	entries, err := os.ReadDir(d.fleet)
	require.NoError(t, err)
	for _, entry := range entries {
		assert.False(t, strings.HasPrefix(entry.Name(), newPrefix), entry.Name())
	}
}

// dieAndComplete kills a worker that long into its Create, and creates again.
func dieAndComplete(t *testing.T, d *Driver, life time.Duration) (outcome string) {
	t.Helper()
	n := node{d: d, name: cloudtest.Name(t), keys: cloudtest.NewKeys(t)}
	worker := creator(t, n, false)
	output, err := worker.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, worker.Start())
	_, err = io.ReadFull(output, make([]byte, len("creating\n")))
	require.NoError(t, err)
	timer := time.AfterFunc(life, func() { _ = worker.Process.Kill() }) // it may have ended
	_ = worker.Wait()                                                   // killed or not
	timer.Stop()
	before, err := d.Get(t.Context(), n.name)
	outcome = string(before.State)
	switch {
	case cloud.ClassOf(err) == cloud.NotFound:
		outcome = "nothing"
	case len(mains(t, n.name)) == 0:
		outcome = "not started"
	}
	after, err := d.Create(t.Context(), n.request())
	require.NoError(t, err)
	if outcome != "nothing" {
		assert.Equal(t, before.CloudID, after.CloudID)
	}
	n.awaitRunning(t)
	assert.Len(t, mains(t, n.name), 1)
	require.NoError(t, d.Destroy(t.Context(), n.name))
	assert.Empty(t, mains(t, n.name))
	return outcome
}

func TestCreateStartsWhatIsOnRecordOnly(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Config{})
	n := node{d: d, name: cloudtest.Name(t), keys: cloudtest.NewKeys(t)}
	require.NoError(t, d.register(t.Context(), n.request()))
	abandoned, err := os.MkdirTemp(d.fleet, newPrefix)
	require.NoError(t, err)

	instance, err := d.Get(t.Context(), n.name)
	require.NoError(t, err)
	assert.Equal(t, cloud.Pending, instance.State)
	assert.Empty(t, mains(t, n.name))
	again, err := d.Create(t.Context(), n.request())
	require.NoError(t, err)
	assert.Equal(t, instance.CloudID, again.CloudID)
	assert.Equal(t, cloud.Running, n.awaitRunning(t).State)
	newNode(t, d)
	assert.NoDirExists(t, abandoned)
}

func TestCreateNeverStartsWhatDied(t *testing.T) {
	t.Parallel()
	n := newNode(t, newDriver(t, Config{}))
	n.awaitRunning(t)
	n.powerCut(t)
	again, err := n.d.Create(t.Context(), n.request())
	require.NoError(t, err)
	assert.Equal(t, cloud.Terminated, again.State)
	assert.Empty(t, mains(t, n.name))
}

func TestDestroyIsCompletedAfterADeath(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Config{})
	n := newNode(t, d)
	pid := n.pid(t)
	// A worker that died after its first step, and one that died before its last.
	require.NoError(t, markTerminating(d.path(n.name), reasonDestroyed))
	trash, err := os.MkdirTemp(d.fleet, trashPrefix)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(trash, "rest"), nil, 0o600))

	next := newDriver(t, Config{Directory: d.config.Directory})
	assert.NoDirExists(t, trash)
	assert.True(t, runs(pid))
	instances, err := next.List(t.Context())
	require.NoError(t, err)
	assert.Empty(t, instances)
	assert.False(t, runs(pid))
	instance, err := next.Get(t.Context(), n.name)
	require.NoError(t, err)
	assert.Equal(t, reasonDestroyed, instance.Reason)
}

func TestAProgramThatForgetsRunIfInstanceIsRefused(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Config{})
	n := node{d: d, name: cloudtest.Name(t), keys: cloudtest.NewKeys(t)}
	worker := creator(t, n, false)
	worker.Env = append(worker.Env, creatorVariable+"_FORGETS=1")
	output, err := worker.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(output), errUnprepared.Error())
	assert.Empty(t, mains(t, n.name))
}

func TestQuotaDoesNotCountTheDead(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Config{Quota: 1})
	first := newNode(t, d)
	_, err := d.Create(t.Context(), node{name: "second", keys: first.keys}.request())
	require.Equal(t, cloud.Quota, cloud.ClassOf(err))
	require.ErrorContains(t, err, "1 instances exist, and no more than 1 may")
	first.awaitRunning(t)
	first.powerCut(t)
	second, err := d.Create(t.Context(), node{name: "second", keys: first.keys}.request())
	require.NoError(t, err)
	assert.True(t, second.Alive())
}

func TestCreateRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Config{})
	good := node{name: "good", keys: cloudtest.NewKeys(t)}.request()
	for what, spoil := range map[string]func(*cloud.CreateRequest){
		"a name with a slash": func(req *cloud.CreateRequest) { req.Name = "../good" },
		"a name with a dot":   func(req *cloud.CreateRequest) { req.Name = ".lock" },
		"no name":             func(req *cloud.CreateRequest) { req.Name = "" },
		"no user":             func(req *cloud.CreateRequest) { req.User = "" },
		"no authorized key":   func(req *cloud.CreateRequest) { req.AuthorizedKey = "" },
		"a bad host key":      func(req *cloud.CreateRequest) { req.HostKey = "key" },
	} {
		req := good
		spoil(&req)
		_, err := d.Create(t.Context(), req)
		assert.Equal(t, cloud.Invalid, cloud.ClassOf(err), "%s: %v", what, err)
	}
	for _, cfg := range []Config{
		{Fleet: "f", Directory: "relative"},
		{Fleet: "../f", Directory: d.config.Directory},
		{Fleet: ".f", Directory: d.config.Directory},
		{Fleet: "f", Directory: d.config.Directory, Quota: -1},
	} {
		_, err := New(cfg)
		assert.Equal(t, cloud.Invalid, cloud.ClassOf(err), "%+v", cfg)
	}
	assert.NoError(t, d.Destroy(t.Context(), "../fleet"))
	assert.DirExists(t, d.fleet)
}

func TestTheEndedAreRememberedForAnHour(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Config{})
	old, young := newNode(t, d), newNode(t, d)
	for _, n := range []node{old, young} {
		require.NoError(t, d.Destroy(t.Context(), n.name))
	}
	then := time.Now().Add(-remember - time.Minute)
	require.NoError(t, os.Chtimes(filepath.Join(d.fleet, terminatedDirectory, old.name), then, then))
	require.NoError(t, d.prune(time.Now().Add(pruneEvery)))
	_, err := d.Get(t.Context(), old.name)
	assert.Equal(t, cloud.NotFound, cloud.ClassOf(err))
	instance, err := d.Get(t.Context(), young.name)
	require.NoError(t, err)
	assert.Equal(t, cloud.Terminated, instance.State)
}

func TestDestroyAllEndsEveryFleet(t *testing.T) {
	t.Parallel()
	one := newDriver(t, Config{})
	two := newDriver(t, Config{Directory: one.config.Directory, Fleet: "two"})
	var pids []int
	for _, d := range []*Driver{one, two, one} {
		pids = append(pids, newNode(t, d).pid(t))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, DestroyAll(ctx, one.config.Directory), context.Canceled)
	require.NoError(t, DestroyAll(t.Context(), one.config.Directory))
	for _, pid := range pids {
		assert.False(t, runs(pid))
	}
	assert.NoDirExists(t, one.config.Directory)
	require.NoError(t, DestroyAll(t.Context(), one.config.Directory))
}
