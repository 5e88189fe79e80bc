package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// list prints one line per container that runs, and `broken` if this instance cannot
// run containers.
func (s store) list(w io.Writer) error {
	if broken, err := s.broken(); err != nil {
		return err
	} else if broken {
		if _, err := fmt.Fprintln(w, "broken"); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(s.containers())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if !validID.MatchString(e.Name()) {
			continue
		}
		state, err := s.record(e.Name()).state()
		complain(err)
		line := ""
		switch {
		case err != nil, state == stale: // a record that cannot be read: nobody looks after it
			line = e.Name() + " stale\n"
		case state == running:
			line = e.Name() + "\n"
		}
		if _, err := io.WriteString(w, line); err != nil {
			return err
		}
	}
	return nil
}

// broken tells whether a health check has said so, or the state directory can only be read.
func (s store) broken() (bool, error) {
	_, err := os.Lstat(filepath.Join(s.root, "broken"))
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return errors.Is(unix.Access(s.root, unix.W_OK), unix.EROFS), nil
}

// leftoverInterval is how often to look whether what a dead supervisor left has ended:
// nothing tells.
const leftoverInterval = 250 * time.Millisecond

// wait blocks until the container has ended.
func (s store) wait(id string) (Result, error) {
	rec := s.record(id)
	for {
		// Also when there is a result: the supervisor lets go once it is on disk for good.
		if err := awaitUnlocked(rec.path(lockFile)); err != nil {
			return Result{}, err
		}
		state, err := rec.state()
		if err != nil {
			return Result{}, err
		}
		switch state {
		case unknown:
			return Result{}, errUnknownID
		case ended:
			res, _, err := rec.result()
			return res.Result, err
		case lost:
			err = rec.settle()
		case stale:
			err = rec.awaitLeftovers()
		case running: // another call settles it
		}
		if err != nil {
			return Result{}, err
		}
	}
}

// awaitLeftovers blocks until what a dead supervisor left may have ended.
func (r record) awaitLeftovers() error {
	locked, err := isLocked(r.path(heldFile))
	if err != nil {
		return err
	}
	if locked {
		return awaitUnlocked(r.path(heldFile))
	}
	time.Sleep(leftoverInterval) // no event says when those are gone that dropped the lock
	return nil
}

// printResult prints the line that `wait` promises.
func printResult(w io.Writer, res Result) error {
	data, err := json.Marshal(res)
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// logs prints the output from offset on; with follow, until the container has ended and
// all is printed.
func (s store) logs(w *os.File, id string, offset int64, follow bool) error {
	rec := s.record(id)
	if state, err := rec.state(); err != nil {
		return err
	} else if state == unknown {
		return errUnknownID
	}
	stream, err := openStream(rec)
	if err != nil {
		return err
	}
	defer release(stream)
	var watch *watcher
	if follow {
		watch = newWatcher(rec, w)
		defer watch.close()
	}
	return stream.print(w, offset, watch)
}

// print prints the stream from offset on; with a watcher, until the container has ended
// and all is printed.
func (s *stream) print(w io.Writer, offset int64, watch *watcher) error {
	for {
		state, err := s.rec.state() // before copying: what was written before the end is copied after it
		if err != nil {
			return err
		}
		done := state == ended || state == lost
		n, err := s.copy(w, offset, done)
		offset += n
		if err != nil || done || watch == nil {
			return err
		}
		limit := safetyInterval
		if state == stale {
			limit = leftoverInterval
		}
		if err := watch.wait(limit); err != nil {
			return err
		}
	}
}
