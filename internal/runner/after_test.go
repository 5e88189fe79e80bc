package runner

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// attach makes the call `run`, and returns once the container is on record; what attach
// returns waits for the call to end, and returns what attached does.
func (h *host) attach(spec, id string, options ...string) func() (string, Result) {
	h.t.Helper()
	cmd := h.command(spec, append([]string{"run", id}, options...)...)
	var out strings.Builder
	cmd.Stdout = &out
	pipe, err := cmd.StderrPipe()
	require.NoError(h.t, err)
	require.NoError(h.t, cmd.Start())
	lines := bufio.NewReader(pipe)
	line, err := lines.ReadString('\n')
	require.NoError(h.t, err)
	require.Equal(h.t, Started+"\n", line)
	return func() (string, Result) {
		h.t.Helper()
		rest, err := io.ReadAll(lines)
		require.NoError(h.t, err)
		require.NoError(h.t, cmd.Wait(), "%s", rest)
		var result Result
		require.NoError(h.t, json.Unmarshal(rest, &result))
		return out.String(), result
	}
}

// gate is a named pipe that a container waits for by `cat`, until it is opened.
func (h *host) gate(name string) (path string, open func()) {
	path = filepath.Join(h.root, name)
	require.NoError(h.t, unix.Mkfifo(path, 0o600))
	return path, func() { assert.NoError(h.t, os.WriteFile(path, nil, 0)) }
}

// follows checks that one container has begun after another has ended.
func follows(t *testing.T, then, first Result) {
	t.Helper()
	assert.False(t, then.StartedAt.Before(first.FinishedAt), "%s < %s", then.StartedAt, first.FinishedAt)
}

func TestAContainerBeginsWhenTheFirstOfOthersHasEnded(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	slow, openSlow := h.gate("slow")
	quick, openQuick := h.gate("quick")
	last, openLast := h.gate("last")
	done := filepath.Join(h.root, "done")
	h.ok(shell("cat "+slow+"; echo slow >>"+done), "start", "slow")
	h.ok(shell("cat "+quick+"; echo quick >>"+done), "start", "quick")
	path, lines := h.witness()
	spec := shell("echo begun >>" + path + "; cat " + done + " " + last)
	end := h.attach(spec, "c", "--after", "slow", "--after=quick")

	assert.Equal(t, "c\nquick\nslow\n", h.ok("", "list"))
	h.ok(spec, "start", "c")
	_, errs, code := h.call("", "forget", "c")
	assert.Equal(t, ExitFailed, code)
	assert.Contains(t, errs, "still runs")
	m, err := store{h.root}.record("c").meta()
	require.NoError(t, err)
	assert.Equal(t, []string{"slow", "quick"}, m.After)

	openQuick()
	openLast() // returns when it has begun
	out, res := end()
	assert.Equal(t, "quick\n", out)
	assert.Zero(t, res.ExitCode)
	assert.Equal(t, h.wait("c"), res)
	follows(t, res, h.wait("quick"))
	assert.Equal(t, 1, lines())
	assert.Equal(t, "slow\n", h.ok("", "list"))
	openSlow()
	assert.True(t, h.wait("slow").FinishedAt.After(res.FinishedAt))
}

func TestWhatWaitsLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	gate, open := h.gate("gate")
	h.ok(shell("exec sleep 1000"), "start", "a")
	h.ok(shell("exec sleep 1000"), "start", "b")
	end := h.attach(shell("echo begun; cat "+gate), "c", "--after", "a", "--after", "b")
	h.ok("", "kill", "a")
	h.ok("", "forget", "a")
	require.Eventually(t, func() bool { return h.ok("", "logs", "c") != "" }, patience, tick)
	assert.Equal(t, "b\nc\n", h.ok("", "list"), "the supervisor of c has a look at b still")
	h.ok("", "kill", "b")
	h.ok("", "forget", "b")
	assert.Equal(t, 143, h.wait("b").ExitCode)
	assert.Equal(t, "c\n", h.ok("", "list"))
	open()
	_, res := end()
	assert.Zero(t, res.ExitCode)
}

func TestAContainerBeginsAtOnceAfterWhatHasEnded(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.ok(shell("exec sleep 1000"), "start", "runs")
	h.attached(shell("true"), "ended")
	h.attached(shell("true"), "forgotten")
	h.ok("", "forget", "forgotten")
	h.ok("", "kill", "fenced")
	for _, other := range []string{"ended", "forgotten", "fenced"} {
		out, res := h.attached(shell("echo out"), "c-"+other, "--after", "runs", "--after", other)
		assert.Equal(t, "out\n", out)
		assert.Empty(t, res.Error)
	}
	assert.Equal(t, "runs\n", h.ok("", "list"))
	h.attached(shell("true"), "ended", "--after", "runs") // on record: not looked at
}

func TestAContainerWaitsForWhatIsNotOnRecordYet(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	gate, open := h.gate("gate")
	end := h.attach(shell("echo out"), "c", "--after", "later")
	never := h.attach(shell("echo out"), "never", "--after", "not-at-all")
	h.ok(shell("cat "+gate), "start", "later")
	assert.Equal(t, "c\nlater\nnever\n", h.ok("", "list"))
	open()
	out, res := end()
	assert.Equal(t, "out\n", out)
	follows(t, res, h.wait("later"))
	h.ok("", "revoke", "never")
	_, res = never()
	assert.True(t, res.Revoked)
}

func TestAContainerDoesNotWaitForEverForWhatIsNotOnRecord(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.env = []string{envOnRecord + "=50ms"}
	out, res := h.attached(shell("echo out"), "c", "--after", "never-here")
	assert.Empty(t, out)
	assert.Equal(t, ExitUnknown, res.ExitCode)
	assert.Equal(t, "cannot tell when the containers before it end: container never-here is not on record after 50ms", res.Error)
	h.ok("", "revoke", "c")
}

func TestAContainerAfterWhatCannotBeLookedAt(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	gate, open := h.gate("gate")
	h.ok(shell("cat "+gate), "start", "a")
	noRecord := store{h.root}.record("x").dir
	require.NoError(t, os.WriteFile(noRecord, nil, 0o600))
	end := h.attach(shell("echo out"), "c", "--after", "x", "--after", "a")
	out, res := h.attached(shell("echo out"), "never", "--after", "x")
	assert.Empty(t, out)
	assert.Equal(t, ExitUnknown, res.ExitCode)
	assert.Equal(t, "cannot tell when the containers before it end: open "+noRecord+"/lock: not a directory", res.Error)
	h.ok("", "revoke", "never")
	assert.Equal(t, res, h.wait("never"))
	open()
	out, _ = end()
	assert.Equal(t, "out\n", out, "the other one is enough")
	require.NoError(t, os.Remove(noRecord))
}

// chain puts containers on record each of which waits for the one before, has the first
// end, and returns their results.
func (h *host) chain(n int, spec func(i int) string) []Result {
	h.t.Helper()
	gate, open := h.gate("gate")
	h.ok(shell("cat "+gate), "start", "c0")
	ends := make([]func() (string, Result), n)
	for i := range n {
		ends[i] = h.attach(spec(i), fmt.Sprintf("c%d", i+1), "--after", fmt.Sprintf("c%d", i))
	}
	open()
	results := []Result{h.wait("c0")}
	for _, end := range ends {
		_, res := end()
		results = append(results, res)
	}
	return results
}

func TestAChainRunsInItsOrder(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	path := filepath.Join(h.root, "order")
	var want strings.Builder
	results := h.chain(20, func(i int) string {
		fmt.Fprintln(&want, "begin", i)
		fmt.Fprintln(&want, "end", i)
		return shell(fmt.Sprintf("echo begin %d >>%s; echo end %d >>%s; exit %d", i, path, i, path, i))
	})
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, want.String(), string(got))
	for i, res := range results[1:] {
		assert.Equal(t, i, res.ExitCode)
		follows(t, res, results[i])
	}
}

// TestWhatLiesBetweenTwoOfAChain logs the time between an end and the next beginning.
func TestWhatLiesBetweenTwoOfAChain(t *testing.T) {
	h := newHost(t)
	results := h.chain(30, func(int) string { return specJSON(Spec{Command: []string{"true"}}) })
	var gaps []time.Duration
	for i, res := range results[1:] {
		assert.Empty(t, res.Error)
		follows(t, res, results[i])
		gaps = append(gaps, res.StartedAt.Sub(results[i].FinishedAt))
	}
	slices.Sort(gaps)
	t.Logf("median %v, least %v, most %v", gaps[len(gaps)/2], gaps[0], gaps[len(gaps)-1])
}

func TestAContainerWaitsForWhatASupervisorLeft(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"lock kept":   "echo $$ >%s; exec sleep 1",
		"lock closed": "exec 97>&-; echo $$ >%s; exec sleep 1",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			ready := filepath.Join(h.root, "ready")
			h.ok(bash(fmt.Sprintf(script, ready)), "start", "a")
			pid := h.await(ready)
			// Gone, or (since nobody here reaps it) a zombie.
			end := h.attach(shell(fmt.Sprintf(`[ ! -e /proc/%[1]d ] || grep -q ") Z " /proc/%[1]d/stat`, pid)), "c", "--after", "a")
			h.killSupervisor("a")
			_, res := end()
			assert.Zero(t, res.ExitCode, "when it began, that had ended")
			assert.Empty(t, res.Error)
		})
	}
}

func TestATimeoutCountsFromTheBeginning(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.ok(shell("exec sleep 2.2"), "start", "a")
	quick := h.attach(specJSON(Spec{Command: []string{"true"}, Timeout: "2s"}), "quick", "--after", "a")
	slow := h.attach(specJSON(Spec{Command: []string{"sleep", "1000"}, Timeout: "50ms"}), "slow", "--after", "a")
	_, res := quick()
	assert.Empty(t, res.Error)
	_, res = slow()
	assert.Equal(t, "timed out after 50ms", res.Error)
	assert.GreaterOrEqual(t, res.FinishedAt.Sub(res.StartedAt), 50*time.Millisecond)
	follows(t, res, h.wait("a"))
}
