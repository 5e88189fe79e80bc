package runner

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/realparts"
)

// fakeEngine stands in for docker: it runs the command as a process, notes how it was
// called, and refuses a name that is taken.
const fakeEngine = `#!/bin/sh
echo "$*" >>$FAKE/calls
case $1 in
run)
	printf '%s\0' "$@" >$FAKE/args
	while [ "$1" != the-image ]; do
		case $1 in --name) name=$2;; --cidfile) cid=$2;; esac
		shift
	done
	shift
	mkdir $FAKE/$name || { echo "name $name is in use"; exit 125; }
	"$@" & pid=$!
	echo $pid >$FAKE/pid
	echo cid-of-$name >$cid.new; mv $cid.new $cid
	wait $pid; code=$?; echo $code >$FAKE/code; exit $code;;
wait) while [ ! -e $FAKE/code ]; do sleep 0.01; done; cat $FAKE/code;;
inspect) case $3 in *StartedAt*) echo ${FAKE_STARTED_AT:-2026-01-01T00:00:00Z};; *) echo no such device;; esac;;
kill) kill -${3#SIG} $(cat $FAKE/pid);;
ps) if kill -0 $(cat $FAKE/pid) 2>/dev/null; then echo ${6#id=}; fi;;
rm) echo removed >>$FAKE/removed;;
*) exit 1;;
esac
`

func newEngineHost(t *testing.T) (h *host, dir string) {
	h = newHost(t)
	dir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker"), []byte(fakeEngine), 0o755))
	h.env = []string{"FAKE=" + dir, "PATH=" + dir + ":" + os.Getenv("PATH")}
	return h, dir
}

func engineSpec(command ...string) Spec {
	return Spec{Command: command, Image: "the-image", Engine: EngineDocker}
}

func TestEngineRunsAContainer(t *testing.T) {
	t.Parallel()
	h, dir := newEngineHost(t)
	spec := engineSpec("sh", "-c", `printf %s "$MULTI"; exit 6`)
	spec.Memory, spec.VCPUs, spec.GPUs, spec.Fleet = 64<<20, 1.5, 2, "f"
	spec.Env = map[string]string{"MULTI": "two\nlines", "DOCKER_HOST": "of the container", "PATH": "/bin:/usr/bin"}
	h.ok(specJSON(spec), "start", "c.1~a")
	res := h.wait("c.1~a")
	assert.Equal(t, 6, res.ExitCode)
	assert.Empty(t, res.Error)
	assert.Equal(t, "two\nlines", h.ok("", "logs", "c.1~a"))

	data, err := os.ReadFile(filepath.Join(dir, "args"))
	require.NoError(t, err)
	args := strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
	cid := store{h.root}.record("c.1~a").path(cidFile)
	assert.Equal(t, append([]string{"run", "--name", engineName("c.1~a"), "--cidfile", cid, "--init",
		"--log-driver", "none", "--pids-limit", "4096", "--memory", "67108864", "--memory-swap", "67108864",
		"--cpus", "1.5", "--gpus", "2", "--env", "DOCKER_HOST=of the container", "--env", envID,
		"--env", envFleet, "--env", "MULTI", "--env", "PATH=/bin:/usr/bin", "the-image"}, spec.Command...), args)
	assert.FileExists(t, filepath.Join(dir, "removed"), "the result is safe")
}

func TestEngineNames(t *testing.T) {
	assert.Equal(t, "drover-c-1.x_y", engineName("c-1.x_y"))
	assert.Regexp(t, `^drover-a-b\.[0-9a-f]{12}$`, engineName("a~b"))
	assert.NotEqual(t, engineName("a~b"), engineName("a-b"))
}

func TestEngineKill(t *testing.T) {
	t.Parallel()
	h, _ := newEngineHost(t)
	h.ok(specJSON(engineSpec("sleep", "100")), "start", "c")
	require.FileExists(t, awaitFile(t, store{h.root}.record("c").path(cidFile)))
	h.ok("", "kill", "c")
	assert.Equal(t, 143, h.wait("c").ExitCode)
}

func TestEngineTimeout(t *testing.T) {
	t.Parallel()
	h, _ := newEngineHost(t)
	spec := engineSpec("sleep", "100")
	spec.Timeout = "300ms"
	h.ok(specJSON(spec), "start", "c")
	res := h.wait("c")
	assert.Equal(t, 143, res.ExitCode)
	assert.Equal(t, "timed out after 300ms", res.Error)
}

func TestEngineThatHasTheNameAlready(t *testing.T) {
	t.Parallel()
	h, dir := newEngineHost(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, engineName("c")), 0o700))
	h.ok(specJSON(engineSpec("true")), "start", "c")
	res := h.wait("c")
	assert.Equal(t, ExitUnknown, res.ExitCode)
	assert.Contains(t, res.Error, "docker made no container")
	assert.Contains(t, h.ok("", "logs", "c"), "is in use")
	assert.NoFileExists(t, filepath.Join(dir, "removed"), "the other one is not ours")
}

func TestEngineThatCannotStartTheContainer(t *testing.T) {
	t.Parallel()
	h, _ := newEngineHost(t)
	h.env = append(h.env, "FAKE_STARTED_AT=0001-01-01T00:00:00Z")
	h.ok(specJSON(engineSpec("true")), "start", "c")
	assert.Equal(t, "docker could not start the container: no such device", h.wait("c").Error)

	spec := engineSpec("true")
	spec.Engine = EnginePodman
	h.env = []string{"PATH=/nowhere"}
	h.ok(specJSON(spec), "start", "d")
	res := h.wait("d")
	assert.Equal(t, ExitUnknown, res.ExitCode)
	assert.Contains(t, res.Error, "engine podman is not installed here")
}

func TestEngineStale(t *testing.T) {
	t.Parallel()
	h, _ := newEngineHost(t)
	h.ok(specJSON(engineSpec("sleep", "100")), "start", "c")
	awaitFile(t, store{h.root}.record("c").path(cidFile))
	h.killSupervisor("c")
	assert.Equal(t, "c stale\n", h.ok("", "list"))
	h.ok("", "kill", "c")
	assert.Equal(t, unseen, h.wait("c").Error)
}

// podmanConfig makes podman 4.3 work where there is no systemd and no network for containers.
const podmanConfig = `[containers]
default_ulimits=["nofile=1024:1024","nproc=1024:1024"]
netns="none"
[engine]
runtime="runc"
cgroup_manager="cgroupfs"
events_logger="file"
[engine.runtimes]
runc=["/usr/sbin/runc"]
`

func TestPodman(t *testing.T) {
	t.Parallel()
	busybox, err := exec.LookPath("busybox")
	if _, podmanErr := exec.LookPath("podman"); podmanErr != nil || err != nil || os.Getuid() != 0 {
		realparts.Missing(t, "needs podman, busybox-static, and root")
	}
	h := newHost(t)
	conf := filepath.Join(t.TempDir(), "containers.conf")
	require.NoError(t, os.WriteFile(conf, []byte(podmanConfig), 0o600))
	h.env = []string{"CONTAINERS_CONF=" + conf}
	image := "drover-runner-test:latest"
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "bin"), 0o755))
	require.NoError(t, exec.Command("cp", busybox, filepath.Join(root, "bin/busybox")).Run())
	require.NoError(t, exec.Command("ln", filepath.Join(root, "bin/busybox"), filepath.Join(root, "bin/sh")).Run())
	tar := exec.Command("sh", "-c", `tar -C "$0" -c . | podman import - "$1"`, root, image)
	tar.Env = append(os.Environ(), h.env...)
	out, err := tar.CombinedOutput()
	require.NoError(t, err, string(out))

	spec := Spec{Command: []string{"/bin/sh", "-c", `echo "$K"; exit 9`}, Image: image, Engine: EnginePodman,
		Env: map[string]string{"K": "two\nlines", "PATH": "/bin"}, Memory: 64 << 20, VCPUs: 0.5}
	h.ok(specJSON(spec), "start", "podman-test")
	res := h.wait("podman-test")
	assert.Equal(t, Result{ExitCode: 9, StartedAt: res.StartedAt, FinishedAt: res.FinishedAt}, res)
	assert.Equal(t, "two\nlines\n", h.ok("", "logs", "podman-test"))

	spec.Command = []string{"/bin/sh", "-c", "echo up; trap 'exit 4' TERM; while :; do /bin/busybox sleep 0.1; done"}
	h.ok(specJSON(spec), "start", "podman-kill")
	require.Eventually(t, func() bool { return h.ok("", "logs", "podman-kill") == "up\n" }, patience, tick)
	require.Eventually(t, func() bool {
		_, _, code := h.call("", "kill", "podman-kill")
		return code == ExitOK
	}, patience, tick)
	assert.Equal(t, 4, h.wait("podman-kill").ExitCode)
}

// awaitFile waits until a file is there.
func awaitFile(t *testing.T, path string) string {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := os.Stat(path)
		return err == nil
	}, patience, tick)
	return path
}
