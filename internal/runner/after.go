package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A container that is put on record after others waits for its turn: it begins when one of
// them has ended. Whether it begins or is revoked is decided by what becomes of one name in
// its record, `waiting`: its supervisor removes it to begin, and whoever revokes the
// container renames it to `revoked`. Only one of the two can succeed.
const (
	waitingFile = "waiting"
	revokedFile = "revoked"
	bootIDPath  = "/proc/sys/kernel/random/boot_id"
)

// onRecordWithin is how long one that waits gives another to be put on record. Whoever has
// it wait revokes it when that one never will be, unless all that know of it are gone. Tests
// shorten it.
var onRecordWithin = 10 * time.Minute

// fate is what is decided about the beginning of a container that is on record.
type fate int

const (
	begins  fate = iota // it has begun, or may have; so has any that does not wait
	waits               // nothing is decided
	revoked             // it never will
)

// fate looks at the record. What it says is true for good, unless it is waits; with an error it
// is begins.
func (r record) fate() (fate, error) {
	// In this order: the name goes from the first to the second.
	there, err := r.has(waitingFile)
	if err != nil {
		return begins, err
	}
	if !there {
		there, err = r.has(revokedFile)
		if there {
			return revoked, nil
		}
		return begins, err
	}
	m, err := r.meta()
	if errors.Is(err, fs.ErrNotExist) {
		return begins, nil // it was forgotten meanwhile; its result tells
	}
	if err != nil {
		return begins, err
	}
	// The name's removal is not synced, since that would keep the container waiting: a
	// power cut may bring the name of one that has begun back.
	boot, err := bootID()
	if err != nil || m.Boot != boot {
		return begins, err
	}
	return waits, nil
}

// bootID names the time since this machine was started.
func bootID() (string, error) {
	data, err := os.ReadFile(bootIDPath)
	return strings.TrimSpace(string(data)), err
}

// revoke keeps a container on record from beginning; false when it was too late for that.
// When it was not, the container has a result in a moment.
func (r record) revoke() (bool, error) {
	for {
		now, err := r.fate()
		if err != nil || now == begins {
			return false, err
		}
		if now == revoked {
			return true, r.wakeRevoked()
		}
		err = os.Rename(r.path(waitingFile), r.path(revokedFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		atPoint("revoke/decided")
	}
}

// wakeRevoked tells the supervisor of a revoked container, if there still is one.
func (r record) wakeRevoked() error {
	f, err := os.OpenFile(r.path(revokedFile), os.O_WRONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENXIO) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.Write([]byte{'.'})
	if errors.Is(err, unix.EPIPE) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// errBegun: it is too late to revoke the container.
var errBegun = errors.New("the container has begun")

// revoke sees to it that a container that has not begun never will, and returns when it has
// a result; with errBegun when it has begun.
func (s store) revoke(id string) error {
	rec := s.record(id)
	if err := s.fenceUnlessKnown(rec, whyNotBegun(revoked)); err != nil {
		return err
	}
	never, err := rec.revoke()
	if err != nil {
		return err
	}
	if never {
		_, err = s.wait(id)
		return err
	}
	res, _, err := rec.result()
	if err == nil && !res.NeverStarted {
		err = errBegun
	}
	return err
}

// whyNotBegun says what kept a container from beginning whose supervisor has gone, or will.
func whyNotBegun(decided fate) Result {
	if decided == revoked {
		return Result{Error: "revoked before it began", Revoked: true}
	}
	return Result{Error: "the supervisor of this container died before the container began"}
}

// notBegun is the result of a container that has not begun and will not.
func notBegun(why Result) storedResult {
	why.ExitCode = ExitUnknown
	why.StartedAt = time.Now().UTC()
	why.FinishedAt = why.StartedAt
	return storedResult{Result: why, NeverStarted: true}
}

// awaitEnd blocks until the container has ended, whatever became of its supervisor. It takes
// no other lock than shared ones, for an instant each, and only when whoever held them has
// let go for good. It stops looking when over is closed, if not before the next change.
// One that is not on record will be: a container that has ended stays there.
func (r record) awaitEnd(over <-chan struct{}) error {
	for since := time.Now(); ; {
		if err := awaitUnlocked(r.path(lockFile)); err != nil {
			return err
		}
		select {
		case <-over:
			return nil
		default:
		}
		state, err := r.state()
		switch {
		case err != nil || state == ended || state == lost:
			return err
		case state == unknown && time.Since(since) > onRecordWithin:
			return fmt.Errorf("container %s is not on record after %v", r.id, onRecordWithin)
		case state == unknown:
			// Its own call comes later than that of the one that waits, which is rare and soon
			// over. Nothing but a watch of the directory would tell, which is slow to close.
			select {
			case <-over:
				return nil
			case <-time.After(launchInterval):
			}
		case state == stale:
			if err := r.awaitLeftovers(); err != nil {
				return err
			}
		}
	}
}
