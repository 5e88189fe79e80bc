package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"drover/internal/api"
	"drover/internal/output"
)

const (
	// readEvery is how often output is looked for while a container runs, in a
	// directory of this machine, and farAway in other stores.
	readEvery = 150 * time.Millisecond
	farAway   = 500 * time.Millisecond
	// attemptEvery is after how many looks a later attempt is looked for.
	attemptEvery = 5
)

// openOutput opens the output store of a fleet, if it can be reached from this
// machine; near says that it is a directory of this machine.
func (s *Session) openOutput(ctx context.Context, fleet string) (store *output.Store, near bool, err error) {
	state, err := s.lastFleetState(ctx, fleet)
	if err != nil {
		return nil, false, err
	}
	return openStore(ctx, state.OutputStore)
}

// lastFleetState returns the state of a fleet, also of one that has been deleted.
func (s *Session) lastFleetState(ctx context.Context, fleet string) (api.FleetState, error) {
	if running, err := s.FleetRuns(ctx, fleet); err != nil || running {
		if err != nil {
			return api.FleetState{}, err
		}
		return s.FleetState(ctx, fleet)
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var state api.FleetState
	err := s.Client.GetWorkflow(ctx, api.FleetWorkflowID(fleet), "").Get(ctx, &state)
	if isNotFound(err) {
		return state, s.noFleet(ctx, fleet)
	}
	if err != nil {
		return state, fmt.Errorf("fleet %s: %s", fleet, reason(err))
	}
	return state, nil
}

// openStore opens the store at a URL. A directory that is not there is one of another
// machine.
func openStore(ctx context.Context, address string) (store *output.Store, near bool, err error) {
	if address == "" {
		return nil, false, errors.New("the fleet has no output store yet: no worker has prepared it")
	}
	if u, err := url.Parse(address); err == nil && u.Scheme == "file" {
		near = true
		if _, err := os.Stat(u.Path); err != nil {
			return nil, near, fmt.Errorf("the output store %s can't be reached from this machine: %w", address, err)
		}
	}
	store, err = output.Open(ctx, address)
	return store, near, err
}

// reader reads the output of a container that runs.
type reader struct {
	follower *Follower
	running  chan struct{} // closed when there can be output
	once     sync.Once
	broken   chan error // why output can't be written

	// These are run's while it runs, and finish's then.
	store   *output.Store
	near    bool  // the store is on this machine
	failed  error // why there is no store
	attempt int   // that is being read; 0: none yet
	offset  int64
}

// begin says that there can be output.
func (r *reader) begin() { r.once.Do(func() { close(r.running) }) }

func (r *reader) begun() bool {
	select {
	case <-r.running:
		return true
	default:
		return false
	}
}

// run shows output as it is written, until ctx ends.
func (r *reader) run(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-r.running:
	}
	if !r.open(ctx) {
		if ctx.Err() == nil {
			r.follower.Screen.Note(fmt.Sprintf("drover: %s: no output is shown before the end: %v", r.follower.Container.ID, r.failed))
		}
		return
	}
	every := farAway
	if r.near {
		every = readEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for look := 0; ; look++ {
		var err error
		if look%attemptEvery == 0 || r.attempt == 0 {
			err = r.advance(ctx)
		}
		if err == nil {
			err = r.read(ctx)
		}
		if errors.Is(err, errUnwritable) {
			r.broken <- err
			return
		}
		// Any other error is the store's; it is tried again, and finish says so if it
		// lasts.
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// open opens the store, unless that has failed before.
func (r *reader) open(ctx context.Context) bool {
	if r.store != nil || r.failed != nil {
		return r.store != nil
	}
	store, near, err := r.follower.Session.openOutput(ctx, r.follower.Container.Fleet)
	if ctx.Err() != nil {
		return false
	}
	r.store, r.near, r.failed = store, near, err
	return err == nil
}

// advance goes on with a later attempt, if there is one: the machine has failed the
// one before.
func (r *reader) advance(ctx context.Context) error {
	if r.follower.Attempt != 0 {
		r.attempt = r.follower.Attempt
		return nil
	}
	c := r.follower.Container
	attempts, err := r.store.Attempts(ctx, c.Fleet, c.ID)
	if err != nil || len(attempts) == 0 {
		return err
	}
	last := attempts[len(attempts)-1]
	if last <= r.attempt {
		return nil
	}
	if r.attempt != 0 {
		if err := r.read(ctx); err != nil {
			return err
		}
	}
	r.goTo(last)
	return nil
}

// goTo begins with the output of an attempt, and says so if it is not the first that
// is shown.
func (r *reader) goTo(attempt int) {
	if r.attempt != 0 && attempt != r.attempt {
		r.follower.Screen.Note(fmt.Sprintf("%s: the machine failed attempt %d: this is the output of attempt %d", r.follower.Container.ID, r.attempt, attempt))
	}
	if attempt != r.attempt {
		r.attempt, r.offset = attempt, 0
	}
}

// read shows what is new of the attempt.
func (r *reader) read(ctx context.Context) error {
	if r.attempt == 0 {
		return nil
	}
	c := r.follower.Container
	out := &checkedWriter{to: r.follower.Screen}
	next, err := r.store.Read(ctx, output.Stream{Fleet: c.Fleet, Container: c.ID, Attempt: r.attempt}, out, r.offset)
	r.offset = next
	return cmp.Or(out.err, err)
}

// finish shows the rest of the output of a container that has ended.
func (r *reader) finish(ctx context.Context, e Ending) error {
	if e.Result != nil && (r.follower.Attempt == 0 || r.follower.Attempt == e.Result.Attempts) {
		r.goTo(e.Result.Attempts)
		if whole, ok := exact(e.Result); ok && r.offset <= int64(len(whole)) {
			return r.write(whole[r.offset:])
		}
	}
	if e.Result == nil && r.store == nil && !r.begun() {
		return nil // it never ran
	}
	err := r.rest(ctx)
	if err == nil || errors.Is(err, errUnwritable) {
		return err
	}
	return r.tail(e, err)
}

// rest reads what is left in the store.
func (r *reader) rest(ctx context.Context) error {
	if !r.open(ctx) {
		return cmp.Or(r.failed, ctx.Err())
	}
	if r.attempt == 0 {
		if err := r.advance(ctx); err != nil {
			return err
		}
	}
	return r.read(ctx)
}

// tail shows what the result has of the output, because the store is out of reach.
func (r *reader) tail(e Ending, why error) error {
	if e.Result == nil {
		return nil
	}
	r.follower.Screen.Note(fmt.Sprintf("drover: %s: only the end of the output is shown: %v", r.follower.Container.ID, why))
	return r.write(e.Result.Output)
}

// missing is the error for an attempt that has no output.
func (r *reader) missing(ctx context.Context) error {
	if r.store == nil || r.offset > 0 {
		return nil
	}
	attempts, err := r.store.Attempts(ctx, r.follower.Container.Fleet, r.follower.Container.ID)
	if err != nil || slices.Contains(attempts, r.follower.Attempt) {
		return err
	}
	return fmt.Errorf("attempt %d has none; attempts that have: %v", r.follower.Attempt, attempts)
}

// close releases the store. Nothing is read any more.
func (r *reader) close() {
	if r.store == nil {
		return
	}
	if err := r.store.Close(); err != nil {
		r.follower.Screen.Note("drover: " + err.Error())
	}
}

func (r *reader) write(text string) error {
	if text == "" {
		return nil
	}
	_, err := io.WriteString(&checkedWriter{to: r.follower.Screen}, text)
	return err
}

// errUnwritable says that output can't be written: whoever reads it is gone.
var errUnwritable = errors.New("the output can't be written")

// checkedWriter tells a writer's errors from those of what is copied to it.
type checkedWriter struct {
	to  io.Writer
	err error
}

// Write fails with errUnwritable.
func (w *checkedWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if err != nil {
		w.err = fmt.Errorf("%w: %w", errUnwritable, err)
	}
	return n, w.err
}
