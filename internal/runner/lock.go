package runner

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// takeLock opens a lock file for writing, making it if need be, and locks it
// exclusively; how may add LOCK_NB. The lock lasts until the last duplicate of the
// file's descriptor is closed, here or in a process that inherited it.
func takeLock(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, unix.LOCK_EX|how); err != nil {
		return nil, errors.Join(&fs.PathError{Op: "lock", Path: path, Err: err}, f.Close())
	}
	return f, nil
}

// isLocked tells whether someone holds the lock file exclusively. A file that is
// not there is not locked.
func isLocked(path string) (bool, error) {
	err := passLock(path, unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// awaitUnlocked blocks until nobody holds the lock file exclusively.
func awaitUnlocked(path string) error { return passLock(path, 0) }

// passLock takes a shared lock and gives it back. The file is opened for reading
// only: its being closed must not wake those who watch for a supervisor's end.
func passLock(path string, how int) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(flock(f, unix.LOCK_SH|how), f.Close())
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
