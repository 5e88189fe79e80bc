package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"drover/internal/cloud/local"
)

const (
	lockName   = "dev.lock"
	tempPrefix = "drover-dev-"
	// leaving is how long the server and the worker of a drover dev that was killed
	// may take to end.
	leaving = 15 * time.Second
)

// errHeld says that somebody else has the lock, and errAlive that this is a drover dev
// that works.
var (
	errHeld  = errors.New("the lock is held")
	errAlive = errors.New("stop that one, or choose another directory")
)

// directory is the state directory, locked. The lock is inherited by the server and
// the worker, so that it is held until all of them have ended.
type directory struct {
	path      string
	temporary bool
	lock      *os.File
}

// openDirectory locks the given state directory, or a new temporary one when none is
// given.
func openDirectory(ctx context.Context, given string) (*directory, error) {
	if given == "" {
		return tempDirectory()
	}
	path, err := filepath.Abs(given)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("--state-dir: %w", err)
	}
	lock, err := awaitLock(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("--state-dir: %w", err)
	}
	return &directory{path: path, lock: lock}, nil
}

// tempDirectory makes a directory that nobody takes for a stale one.
func tempDirectory() (*directory, error) {
	for {
		path, err := os.MkdirTemp("", tempPrefix)
		if err != nil {
			return nil, fmt.Errorf("state directory: %w", err)
		}
		lock, err := tryLock(path)
		if errors.Is(err, errHeld) || errors.Is(err, fs.ErrNotExist) {
			continue // another one, starting now, took it for stale
		}
		if err != nil {
			return nil, err
		}
		return &directory{path: path, temporary: true, lock: lock}, nil
	}
}

// awaitLock locks a directory. When the drover dev that has it is dead, its children
// are given time to end.
func awaitLock(ctx context.Context, path string) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, leaving)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		lock, err := tryLock(path)
		if !errors.Is(err, errHeld) {
			return lock, err
		}
		pid := holder(path)
		if pid == 0 || alive(pid) {
			return nil, fmt.Errorf("%s is in use by another drover dev (process %d): %w", path, pid, errAlive)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%s is still in use by the server or the worker of a drover dev that is dead (process %d): end them, or choose another directory", path, pid)
		}
	}
}

// tryLock takes the lock of a directory and writes our process ID into it.
func tryLock(path string) (*os.File, error) {
	name := filepath.Join(path, lockName)
	lock, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(errHeld, lock.Close())
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), lock.Close())
	}
	ours, err := lock.Stat()
	if err == nil {
		var there fs.FileInfo
		if there, err = os.Stat(name); err == nil && !os.SameFile(ours, there) {
			err = errHeld
		}
	}
	if err == nil {
		err = lock.Truncate(0)
	}
	if err == nil {
		_, err = lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// holder returns the process that wrote itself into the lock, or 0.
func holder(path string) int {
	data, err := os.ReadFile(filepath.Join(path, lockName))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return pid
}

func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// instances is where the local driver keeps instances by default.
func (d *directory) instances() string { return filepath.Join(d.path, "instances") }

// close ends the use of the directory, and removes it if it is temporary. The server
// and the worker must have ended.
func (d *directory) close() error {
	var err error
	if d.temporary {
		err = os.RemoveAll(d.path)
	}
	return errors.Join(err, d.lock.Close())
}

// sweep destroys what drover devs that were killed have left in temporary
// directories. What can't be removed is said and left.
func sweep(ctx context.Context, stderr io.Writer) {
	found, err := filepath.Glob(filepath.Join(os.TempDir(), tempPrefix+"*"))
	if err != nil {
		return // the pattern is constant
	}
	for _, path := range found {
		if err := sweepOne(ctx, path); err != nil {
			fmt.Fprintf(stderr, "drover: %s is left from a drover dev that was killed: %v\n", path, err)
		}
	}
}

// sweepOne destroys the instances of a stale directory and removes it.
func sweepOne(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return nil // gone meanwhile, or not ours
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Getuid() {
		return nil
	}
	lock, err := awaitLock(ctx, path)
	if errors.Is(err, errAlive) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	stale := &directory{path: path, temporary: true, lock: lock}
	if err := local.DestroyAll(ctx, stale.instances()); err != nil {
		return errors.Join(err, lock.Close())
	}
	return stale.close()
}
