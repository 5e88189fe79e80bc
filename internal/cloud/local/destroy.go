package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"drover/internal/cloud"
	"drover/internal/pause"

	"golang.org/x/sys/unix"
)

const (
	// destroyPatience is how long Destroy goes on killing before it returns an error,
	// lookPatience how long Get and List do for an instance that died.
	destroyPatience = 5 * time.Second
	lookPatience    = 500 * time.Millisecond

	reasonDestroyed = "destroyed"
	reasonDied      = "the instance's process died"
)

// errRunning says which processes of an instance did not end.
type errRunning []process

// Error names the first of the processes.
func (e errRunning) Error() string {
	return fmt.Sprintf("%d of its processes do not end, such as %d", len(e), e[0].pid)
}

// Destroy ends an instance as cloud.Driver says: it kills every process of it,
// removes every file, and returns when that is done, usually after a few hundredths
// of a second. When it returns an error the instance is Terminating.
func (d *Driver) Destroy(ctx context.Context, name string) error {
	op := "destroy instance " + name
	if err := ctx.Err(); err != nil {
		return fail(op, "", err)
	}
	if !instanceName.MatchString(name) {
		return nil // never was
	}
	patient, cancel := context.WithTimeout(ctx, destroyPatience)
	defer cancel()
	if err := d.end(patient, name, reasonDestroyed); err != nil {
		if ctx.Err() == nil && patient.Err() != nil {
			err = fmt.Errorf("gave up after %v: %w", destroyPatience, withoutContext(err))
		}
		return fail(op, "", err)
	}
	if err := d.prune(time.Now()); err != nil {
		return fail(op, "", err)
	}
	return nil
}

// withoutContext returns err so that it is no longer the context's own, which would
// read as if the caller's had ended.
func withoutContext(err error) error {
	if running := (errRunning)(nil); errors.As(err, &running) {
		return running
	}
	return errors.New(err.Error())
}

// end kills the processes of an instance, remembers that it has ended and removes
// it. It tries until the context ends. What a worker that dies in here leaves is
// Terminating, and for the next one to end.
func (d *Driver) end(ctx context.Context, name, reason string) error {
	directory := d.path(name)
	err := markTerminating(directory, reason)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone
	}
	if err != nil {
		return err
	}
	alive, err := killForGood(ctx, directory)
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	var trash string
	err = d.withFleetLock(ctx, func() error {
		trash, err = d.remove(name, reason)
		return err
	})
	// The lock is held until the instance is out of sight, so that nobody starts it.
	if err := errors.Join(err, alive.Close()); err != nil {
		return err
	}
	reapChildren()
	return removeTree(trash)
}

// markTerminating records that the instance is to end, and why, unless that is on
// record already.
func markTerminating(directory, reason string) error {
	path := filepath.Join(directory, terminatingFile)
	if found, err := exists(path); found || err != nil {
		return err
	}
	return writeFile(path, []byte(reason+"\n"))
}

// killForGood kills every process of an instance that is marked as terminating, and
// returns holding the lock of lockAlive: no process is left then, and none can be
// started.
func killForGood(ctx context.Context, directory string) (*os.File, error) {
	m := markOf(directory)
	for {
		left, err := m.sweep(ctx)
		if err != nil {
			return nil, err
		}
		alive, err := lockAlive(directory)
		if err == nil {
			return alive, closeOnError(alive, m.killAll(ctx))
		}
		if !errors.Is(err, errHeld) {
			return nil, err
		}
		if err := pause.For(ctx, lockPoll); err != nil {
			if len(left) > 0 {
				err = errors.Join(errRunning(left), err)
			}
			return nil, fmt.Errorf("another process holds on to it: %w", err)
		}
	}
}

func closeOnError(f *os.File, err error) error {
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// killAll kills the processes that bear the mark until there are none.
//
// A single scan that finds none is not enough: it goes through /proc by number, and
// a process may have made a child with a lower number and ended while it did.
func (m mark) killAll(ctx context.Context) error {
	for clean := 0; clean < 2; {
		left, err := m.sweep(ctx)
		switch {
		case err != nil:
			return err
		case len(left) == 0:
			clean++
		case ctx.Err() != nil:
			return errors.Join(errRunning(left), ctx.Err())
		default:
			clean = 0
		}
	}
	return nil
}

// sweep kills the processes that bear the mark, waits a moment for each to end, and
// returns them.
func (m mark) sweep(ctx context.Context) ([]process, error) {
	found, err := m.scan()
	if err != nil {
		return nil, err
	}
	// The oldest is the instance itself: when it has ended, nobody hears what the others
	// would have to say about the end of their children.
	slices.SortFunc(found, func(a, b process) int { return cmp.Compare(a.start, b.start) })
	var handles []*os.File
	for k, p := range found {
		handle, killErr := p.kill()
		err = errors.Join(err, killErr)
		if handle == nil {
			continue
		}
		handles = append(handles, handle)
		if k == 0 && ctx.Err() == nil {
			err = errors.Join(err, waitReadable(handle, 50*time.Millisecond))
		}
	}
	for _, handle := range handles {
		if ctx.Err() == nil {
			err = errors.Join(err, waitReadable(handle, 50*time.Millisecond))
		}
		err = errors.Join(err, handle.Close())
	}
	return found, err
}

// waitReadable waits until f polls as readable, or for that long.
func waitReadable(f *os.File, atMost time.Duration) error {
	poll := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	_, err := unix.Poll(poll, int(atMost.Milliseconds()))
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}

// remove takes an instance that has ended out of sight, and returns where to. The
// caller holds the fleet's lock.
func (d *Driver) remove(name, reason string) (string, error) {
	seen, err := d.inspect(name)
	if err != nil {
		return "", err
	}
	last := seen.Instance
	last.State, last.Address, last.Port = cloud.Terminated, "", 0
	if last.Reason == "" {
		last.Reason = reason
	}
	if err := d.bury(last); err != nil {
		return "", err
	}
	trash, err := os.MkdirTemp(d.fleet, trashPrefix)
	if err != nil {
		return "", err
	}
	return trash, os.Rename(d.path(name), filepath.Join(trash, name))
}
