package runner

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"drover/internal/realparts"
)

// unseen is what `wait` says of a container whose supervisor died.
const unseen = "the supervisor of this container died; how the container ended is not known"

func TestCrashAtEveryPoint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		point   string
		started bool // the container is on record by then
		known   bool // and so is its result
	}{
		{"create/directory", false, false},
		{"create/meta", false, false},
		{"create/filled", false, false},
		{"create/placed", true, false},
		{"supervise/committed", true, false},
		{"supervise/launched", true, false},
		{"ring/reserved", true, false},
		{"ring/overwritten", true, false},
		{"supervise/exited", true, false},
		{"result/written", true, false},
		{"result/renamed", true, true},
		{"supervise/released", true, true},
		{"start/spawned", false, false},
	} {
		t.Run(c.point, func(t *testing.T) {
			h := newHost(t)
			path, lines := h.witness()
			spec := specJSON(Spec{Command: []string{"sh", "-c", "echo ran >>" + path + "; echo output that fills the ring"}, OutputLimit: 10})
			crashing := *h
			crashing.env = []string{envCrashAt + "=" + c.point}
			_, _, code := crashing.call(spec, "start", "c")
			if !c.started {
				assert.NotEqual(t, ExitOK, code)
				assert.Empty(t, h.ok("", "list"))
			}
			_, _, code = h.call("", "wait", "c")
			assert.Equal(t, c.started, code == ExitOK)

			h.ok(spec, "start", "c") // the retry
			res := h.wait("c")
			assert.Equal(t, res, h.wait("c"))
			assert.Empty(t, h.ok("", "list"))
			output := h.ok("", "logs", "c", "--follow")
			assert.Equal(t, output, h.ok("", "logs", "c"))
			if c.started && !c.known {
				assert.Equal(t, unseen, res.Error)
				assert.Equal(t, ExitUnknown, res.ExitCode)
				assert.LessOrEqual(t, lines(), 1)
			} else {
				assert.Empty(t, res.Error)
				assert.Equal(t, "outpu\n[drover: 17 bytes of output dropped here]\nring\n", output)
				assert.Equal(t, 1, lines())
			}
			h.ok("", "forget", "c")
			assert.Equal(t, res, h.wait("c"))
		})
	}
}

func TestCrashWhileForgetting(t *testing.T) {
	t.Parallel()
	for _, file := range []string{outputFile, tailFile, metaFile, heldFile, lockFile} {
		t.Run(file, func(t *testing.T) {
			h := newHost(t)
			h.ok(shell("echo out"), "start", "c")
			res := h.wait("c")
			crashing := *h
			crashing.env = []string{envCrashAt + "=forget/" + file}
			_, _, code := crashing.call("", "forget", "c")
			require.Equal(t, -1, code, "it was to die")
			assert.Equal(t, res, h.wait("c"))
			_, _, code = h.call("", "logs", "c")
			assert.Equal(t, ExitNoContainer, code)
			assert.Empty(t, h.ok("", "list"))
			h.ok("", "forget", "c")
			assert.Equal(t, res, h.wait("c"))
		})
	}
}

// settled checks what must hold of a container after any crash: retried and waited for,
// it has run at most once, has one result for ever, and is no longer listed.
func settled(t *testing.T, h *host, id, spec string, lines func() int) Result {
	t.Helper()
	h.ok(spec, "start", id)
	res := h.wait(id)
	require.Equal(t, res, h.wait(id))
	require.LessOrEqual(t, lines(), 1)
	require.NotContains(t, h.ok("", "list"), id)
	h.ok("", "logs", id, "--follow")
	return res
}

func TestStartKilledAtAnyTime(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range rounds {
		h := newHost(t)
		path, lines := h.witness()
		spec := shell("echo ran >>" + path)
		cmd := h.command(spec, "start", "c")
		require.NoError(t, cmd.Start())
		timer := time.AfterFunc(time.Duration(random.IntN(40000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // killed or not: both are the case
		timer.Stop()
		res := settled(t, h, "c", spec, lines)
		require.Empty(t, res.Error, "round %d: only start was killed, not the supervisor", i)
		require.Equal(t, 1, lines())
	}
}

func TestSupervisorKilledAtAnyTime(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	outcomes := map[string]int{}
	for range rounds {
		h := newHost(t)
		path, lines := h.witness()
		spec := shell("echo ran >>" + path + "; i=0; sleep 0.02; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; done")
		h.ok(spec, "start", "c")
		m, err := store{h.root}.record("c").meta()
		require.NoError(t, err)
		timer := time.AfterFunc(time.Duration(random.IntN(20000))*time.Microsecond, func() { _ = unix.Kill(m.Supervisor, unix.SIGKILL) })
		res := settled(t, h, "c", spec, lines)
		if timer.Stop() {
			outcomes["not killed"]++
			require.Empty(t, res.Error)
		}
		outcomes[res.Error]++
	}
	t.Log(outcomes)
}

func TestStale(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, script string }{
		{"lock kept", `echo $$ >%s; exec sleep 100`},
		{"lock closed", `exec 97>&-; cd /; echo $$ >%s; exec sleep 100`},
		{"lock closed, other environment", `exec env -i /bin/bash -c 'exec 97>&-; echo $$ >%s; exec sleep 100'`},
		{"only the lock", `cd /; exec env -i /bin/sh -c 'echo $$ >%s; exec sleep 100'`},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			ready := filepath.Join(h.root, "ready")
			h.ok(bash(fmt.Sprintf(c.script, ready)), "start", "c")
			pid := h.await(ready)
			other := newHost(t) // as local instances do, it shares our process table
			other.ok(shell("cd /; exec sleep 100"), "start", "c")
			assert.Equal(t, "c\n", h.ok("", "list"))
			h.killSupervisor("c")
			assert.Equal(t, "c stale\n", h.ok("", "list"))
			_, _, code := h.call("", "forget", "c")
			assert.Equal(t, ExitFailed, code)
			waiter := h.command("", "wait", "c")
			var answer bytes.Buffer
			waiter.Stdout = &answer
			require.NoError(t, waiter.Start())
			h.ok(shell("true"), "start", "c") // still the same container
			assert.True(t, alive(pid))
			assert.Equal(t, "c stale\n", h.ok("", "list"))
			h.ok("", "kill", "c")
			assert.Empty(t, h.ok("", "list"))
			assert.Equal(t, "c\n", other.ok("", "list"))
			require.NoError(t, waiter.Wait())
			assert.Equal(t, answer.String(), h.ok("", "wait", "c"))
			assert.Equal(t, unseen, h.wait("c").Error)
		})
	}
}

func TestRemainsOfACrashAreSweptAway(t *testing.T) {
	h := newHost(t)
	crashing := *h
	crashing.env = []string{envCrashAt + "=create/filled"}
	_, _, code := crashing.call(shell("true"), "start", "c")
	require.Equal(t, ExitFailed, code)
	s := store{h.root}
	remains := func() int {
		entries, err := os.ReadDir(s.starting())
		require.NoError(t, err)
		return len(entries)
	}
	require.Equal(t, 1, remains())
	require.NoError(t, s.sweep(time.Now()))
	require.Equal(t, 1, remains(), "it could be in the making")
	require.NoError(t, s.sweep(time.Now().Add(abandonedAfter+time.Second)))
	require.Zero(t, remains())
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		realparts.Missing(t, "needs root to mount a small tmpfs")
	}
	h := newHost(t)
	if err := unix.Mount("tmpfs", h.root, "tmpfs", 0, "size=128k"); err != nil {
		realparts.Missing(t, fmt.Sprint("cannot mount a tmpfs here: ", err))
	}
	t.Cleanup(func() {
		require.Eventually(t, func() bool { return unix.Unmount(h.root, 0) == nil }, patience, tick)
	})
	h.ok(shell("head -c 300000 /dev/zero | tr '\\0' x; echo end; exit 9"), "start", "c")
	assert.Equal(t, 9, h.wait("c").ExitCode, "the result has its space")
	out := h.ok("", "logs", "c")
	var lost, kept int
	for _, r := range out {
		if r == 'x' {
			kept++
		}
	}
	_, err := fmt.Sscanf(out[kept:], "\n[drover: %d bytes of output lost here: ", &lost)
	require.NoError(t, err, "%.100q", out[kept:])
	assert.Equal(t, 300004, kept+lost, "every byte is there or accounted for")

	_, errs, code := h.call(shell("true"), "start", "d")
	assert.Equal(t, ExitFailed, code)
	assert.Contains(t, errs, "no space left on device")
	_, _, code = h.call("", "wait", "d")
	assert.Equal(t, ExitNoContainer, code, "no record")
	h.ok("", "forget", "c")
	h.ok(shell("exit 2"), "start", "d")
	assert.Equal(t, 2, h.wait("d").ExitCode)
}
