package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// argvPrefix begins the name by which ps shows an instance's process, and tells
	// that process what it is.
	argvPrefix = "drover-instance: "
	// markVariable is in the environment of all that runs on an instance: the
	// instance's directory.
	markVariable = "DROVER_LOCAL_INSTANCE"
	// aliveDescriptor is where the instance's process finds the lock of lockAlive.
	aliveDescriptor = 3
)

// errUnprepared is why spawn refuses to start a program that would not become an
// instance but run as itself once more, and create instances in its turn.
var errUnprepared = errors.New("this program does not call local.RunIfInstance first thing in main")

// prepared: RunIfInstance was called.
var prepared atomic.Bool

// start starts the process of an instance, unless it was ever started before or is
// to end. The title is what ps shows.
func start(directory, title string) (err error) {
	reapChildren()
	alive, err := lockAlive(directory)
	if errors.Is(err, errHeld) || errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, alive.Close()) }()
	for _, file := range []string{pidFile, terminatingFile} {
		if found, err := exists(filepath.Join(directory, file)); found || err != nil {
			return err
		}
	}
	pid, err := spawn(directory, title, alive)
	if err != nil {
		return fmt.Errorf("start the instance's process: %w", err)
	}
	return writePID(directory, pid)
}

// spawn starts the process, in a session of its own, with no open file of ours but
// the lock.
func spawn(directory, title string, alive *os.File) (pid int, err error) {
	if !prepared.Load() {
		return 0, errUnprepared
	}
	console, err := os.OpenFile(filepath.Join(directory, consoleFile), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, console.Close()) }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, null.Close()) }()
	pid, err = syscall.ForkExec("/proc/self/exe", []string{argvPrefix + title}, &syscall.ProcAttr{
		Dir:   directory,
		Env:   []string{markVariable + "=" + directory, "PATH=" + searchPath},
		Files: []uintptr{null.Fd(), console.Fd(), console.Fd(), alive.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, err
	}
	children.Store(pid, struct{}{})
	return pid, nil
}

// children has the IDs of the processes that this process has started and not yet
// reaped. Nobody waits for them: that would take a thread for each, for as long as
// an instance lives. They are reaped when the driver is next called.
var children sync.Map

// reapChildren lets go of what is left of instances that have ended.
func reapChildren() {
	children.Range(func(key, _ any) bool {
		pid, ok := key.(int)
		if reaped, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); ok && (reaped == pid || errors.Is(err, unix.ECHILD)) {
			children.Delete(pid)
		}
		return true
	})
}
