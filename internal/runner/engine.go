package runner

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// pidsLimit bounds the processes of a container under docker or podman.
const pidsLimit = 4096

// engineProgram is `docker run` or `podman run` in the foreground: the supervisor treats
// it as it treats any command. The engine's name for the container follows from its ID, so
// that the engine refuses to run one twice; cid holds the engine's own ID once it exists.
func engineProgram(rec record, spec Spec) (program, error) {
	path, err := enginePath(spec.Engine)
	if err != nil {
		return program{}, err
	}
	args := []string{spec.Engine, "run", "--name", engineName(rec.id), "--cidfile", rec.path(cidFile),
		"--init", "--log-driver", "none", "--pids-limit", strconv.Itoa(pidsLimit)}
	if spec.Memory > 0 { // and no swap on top
		bytes := strconv.FormatInt(spec.Memory, 10)
		args = append(args, "--memory", bytes, "--memory-swap", bytes)
	}
	if spec.VCPUs > 0 {
		args = append(args, "--cpus", strconv.FormatFloat(spec.VCPUs, 'f', -1, 64))
	}
	if spec.GPUs > 0 {
		args = append(args, "--gpus", strconv.Itoa(spec.GPUs))
	}
	env := map[string]string{envID: rec.id, envFleet: spec.Fleet}
	maps.Copy(env, spec.Env)
	own := engineEnviron()
	for _, key := range slices.Sorted(maps.Keys(env)) {
		if steersEngine(key) {
			args = append(args, "--env", key+"="+env[key])
			continue
		}
		// By way of the engine's own environment: no other user can read it there.
		args = append(args, "--env", key)
		own = append(own, key+"="+env[key])
	}
	args = append(append(args, spec.Image), spec.Command...)
	return program{path: path, args: args, env: own, dir: rec.path(workDir)}, nil
}

// engineName is the engine's name for a container. Names take fewer characters than IDs.
func engineName(id string) string {
	if !strings.Contains(id, "~") {
		return "drover-" + id
	}
	sum := sha256.Sum256([]byte(id))
	return "drover-" + strings.ReplaceAll(id, "~", "-") + "." + hex.EncodeToString(sum[:6])
}

// steersEngine tells whether an environment variable could change what the engine's own
// command does.
func steersEngine(key string) bool {
	upper := strings.ToUpper(key)
	for _, prefix := range []string{"DOCKER", "CONTAINER", "PODMAN", "BUILDAH", "REGISTRY", "STORAGE_", "XDG_",
		"LD_", "GODEBUG", "GOMAXPROCS", "GOMEMLIMIT", "GOGC", "GOTRACEBACK", "SSL_", "SSH_", "DBUS_", "OTEL_", "NOTIFY_", "LISTEN_", "_CONTAINERS", "NETAVARK", "TMP"} {
		if strings.HasPrefix(upper, prefix) {
			return true
		}
	}
	return upper == "PATH" || upper == "HOME" || upper == "USER" || strings.HasSuffix(upper, "_PROXY")
}

// engineEnviron is the environment in which the engine's command runs: this process's own.
func engineEnviron() []string {
	env := os.Environ()
	if os.Getenv("PATH") == "" {
		env = append(env, "PATH="+defaultPath)
	}
	return env
}

func enginePath(engine string) (string, error) {
	path := os.Getenv("PATH")
	if path == "" {
		path = defaultPath
	}
	file, err := lookPath(engine, path, "/")
	if err != nil { // not the container's fault: no exit code
		return "", fmt.Errorf("engine %s is not installed here: %s", engine, err.Error())
	}
	return file, nil
}

// engineCall runs one short command of the engine and returns what it prints.
func engineCall(engine string, args ...string) (string, error) {
	path, err := enginePath(engine)
	if err != nil {
		return "", err
	}
	cmd := exec.Command(path, args...)
	cmd.Env = engineEnviron()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", engine, args[0], err, clip(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// engineID returns the engine's own ID of a container; empty while it has none, and for
// a plain process.
func (r record) engineID() (string, error) {
	data, err := os.ReadFile(r.path(cidFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(data)), err
}

// outcome turns the end of the program into the container's exit code.
func (s *supervisor) outcome(status syscall.WaitStatus) (int, error) {
	if s.spec.Engine == EngineProcess {
		return exitCode(status), nil
	}
	cid, err := s.rec.engineID()
	if err != nil {
		return ExitUnknown, err
	}
	if cid == "" {
		return ExitUnknown, fmt.Errorf("%s made no container (exit %d): its output says why", s.spec.Engine, exitCode(status))
	}
	// The command may have lost its daemon while the container ran on.
	code, err := engineCall(s.spec.Engine, "wait", cid)
	if err != nil {
		return ExitUnknown, err
	}
	n, err := strconv.Atoi(code)
	if err != nil {
		return ExitUnknown, fmt.Errorf("%s wait said %q", s.spec.Engine, code)
	}
	startErr := engineStartError(s.spec.Engine, cid)
	return n, errors.Join(startErr, removeFromEngine(s.rec, s.spec))
}

// engineStartError says why a container that was made and has ended never started; nil if
// it did start.
func engineStartError(engine, cid string) error {
	started, err := engineCall(engine, "inspect", "--format", "{{.State.StartedAt}}", cid)
	if err != nil || !strings.HasPrefix(started, "0001-01-01") {
		return err
	}
	why, err := engineCall(engine, "inspect", "--format", "{{.State.Error}}", cid)
	return errors.Join(fmt.Errorf("%s could not start the container: %s", engine, why), err)
}

// runsInEngine tells whether the engine still runs a container whose supervisor is gone.
func runsInEngine(rec record, spec Spec) (bool, error) {
	cid, err := rec.engineID()
	if cid == "" || err != nil {
		return false, err
	}
	found, err := engineCall(spec.Engine, "ps", "--quiet", "--no-trunc", "--filter", "id="+cid)
	return found != "", err
}

// removeFromEngine drops what the engine still has of an ended container.
func removeFromEngine(rec record, spec Spec) error {
	cid, err := rec.engineID()
	if cid == "" || err != nil {
		return err
	}
	_, err = engineCall(spec.Engine, "rm", "--force", "--volumes", cid)
	return err
}

// signalEngine signals a container of an engine; false when it has none yet.
func signalEngine(rec record, spec Spec, sig unix.Signal) (bool, error) {
	cid, err := rec.engineID()
	if cid == "" || err != nil {
		return false, err
	}
	_, err = engineCall(spec.Engine, "kill", "--signal", unix.SignalName(sig), cid)
	return true, err
}

// signalEngineUnawaited does the same from within a supervisor, which reaps every child
// itself; false when it could not.
func signalEngineUnawaited(rec record, spec Spec, sig unix.Signal) bool {
	cid, err := rec.engineID()
	path, pathErr := enginePath(spec.Engine)
	if cid == "" || err != nil || pathErr != nil {
		complain(errors.Join(err, pathErr))
		return false
	}
	_, err = syscall.ForkExec(path, []string{spec.Engine, "kill", "--signal", unix.SignalName(sig), cid},
		&syscall.ProcAttr{Dir: "/", Env: engineEnviron(), Files: []uintptr{2, 2, 2}})
	complain(err)
	return err == nil
}
