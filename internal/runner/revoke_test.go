package runner

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// revokedResult is what every call says of a container that was revoked.
func revokedResult(t *testing.T, res Result) {
	t.Helper()
	assert.Equal(t, Result{ExitCode: ExitUnknown, StartedAt: res.StartedAt, FinishedAt: res.StartedAt,
		Error: "revoked before it began", Revoked: true}, res)
}

// tooLate checks that a container can no longer be revoked.
func (h *host) tooLate(id string) {
	h.t.Helper()
	out, errs, code := h.call("", "revoke", id)
	assert.Equal(h.t, ExitBegun, code)
	assert.Empty(h.t, out)
	assert.Equal(h.t, "runner: revoke "+id+": the container has begun\n", errs)
}

func TestRevokeOfAContainerThatWaits(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"revoke", "kill"} {
		t.Run(call, func(t *testing.T) {
			h := newHost(t)
			path, lines := h.witness()
			spec := shell("echo ran >>" + path)
			h.ok(shell("exec sleep 1000"), "start", "a")
			first := h.attach(spec, "c", "--after", "a")
			second := h.attach(spec, "c")
			h.ok("", call, "c")
			assert.Equal(t, "a\n", h.ok("", "list"), "it has its result by now")
			for _, end := range []func() (string, Result){first, second} {
				out, res := end()
				assert.Empty(t, out)
				revokedResult(t, res)
				assert.Equal(t, h.wait("c"), res)
			}
			assert.Contains(t, h.ok("", "wait", "c"), `"error":"revoked before it began","revoked":true}`)
			h.ok("", "revoke", "c")
			h.ok("", "kill", "c")
			h.ok("", "kill", "a")
			h.attached(spec, "c", "--after", "a")
			assert.Empty(t, h.ok("", "logs", "c", "--follow"))
			h.ok("", "forget", "c")
			h.ok("", "revoke", "c")
			revokedResult(t, h.wait("c"))
			files, err := os.ReadDir(store{h.root}.record("c").dir)
			require.NoError(t, err)
			assert.Len(t, files, 1, "only the result is kept")
			assert.Zero(t, lines())
		})
	}
}

func TestRevokeBeforeThereIsARecord(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	path, lines := h.witness()
	h.ok("", "revoke", "c")
	h.ok("", "revoke", "c")
	h.ok(shell("echo ran >>"+path), "start", "c")
	out, res := h.attached(shell("echo ran >>"+path), "c", "--after", "a")
	assert.Empty(t, out)
	revokedResult(t, res)
	assert.Empty(t, h.ok("", "list"))
	assert.Zero(t, lines())
	h.ok("", "kill", "d")
	h.ok("", "revoke", "d")
	assert.Equal(t, "killed before it started", h.wait("d").Error)
}

func TestRevokeOfAContainerThatHasBegun(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	gate, open := h.gate("gate")
	h.ok(shell("cat "+gate), "start", "a")
	h.tooLate("a")
	open()
	h.wait("a")
	again, openAgain := h.gate("again")
	end := h.attach(shell("echo begun; cat "+again+"; exit 3"), "c", "--after", "a")
	require.Eventually(t, func() bool { return h.ok("", "logs", "c") != "" }, patience, tick)
	h.tooLate("c")
	openAgain()
	_, res := end()
	assert.Equal(t, 3, res.ExitCode)
	assert.False(t, res.Revoked)
	assert.NotContains(t, h.ok("", "wait", "c"), "revoked")
	h.tooLate("c")
	h.ok("", "forget", "c")
	h.tooLate("c")
}

func TestRevokeWhileTheOtherEnds(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	outcomes := map[int]int{}
	for range 3 * rounds {
		h := newHost(t)
		path, lines := h.witness()
		gate, open := h.gate("gate")
		h.ok(shell("cat "+gate), "start", "a")
		end := h.attach(shell("echo ran >>"+path), "c", "--after", "a")
		var opened sync.WaitGroup
		opened.Add(1)
		time.AfterFunc(time.Duration(random.IntN(12000))*time.Microsecond, func() { defer opened.Done(); open() })
		_, errs, code := h.call("", "revoke", "c")
		_, res := end()
		outcomes[code]++
		if code == ExitOK {
			revokedResult(t, res)
			require.Zero(t, lines())
		} else {
			require.Equal(t, ExitBegun, code)
			require.Equal(t, "runner: revoke c: the container has begun\n", errs)
			require.Equal(t, Result{StartedAt: res.StartedAt, FinishedAt: res.FinishedAt}, res)
			require.Equal(t, 1, lines())
		}
		opened.Wait()
	}
	t.Log("outcomes by exit status:", outcomes)
}

func TestBeginningAndRevocationExcludeEachOther(t *testing.T) {
	t.Parallel()
	outcomes := map[bool]int{}
	for round := range 1000 {
		rec := record{id: "c", dir: t.TempDir()}
		m := meta{After: []string{"a"}}
		turn, err := takeTurn(rec.dir, &m)
		require.NoError(t, err)
		data, err := json.Marshal(m)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(rec.path(metaFile), data, 0o600))
		sup := &supervisor{rec: rec, turn: turn}
		var never [2]bool
		var decided fate
		var all sync.WaitGroup
		steps := []func() error{
			func() (err error) { never[0], err = rec.revoke(); return err },
			func() (err error) { never[1], err = rec.revoke(); return err },
			func() (err error) { decided, err = sup.begin(); return err },
		}
		for i := range steps {
			step := steps[(i+round)%len(steps)]
			all.Go(func() { assert.NoError(t, step()) })
		}
		all.Wait()
		require.Equal(t, never[0], never[1])
		require.Equal(t, never[0], decided == revoked)
		outcomes[never[0]]++
		require.NoError(t, turn.wake.Close())
	}
	t.Log("revoked:", outcomes)
}

func TestSupervisorKilledWhileTheContainerWaits(t *testing.T) {
	t.Parallel()
	const died = "the supervisor of this container died before the container began"
	for _, call := range []string{"", "revoke", "kill"} {
		t.Run(call, func(t *testing.T) {
			h := newHost(t)
			path, lines := h.witness()
			h.ok(shell("exec sleep 1000"), "start", "a")
			end := h.attach(shell("echo ran >>"+path), "c", "--after", "a")
			h.killSupervisor("c")
			if call != "" {
				h.ok("", call, "c")
			}
			_, res := end()
			assert.Equal(t, ExitUnknown, res.ExitCode)
			assert.Equal(t, res.StartedAt, res.FinishedAt)
			if call == "" || !res.Revoked { // the run may have been first to notice
				assert.Equal(t, died, res.Error)
			} else {
				revokedResult(t, res)
			}
			assert.Equal(t, "a\n", h.ok("", "list"))
			h.ok("", "kill", "a")
			h.ok("", "revoke", "c")
			h.ok("", "kill", "c")
			assert.Equal(t, res, h.wait("c"))
			assert.Zero(t, lines())
		})
	}
}

// A machine that goes down sends SIGTERM to everything, and what waits must not begin
// when what was before it ends of that.
func TestAContainerThatWaitsDoesNotBeginWhileTheMachineGoesDown(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	path, lines := h.witness()
	h.ok(shell("exec sleep 1000"), "start", "a")
	end := h.attach(shell("echo ran >>"+path), "c", "--after", "a")
	m, err := store{h.root}.record("c").meta()
	require.NoError(t, err)
	require.NoError(t, unix.Kill(m.Supervisor, unix.SIGTERM))
	h.ok("", "kill", "a")
	_, res := end()
	assert.Equal(t, Result{ExitCode: ExitUnknown, StartedAt: res.StartedAt, FinishedAt: res.StartedAt, Error: errGoesDown.Error()}, res)
	assert.Zero(t, lines())
	assert.Empty(t, h.ok("", "list"))
}

// A power cut may bring back what was removed to begin, and so leaves open whether the
// container has begun.
func TestAContainerThatWaitedBeforeAPowerCut(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.ok(shell("exec sleep 1000"), "start", "a")
	end := h.attach(shell("true"), "c", "--after", "a")
	rec := store{h.root}.record("c")
	m, err := rec.meta()
	require.NoError(t, err)
	m.Boot = "another"
	data, err := json.Marshal(m)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(rec.path(metaFile), data, 0o600))
	require.NoError(t, unix.Kill(m.Supervisor, unix.SIGKILL))
	_, res := end()
	assert.Equal(t, unseen, res.Error)
	h.tooLate("c")
}

func TestCrashAroundTheBeginning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		point string
		says  string // the error of the result
	}{
		{"create/placed", "the supervisor of this container died before the container began"},
		{"supervise/committed", "the supervisor of this container died before the container began"},
		{"after/waiting", "the supervisor of this container died before the container began"},
		{"after/begun", unseen},
		{"supervise/launched", unseen},
	} {
		t.Run(c.point, func(t *testing.T) {
			h := newHost(t)
			path, lines := h.witness()
			spec := shell("echo ran >>" + path)
			crashing := *h
			crashing.env = []string{envCrashAt + "=" + c.point}
			h.attached(shell("true"), "ended")
			crashing.call(spec, "run", "c", "--after", "ended") // before or after it is on record
			res := settled(t, h, "c", spec, lines)
			assert.Equal(t, ExitUnknown, res.ExitCode)
			assert.Equal(t, c.says, res.Error)
			if c.says == unseen {
				h.tooLate("c")
				return
			}
			h.ok("", "revoke", "c")
			assert.Equal(t, res, h.wait("c"))
			assert.Zero(t, lines())
		})
	}
}

func TestCrashWhileRevoking(t *testing.T) {
	t.Parallel()
	for _, again := range []string{"revoke", "kill", "the other ends"} {
		t.Run(again, func(t *testing.T) {
			h := newHost(t)
			path, lines := h.witness()
			gate, open := h.gate("gate")
			h.ok(shell("cat "+gate), "start", "a")
			end := h.attach(shell("echo ran >>"+path), "c", "--after", "a")
			crashing := *h
			crashing.env = []string{envCrashAt + "=revoke/decided"}
			_, _, code := crashing.call("", "revoke", "c")
			require.Equal(t, -1, code, "it was to die")
			if strings.HasPrefix(again, "the") {
				open()
			} else {
				h.ok("", again, "c")
			}
			_, res := end()
			revokedResult(t, res)
			h.ok("", "revoke", "c")
			assert.Zero(t, lines())
		})
	}
}

func TestARevokedContainerWhoseSupervisorIsKilled(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.ok(shell("exec sleep 1000"), "start", "a")
	end := h.attach(shell("true"), "c", "--after", "a")
	crashing := *h
	crashing.env = []string{envCrashAt + "=revoke/decided"}
	_, _, code := crashing.call("", "revoke", "c")
	require.Equal(t, -1, code, "it was to die")
	h.killSupervisor("c")
	_, res := end()
	revokedResult(t, res)
	h.ok("", "revoke", "c")
}
