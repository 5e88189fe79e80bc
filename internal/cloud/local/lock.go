package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"drover/internal/pause"
)

const lockFile = ".lock"

// lockPoll is how often a lock that somebody else holds is tried again. Polling,
// unlike a blocking lock, gives up with the context when the holder hangs.
const lockPoll = 2 * time.Millisecond

var (
	errHeld = errors.New("locked by somebody else")
	errGone = errors.New("the instance's directory is gone")
)

// withFleetLock calls do while no other worker creates, tags or removes an
// instance of the fleet. The kernel releases the lock of a worker that dies.
func (d *Driver) withFleetLock(ctx context.Context, do func() error) (err error) {
	f, err := os.OpenFile(filepath.Join(d.fleet, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for {
		err := setLock(f)
		if err == nil {
			return do()
		}
		if !errors.Is(err, errHeld) {
			return fmt.Errorf("lock fleet %s: %w", d.config.Fleet, err)
		}
		if err := pause.For(ctx, lockPoll); err != nil {
			return err
		}
	}
}

// lockAlive takes the lock that the instance's process holds while it lives. The
// error is errHeld when it lives (or is being started, or destroyed, by another
// worker), and errGone when the instance is gone.
//
// It is a lock of the open file, not of the process: a process that is started
// with the file open holds it from its very first instruction to its last, and
// there is no moment at which the death of the starter opens it for a second start.
func lockAlive(directory string) (*os.File, error) {
	path := filepath.Join(directory, aliveFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrNotExist) { // the directory
		return nil, errGone
	}
	if err != nil {
		return nil, err
	}
	if err := setLock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	same, err := isAt(f, path)
	if err == nil && !same {
		err = errGone
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// isAlive reports whether somebody holds the lock of lockAlive, without taking it.
func isAlive(directory string) (alive bool, err error) {
	f, err := os.OpenFile(filepath.Join(directory, aliveFile), os.O_RDWR, 0)
	if err != nil {
		return false, ignoreMissing(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
		return false, fmt.Errorf("look at the lock of %s: %w", f.Name(), err)
	}
	return lock.Type != unix.F_UNLCK, nil
}

// isAt reports whether f is the file that is at path now.
func isAt(f *os.File, path string) (bool, error) {
	now, err := os.Stat(path)
	if err != nil {
		return false, ignoreMissing(err)
	}
	own, err := f.Stat()
	if err != nil {
		return false, err
	}
	return os.SameFile(own, now), nil
}

// setLock locks f, or returns errHeld at once.
func setLock(f *os.File) error {
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return errHeld
	}
	return err
}
