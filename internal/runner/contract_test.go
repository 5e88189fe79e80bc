package runner

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVersionIsOneLine(t *testing.T) {
	t.Parallel()
	out := newHost(t).ok("", "version")
	assert.Regexp(t, `^drover-runner contract 1 linux/\w+ go[^\n]+\n$`, out)
}

func TestCallsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	valid := shell("true")
	for _, c := range []struct {
		name, stdin string
		args        []string
	}{
		{"nothing", "", nil},
		{"unknown call", "", []string{"execute", "c"}},
		{"bad ID to forget", valid, []string{"run", "c", "--forget", "../up"}},
		{"bad ID to wait for", valid, []string{"run", "c", "--after", "x y"}},
		{"itself to wait for", valid, []string{"run", "c", "--after", "c"}},
		{"no ID", "", []string{"wait"}},
		{"two IDs", "", []string{"wait", "a", "b"}},
		{"an ID for list", "", []string{"list", "a"}},
		{"path as ID", valid, []string{"start", "../up"}},
		{"hidden ID", valid, []string{"start", ".hidden"}},
		{"ID with a newline", valid, []string{"start", "a\nb"}},
		{"empty ID", valid, []string{"start", ""}},
		{"long ID", valid, []string{"start", strings.Repeat("x", 129)}},
		{"no JSON", "{", []string{"start", "c"}},
		{"no spec", "", []string{"start", "c"}},
		{"two specs", valid + valid, []string{"start", "c"}},
		{"no command", `{"env":{"K":"V"}}`, []string{"start", "c"}},
		{"empty command", `{"command":[""]}`, []string{"start", "c"}},
		{"zero byte in a command", `{"command":["a\u0000b"]}`, []string{"start", "c"}},
		{"variable with =", `{"command":["true"],"env":{"A=B":"C"}}`, []string{"start", "c"}},
		{"zero byte in a variable", `{"command":["true"],"env":{"A":"\u0000"}}`, []string{"start", "c"}},
		{"unknown engine", `{"command":["true"],"image":"i","engine":"lxc"}`, []string{"start", "c"}},
		{"image without engine", `{"command":["true"],"image":"i"}`, []string{"start", "c"}},
		{"image for a process", `{"command":["true"],"image":"i","engine":"process"}`, []string{"start", "c"}},
		{"image that is an option", `{"command":["true"],"image":"-v/:/x","engine":"docker"}`, []string{"start", "c"}},
		{"bad timeout", `{"command":["true"],"timeout":"soon"}`, []string{"start", "c"}},
		{"negative timeout", `{"command":["true"],"timeout":"-1s"}`, []string{"start", "c"}},
		{"negative bound", `{"command":["true"],"output_limit":-1}`, []string{"start", "c"}},
		{"bad offset", "", []string{"logs", "c", "--offset", "-1"}},
		{"option of another call", "", []string{"wait", "c", "--follow"}},
		{"missing value", "", []string{"kill", "c", "--signal"}},
		{"unknown signal", "", []string{"kill", "c", "--signal", "NOPE"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			out, errs, code := h.call(c.stdin, c.args...)
			assert.Equal(t, ExitUsage, code)
			assert.Empty(t, out)
			assert.Regexp(t, `^runner: [^\n]+\n$`, errs)
			entries, err := os.ReadDir(h.root)
			require.NoError(t, err)
			assert.Empty(t, entries, "nothing is recorded")
		})
	}
}

func TestUnknownContainer(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for _, call := range []string{"wait", "logs"} {
		_, errs, code := h.call("", call, "nobody")
		assert.Equal(t, ExitNoContainer, code, call)
		assert.Equal(t, "runner: "+call+" nobody: no such container\n", errs)
	}
	h.ok("", "forget", "nobody")
	assert.Empty(t, h.ok("", "list"))
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	script := filepath.Join(h.root, "script")
	require.NoError(t, os.WriteFile(script, []byte("#!/no/such/shell\n"), 0o755))
	for i, c := range []struct {
		command []string
		code    int
		output  string
	}{
		{[]string{"true"}, 0, ""},
		{[]string{"sh", "-c", "exit 7"}, 7, ""},
		{[]string{"sh", "-c", "kill -9 $$"}, 137, ""},
		{[]string{"sh", "-c", "kill -TERM $$"}, 143, ""},
		{[]string{"no-such-command"}, 127, "drover: no-such-command: command not found\n"},
		{[]string{"/no/such/file"}, 127, "drover: /no/such/file: no such file or directory\n"},
		{[]string{script}, 127, "drover: " + script + ": no such file or directory\n"},
		{[]string{"/etc/passwd"}, 126, "drover: /etc/passwd: permission denied\n"},
		{[]string{"/etc"}, 126, "drover: /etc: permission denied\n"},
		{[]string{"true", strings.Repeat("x", 200_000)}, 126, "drover: true: argument list too long\n"},
	} {
		id := fmt.Sprintf("c%d", i)
		h.ok(specJSON(Spec{Command: c.command}), "start", id)
		res := h.wait(id)
		assert.Equal(t, c.code, res.ExitCode, c.command[0])
		assert.Empty(t, res.Error, c.command[0])
		assert.Equal(t, c.output, h.ok("", "logs", id), c.command[0])
	}
}

func TestEnvironmentAndDirectoryOfAContainer(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.env = []string{"SECRET_OF_THE_HOST=x", "HOME=/somewhere"}
	env := map[string]string{"A": "two\nlines\n", "B": `"'$(x)\`, "EMPTY": "", "PATH": "/bin:/usr/bin", "É": "ü☃"}
	h.ok(specJSON(Spec{Command: []string{"env", "-0"}, Env: env, Fleet: "f"}), "start", "c")
	require.Zero(t, h.wait("c").ExitCode)
	got := map[string]string{}
	for kv := range strings.SplitSeq(strings.TrimSuffix(h.ok("", "logs", "c"), "\x00"), "\x00") {
		key, value, _ := strings.Cut(kv, "=")
		got[key] = value
	}
	root, err := filepath.EvalSymlinks(h.root)
	require.NoError(t, err)
	env["HOME"], env[envID], env[envFleet] = "/somewhere", "c", "f"
	env[envDirectory] = filepath.Join(root, "containers/c/work")
	assert.Equal(t, env, got)

	h.ok(shell("ls -A; pwd -P"), "start", "d")
	require.Zero(t, h.wait("d").ExitCode)
	assert.Equal(t, filepath.Join(root, "containers/d/work")+"\n", h.ok("", "logs", "d"), "an empty directory of its own")
}

func TestUnknownKeysOfASpecAreIgnored(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.ok(`{"command":["true"],"of_the_future":{"x":1}}`, "start", "c")
	assert.Zero(t, h.wait("c").ExitCode)
}

func TestStartedOnceByManyAtOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	path, lines := h.witness()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, errs, code := h.call(shell("echo ran >>"+path), "start", "c")
			assert.Equal(t, ExitOK, code, errs)
			_, errs, code = h.call("", "wait", "c")
			assert.Equal(t, ExitOK, code, errs)
		})
	}
	all.Wait()
	assert.Equal(t, 1, lines())
	left, err := os.ReadDir(store{h.root}.starting())
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestNeverStartedAgain(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	path, lines := h.witness()
	spec := shell("echo ran >>" + path + "; echo out")
	h.ok(spec, "start", "c")
	first := h.wait("c")
	h.ok(spec, "start", "c")
	assert.Equal(t, first, h.wait("c"))
	h.ok("", "forget", "c")
	h.ok("", "forget", "c")
	h.ok(spec, "start", "c")
	assert.Equal(t, first, h.wait("c"), "the result outlives the record")
	assert.Empty(t, h.ok("", "list"))
	assert.Equal(t, 1, lines())
	_, errs, code := h.call("", "logs", "c")
	assert.Equal(t, ExitNoContainer, code)
	assert.Contains(t, errs, "forgotten")
	files, err := os.ReadDir(store{h.root}.record("c").dir)
	require.NoError(t, err)
	assert.Len(t, files, 1, "only the result is kept")
}

func TestListAndForgetOfWhatRuns(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.ok(shell("exec sleep 100"), "start", "b")
	h.ok(shell("exec sleep 100"), "start", "a~1")
	h.ok(shell("true"), "start", "gone")
	h.wait("gone")
	assert.Equal(t, "a~1\nb\n", h.ok("", "list"))
	require.NoError(t, os.WriteFile(filepath.Join(h.root, "broken"), nil, 0o600))
	assert.Equal(t, "broken\na~1\nb\n", h.ok("", "list"))
	_, errs, code := h.call("", "forget", "b")
	assert.Equal(t, ExitFailed, code)
	assert.Contains(t, errs, "still runs")
	h.ok("", "kill", "b")
	h.ok("", "forget", "b")
	assert.Equal(t, "broken\na~1\n", h.ok("", "list"))
}

func TestKill(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.ok(shell("exec sleep 100"), "start", "meek")
	h.ok("", "kill", "meek")
	assert.Equal(t, 143, h.wait("meek").ExitCode)
	h.ok("", "kill", "meek")

	ready := filepath.Join(h.root, "ready")
	h.ok(shell(`trap "" TERM; echo $$ >`+ready+`; while :; do sleep 100; done`), "start", "stubborn")
	pid := h.await(ready)
	out, errs, code := h.call("", "kill", "stubborn", "--signal", "SIGTERM")
	assert.Equal(t, ExitFailed, code)
	assert.Empty(t, out+errs)
	assert.True(t, alive(pid))
	assert.Equal(t, "stubborn\n", h.ok("", "list"))
	h.ok("", "kill", "stubborn", "--signal", "9")
	assert.Equal(t, 137, h.wait("stubborn").ExitCode)
	assert.False(t, alive(pid))
}

func TestKillReachesEveryProcess(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	ready := filepath.Join(h.root, "ready")
	// The shell ends only when the one in another session has ended by the signal.
	h.ok(shell(`trap : TERM; setsid sh -c 'echo $$ >`+ready+`; exec sleep 100' & while ! wait $!; do [ -e /proc/$! ] || exit 5; done`), "start", "c")
	pid := h.await(ready)
	h.ok("", "kill", "c")
	assert.False(t, alive(pid))
	assert.Equal(t, 5, h.wait("c").ExitCode)
}

func TestKilledBeforeItStarted(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	path, lines := h.witness()
	h.ok("", "kill", "c")
	first := h.wait("c")
	assert.Equal(t, ExitUnknown, first.ExitCode)
	assert.Equal(t, "killed before it started", first.Error)
	h.ok(shell("echo ran >>"+path), "start", "c")
	assert.Equal(t, first, h.wait("c"))
	assert.Zero(t, lines())
	assert.Empty(t, h.ok("", "logs", "c", "--follow"))
	assert.Empty(t, h.ok("", "list"))
	h.ok("", "forget", "c")
	assert.Equal(t, first, h.wait("c"))
}

func TestWhatAContainerLeavesEnds(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	ready := filepath.Join(h.root, "ready")
	h.ok(bash(`(setsid env -i /bin/sh -c 'trap "" TERM HUP; echo $$ >`+ready+`; exec sleep 100' 97>&- &)
		while [ ! -s `+ready+` ]; do :; done; exit 3`), "start", "c")
	assert.Equal(t, 3, h.wait("c").ExitCode)
	assert.False(t, alive(h.await(ready)))
	require.Eventually(t, func() bool {
		_, err := os.Stat(store{h.root}.record("c").path(workDir))
		return os.IsNotExist(err)
	}, patience, tick, "its directory goes too")
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.env = []string{envKillAfter + "=100ms"}
	h.ok(specJSON(Spec{Command: []string{"sleep", "100"}, Timeout: "50ms"}), "start", "meek")
	h.ok(specJSON(Spec{Command: []string{"sh", "-c", `trap "" TERM; while :; do sleep 100; done`}, Timeout: "50ms"}), "start", "stubborn")
	h.ok(specJSON(Spec{Command: []string{"true"}, Timeout: "1h"}), "start", "quick")
	for id, code := range map[string]int{"meek": 143, "stubborn": 137} {
		res := h.wait(id)
		assert.Equal(t, code, res.ExitCode)
		assert.Equal(t, "timed out after 50ms", res.Error)
	}
	assert.Empty(t, h.wait("quick").Error)
}

func TestAContainerStartsWithDefaultSignals(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	// As under nohup, and as some SSH servers do.
	start := exec.Command("sh", "-c", `trap "" HUP INT PIPE TERM USR1; exec /proc/self/fd/9 start c`)
	self, err := os.Open("/proc/self/exe")
	require.NoError(t, err)
	defer self.Close()
	like := h.command(shell("grep -E 'Sig(Ign|Blk)' /proc/self/status; cut -d' ' -f6 /proc/self/stat; echo $$"))
	start.Stdin, start.Env = like.Stdin, like.Env
	start.ExtraFiles = []*os.File{3: nil, 4: nil, 5: nil, 6: self}
	require.NoError(t, start.Run())
	require.Zero(t, h.wait("c").ExitCode)
	lines := strings.Fields(h.ok("", "logs", "c"))
	require.Len(t, lines, 6)
	assert.Equal(t, []string{"SigBlk:", "0000000000000000", "SigIgn:"}, lines[:3])
	ignored, err := strconv.ParseUint(lines[3], 16, 64)
	require.NoError(t, err)
	const glibc = 1<<(32-1) | 1<<(33-1) // its own two, which its posix_spawn (under make, say) leaves ignored
	assert.Zero(t, ignored&^glibc, "ignored signals: %x", ignored)
	assert.Equal(t, lines[5], lines[4], "a session of its own")
}
