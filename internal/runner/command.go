package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	envID    = "DROVER_CONTAINER_ID"
	envFleet = "DROVER_FLEET"
	// envDirectory is the working directory of a plain process. It also marks what belongs to
	// a container: IDs are not enough where instances share a process table.
	envDirectory = "DROVER_CONTAINER_DIRECTORY"

	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

	exitNotExecutable = 126
	exitNotFound      = 127
)

// program is what the supervisor executes for a container.
type program struct {
	path string
	args []string
	env  []string
	dir  string
}

// processProgram is a container's command as a plain process. The error, when the command
// cannot be found, is a *commandError.
func processProgram(rec record, spec Spec) (program, error) {
	dir := rec.path(workDir)
	env := map[string]string{"PATH": defaultPath, "HOME": "/", envID: rec.id, envFleet: spec.Fleet, envDirectory: dir}
	if home := os.Getenv("HOME"); home != "" {
		env["HOME"] = home
	}
	maps.Copy(env, spec.Env)
	path, err := lookPath(spec.Command[0], env["PATH"], dir)
	if err != nil {
		return program{}, err
	}
	return program{path: path, args: spec.Command, env: environ(env), dir: dir}, nil
}

// environ turns a map into what execve takes, in a fixed order.
func environ(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for _, key := range slices.Sorted(maps.Keys(env)) {
		list = append(list, key+"="+env[key])
	}
	return list
}

// commandError says why a command could not be executed; that is the container's own
// affair, and its result is an exit code, as in a shell.
type commandError struct {
	command string
	cause   error
}

func (e *commandError) Error() string {
	var errno unix.Errno
	if errors.As(e.cause, &errno) {
		return fmt.Sprintf("%s: %s", e.command, errno.Error())
	}
	return fmt.Sprintf("%s: %v", e.command, e.cause)
}

func (e *commandError) Unwrap() error { return e.cause }

func (e *commandError) exitCode() int {
	if errors.Is(e.cause, fs.ErrNotExist) || errors.Is(e.cause, unix.ENOTDIR) {
		return exitNotFound
	}
	return exitNotExecutable
}

// asCommandError sorts the errors of execve: those that come from the command from
// those of a machine that has no room for one more process.
func asCommandError(command string, err error) error {
	for _, machine := range []error{unix.EAGAIN, unix.ENOMEM, unix.EMFILE, unix.ENFILE, unix.EIO} {
		if errors.Is(err, machine) {
			return fmt.Errorf("could not execute %s: %w", command, err)
		}
	}
	return &commandError{command: command, cause: err}
}

// lookPath finds a program as execvp does: names without a slash in path, relative
// ones from dir.
func lookPath(name, path, dir string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	var denied error
	for _, entry := range filepath.SplitList(path) {
		if !filepath.IsAbs(entry) {
			entry = filepath.Join(dir, entry)
		}
		file := filepath.Join(entry, name)
		info, err := os.Stat(file)
		if err != nil || info.IsDir() {
			continue
		}
		if err := unix.Access(file, unix.X_OK); err != nil {
			denied = err
			continue
		}
		return file, nil
	}
	if denied != nil {
		return "", &commandError{command: name, cause: denied}
	}
	return "", &commandError{command: name, cause: notFound{}}
}

// notFound reads as shells put it.
type notFound struct{}

func (notFound) Error() string { return "command not found" }

// Is makes it fs.ErrNotExist.
func (notFound) Is(target error) bool { return target == fs.ErrNotExist }
