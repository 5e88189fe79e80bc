package output

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// flushSize is how many bytes are stored without waiting for more.
	flushSize = 1 << 20
	// flushDelay is how long a byte waits for more to be stored with it.
	flushDelay = 500 * time.Millisecond
	// maxPending is how many bytes are held in memory before Write blocks.
	maxPending = 4 << 20
)

// ErrClosed is what a Writer returns that was closed.
var ErrClosed = errors.New("the writer is closed")

// Writer appends to a stream. It keeps bytes in memory until they are worth a segment
// or flushDelay has passed, and stores them in the background; while the store fails
// it tries again, for as long as the context given to Resume lives. Its methods may be
// called concurrently. Close must be called.
type Writer struct {
	store  *Store
	stream Stream
	prefix string
	ctx    context.Context // of the background work
	cancel context.CancelFunc
	wake   chan struct{}  // there may be something to store
	done   chan struct{}  // the background work has ended
	merges sync.WaitGroup // a merge that runs; see compact.go

	mu       sync.Mutex
	base     int64 // the stream's offset of pending[0]: all before is stored
	pending  []byte
	since    time.Time     // when pending[0] was written, or later
	flushTo  int64         // what Flush waits for
	closed   bool          // no more is written
	failure  error         // of the last attempt to store, nil once one succeeds
	changed  chan struct{} // closed and replaced whenever base or failure changes
	segments []segment     // stored, contiguous, by start
	covered  []segment     // stored, and held by one of segments as well
	merging  bool
}

// Resume returns a writer for a stream and the offset at which it goes on: all bytes
// before it are stored, and the next byte written must be that of the offset. What is
// stored of an attempt of the same number on another instance is deleted. The writer
// works until it is closed or the context ends; then Write fails.
func (s *Store) Resume(ctx context.Context, stream Stream) (w *Writer, offset int64, err error) {
	prefix, err := stream.prefix()
	if err != nil {
		return nil, 0, err
	}
	found, err := s.segments(ctx, prefix, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("%v: find its end: %w", stream, err)
	}
	if found, err = s.replaceOthers(ctx, prefix, stream, found); err != nil {
		return nil, 0, err
	}
	w = &Writer{
		store: s, stream: stream, prefix: prefix,
		wake: make(chan struct{}, 1), done: make(chan struct{}), changed: make(chan struct{}),
		segments: contiguous(found, 0),
	}
	if n := len(w.segments); n > 0 {
		w.base = w.segments[n-1].end
	}
	w.covered = coveredBy(w.segments, found)
	w.ctx, w.cancel = context.WithCancel(ctx)
	go w.run()
	return w, w.base, nil
}

// replaceOthers deletes the segments that are of another attempt, and returns the rest.
func (s *Store) replaceOthers(ctx context.Context, prefix string, stream Stream, found []segment) ([]segment, error) {
	own := make([]segment, 0, len(found))
	for _, g := range found {
		if g.of(stream) {
			own = append(own, g)
			continue
		}
		if err := s.remove(ctx, prefix+g.name()); err != nil {
			return nil, fmt.Errorf("%v: replace that of instance %s: %w", stream, g.instance, err)
		}
	}
	return own, nil
}

// Write takes all of p, or fails because the writer was closed or its context ended.
// While too much is not stored yet, it blocks.
func (w *Writer) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		taken, changed, err := w.take(p)
		if err != nil {
			return n, fmt.Errorf("%v: write: %w", w.stream, err)
		}
		n += taken
		p = p[taken:]
		if taken > 0 {
			w.wakeUp()
			continue
		}
		select {
		case <-changed:
		case <-w.ctx.Done():
		}
	}
	return n, nil
}

// take keeps as much of p as there is room for.
func (w *Writer) take(p []byte) (n int, changed <-chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, nil, ErrClosed
	}
	if w.ctx.Err() != nil {
		return 0, nil, errors.Join(w.ctx.Err(), w.failure)
	}
	if len(w.pending) == 0 {
		w.since = time.Now()
	}
	n = min(len(p), maxPending-len(w.pending))
	w.pending = append(w.pending, p[:n]...)
	return n, w.changed, nil
}

// Offset returns the stream's offset of the next byte that Write takes. Up to
// maxPending of those before it are not stored yet.
func (w *Writer) Offset() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.base + int64(len(w.pending))
}

// Flush returns when all that was written before is stored. It fails, with what the
// store last said, when its context or that of the writer ends before.
func (w *Writer) Flush(ctx context.Context) error {
	target := w.Offset()
	for {
		w.mu.Lock()
		w.flushTo = max(w.flushTo, target)
		stored, changed, failure := w.base, w.changed, w.failure
		w.mu.Unlock()
		if stored >= target {
			return nil
		}
		w.wakeUp()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%v: flush: %w", w.stream, errors.Join(ctx.Err(), failure))
		case <-w.ctx.Done():
			return fmt.Errorf("%v: flush: %w", w.stream, errors.Join(w.ctx.Err(), failure))
		}
	}
}

// Close stores what is left, also when the context of the writer has ended, and ends
// the background work. It fails when its own context ends before all is stored; the
// rest is lost then, unless it is written again after Resume. Closing again does
// nothing.
func (w *Writer) Close(ctx context.Context) error {
	w.mu.Lock()
	again := w.closed
	w.closed = true
	w.mu.Unlock()
	if again {
		return nil
	}
	w.wakeUp()
	defer w.cancel()
	stop := context.AfterFunc(ctx, w.cancel)
	defer stop()
	<-w.done
	for w.Offset() > w.storedTo() {
		if !w.storeNext(ctx) {
			w.merges.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			return fmt.Errorf("%v: close: %d bytes are not stored: %w", w.stream, len(w.pending), errors.Join(ctx.Err(), w.failure))
		}
	}
	w.finishMerges()
	return nil
}

// Tail returns the last n bytes that were written, before or after Resume, stored or
// not, and whether there are more before them. It works on a closed writer as well.
func (w *Writer) Tail(ctx context.Context, n int) (tail []byte, truncated bool, err error) {
	w.mu.Lock()
	stored, pending := w.base, append([]byte(nil), w.pending...)
	w.mu.Unlock()
	start := max(0, stored+int64(len(pending)-max(n, 0)))
	tail, err = w.store.readRange(ctx, w.stream, start, stored)
	if err != nil {
		return nil, false, err
	}
	return append(tail, pending[max(0, start-stored):]...), start > 0, nil
}

func (w *Writer) storedTo() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.base
}

func (w *Writer) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default: // it will wake up already
	}
}
