package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// turn is a container's waiting for others, as its supervisor sees it.
type turn struct {
	after []string // their IDs; none: it need not wait
	wake  *os.File // the record's `waiting`, a named pipe, by which who revokes it says so
	// goesDown has the SIGTERM that a machine sends to everything when it goes down. Then the
	// containers before this one end, but it is no time to begin.
	goesDown chan os.Signal
}

// takeTurn makes the turn of a container whose record is being made in dir.
func takeTurn(dir string, m *meta) (t turn, err error) {
	if len(m.After) == 0 {
		return t, nil
	}
	if m.Boot, err = bootID(); err != nil {
		return t, err
	}
	path := filepath.Join(dir, waitingFile)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return t, &fs.PathError{Op: "make named pipe", Path: path, Err: err}
	}
	// For writing, too: it does not come to an end when a writer closes it.
	wake, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	t = turn{after: m.After, wake: wake, goesDown: make(chan os.Signal, 1)}
	signal.Notify(t.goesDown, unix.SIGTERM)
	return t, err
}

// runInTurn runs the container when its turn has come.
func (s *supervisor) runInTurn(others store) storedResult {
	if len(s.turn.after) > 0 {
		now, err := s.awaitTurn(others)
		if now != begins {
			_, closeErr := s.out.close()
			complain(closeErr) // nothing was written to it
			if err != nil {
				return notBegun(Result{Error: err.Error()})
			}
			return notBegun(whyNotBegun(now))
		}
	}
	return s.run()
}

// awaitTurn blocks until the container begins or is revoked. It returns waits, with an
// error, when neither can be.
func (s *supervisor) awaitTurn(others store) (fate, error) {
	over := make(chan struct{})
	defer close(over)
	defer release(s.turn.wake)
	ended := make(chan error, len(s.turn.after))
	for _, id := range s.turn.after {
		go func() { ended <- others.record(id).awaitEnd(over) }()
	}
	woken := make(chan error, 1)
	go func() { woken <- s.awaitRevoked() }()
	atPoint("after/waiting")
	var failed []error
	for len(failed) < len(s.turn.after) {
		select {
		case err := <-woken:
			if err == nil {
				return revoked, nil
			}
			complain(err) // whether it was revoked is looked at when it is about to begin
			woken = nil
		case <-s.turn.goesDown:
			return s.giveUp()
		case err := <-ended:
			switch {
			case err != nil:
				failed = append(failed, err)
			case len(s.turn.goesDown) > 0:
				return s.giveUp()
			default:
				return s.begin()
			}
		}
	}
	return waits, fmt.Errorf("cannot tell when the containers before it end: %w", errors.Join(failed...))
}

// awaitRevoked blocks until the container is revoked, or what it is told by is closed.
func (s *supervisor) awaitRevoked() error {
	var told [16]byte
	for {
		if _, err := s.turn.wake.Read(told[:]); err != nil {
			return err
		}
		if there, err := s.rec.has(revokedFile); there || err != nil {
			return err
		}
	}
}

// begin decides that the container begins, unless it was revoked before.
func (s *supervisor) begin() (fate, error) {
	err := os.Remove(s.rec.path(waitingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return revoked, nil
	}
	if err != nil {
		return waits, err
	}
	atPoint("after/begun")
	return begins, nil
}

// errGoesDown: the container has not begun and will not.
var errGoesDown = errors.New("the machine went down before the container began")

// giveUp sees to it that the container never begins, as if it were revoked. It is none that
// somebody has wanted, so that the container counts as tried.
func (s *supervisor) giveUp() (fate, error) {
	_, err := s.rec.revoke()
	return waits, errors.Join(errGoesDown, err)
}
