package runner

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// killWait is how long `kill` gives a container to end before it says that it still
	// runs.
	killWait = time.Second
	// launchInterval is how often to look for the processes of a container that is just
	// being launched, or for what is left of one without a supervisor.
	launchInterval = 20 * time.Millisecond
)

// parseSignal reads TERM, SIGTERM or 15.
func parseSignal(name string) (unix.Signal, error) {
	if n, err := strconv.Atoi(name); err == nil {
		if n > 0 && n <= 64 {
			return unix.Signal(n), nil
		}
	} else if n := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG")); n != 0 {
		return n, nil
	}
	return 0, fmt.Errorf("%q is no signal; allowed: a name such as TERM, or 1 to 64", name)
}

// kill signals all processes of a container once, and tells whether it still runs a
// moment later. A container that has never started will not: its ID is taken from now on.
// Nor will one that waits for others.
func (s store) kill(id string, sig unix.Signal) (runs bool, err error) {
	rec := s.record(id)
	if err := s.fenceUnlessKnown(rec, Result{Error: "killed before it started"}); err != nil {
		return true, err
	}
	if never, err := rec.revoke(); err != nil {
		return true, err
	} else if never {
		_, err = s.wait(id)
		return false, err
	}
	watch := newWatcher(rec, nil)
	defer watch.close()
	signalled := false
	for deadline := time.Now().Add(killWait); ; {
		state, err := rec.state()
		if err != nil {
			return true, err
		}
		switch state {
		case lost:
			return false, rec.settle()
		case ended:
			return false, nil
		case unknown: // someone removes records by hand
			return false, errUnknownID
		case running, stale:
		}
		if !signalled {
			if signalled, err = rec.signal(state, sig); err != nil {
				return true, err
			}
		}
		left := time.Until(deadline)
		if left <= 0 {
			return true, nil
		}
		if !signalled || state == stale {
			left = min(left, launchInterval)
		}
		if err := watch.wait(left); err != nil {
			return true, err
		}
	}
}

// fenceUnlessKnown sees to it that the container is on record; if it was not, with why as
// its result.
func (s store) fenceUnlessKnown(rec record, why Result) error {
	state, err := rec.state()
	if err != nil || state != unknown {
		return err
	}
	if err := s.fence(rec.id, why); !errors.Is(err, errTaken) {
		return err
	}
	return nil // it has started in between
}

// signal signals a container that is running or stale; false when it has no process yet.
func (r record) signal(state state, sig unix.Signal) (bool, error) {
	m, err := r.meta()
	if err != nil {
		return false, err
	}
	if m.Spec.Engine != EngineProcess {
		if done, err := signalEngine(r, m.Spec, sig); done || err != nil {
			return done, err
		}
	}
	var all []process
	if state == running {
		all, err = descendants(m.Supervisor)
	} else {
		all, err = r.leftovers()
	}
	if err != nil {
		return false, err
	}
	return len(all) > 0, signalAll(all, sig)
}
