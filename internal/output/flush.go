package output

import (
	"context"
	"fmt"
	"time"

	"drover/internal/pause"
)

const (
	// retryFirst and retryMost bound the pause after a failed attempt to store, which
	// doubles each time.
	retryFirst = 50 * time.Millisecond
	retryMost  = 2 * time.Second
	// putTimeout is when a request that does not come back counts as failed.
	putTimeout = time.Minute
)

// run stores what is written until the writer is closed or its context ends.
func (w *Writer) run() {
	defer close(w.done)
	for w.await() {
		if !w.storeNext(w.ctx) {
			return
		}
		w.startMerge()
	}
}

// await blocks until bytes are to be stored. It returns false when there will be none
// any more, or the context has ended.
func (w *Writer) await() bool {
	var timer <-chan time.Time
	late := false
	for w.ctx.Err() == nil {
		w.mu.Lock()
		n, since, closed := len(w.pending), w.since, w.closed
		hurry := closed || late || w.flushTo > w.base
		w.mu.Unlock()
		switch {
		case n >= flushSize || n > 0 && hurry:
			return true
		case closed:
			return false
		case n > 0 && timer == nil:
			timer = time.After(time.Until(since.Add(flushDelay)))
		}
		select {
		case <-w.wake:
		case <-timer:
			late = true
		case <-w.ctx.Done():
		}
	}
	return false
}

// storeNext stores what is pending as one segment, trying again until that succeeds.
// It returns false when the context ends before.
func (w *Writer) storeNext(ctx context.Context) bool {
	w.mu.Lock()
	// Write appends behind these bytes, and only storeNext takes them away.
	data := w.pending[:len(w.pending):len(w.pending)]
	next := segment{start: w.base, end: w.base + int64(len(data)), instance: w.stream.Instance}
	w.mu.Unlock()
	began := time.Now()
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		err := w.put(ctx, next, data)
		if err == nil {
			w.advance(next, began)
			return true
		}
		w.fail(err)
		if pause.For(ctx, wait) != nil {
			return false
		}
	}
}

func (w *Writer) put(ctx context.Context, g segment, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	if err := w.store.put(ctx, w.prefix, g, data); err != nil {
		return fmt.Errorf("store %d bytes at byte %d: %w", len(data), g.start, err)
	}
	return nil
}

// advance notes that a segment is stored. What is left was written after it began.
func (w *Writer) advance(g segment, began time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.base = g.end
	w.pending = append([]byte(nil), w.pending[g.end-g.start:]...)
	w.since = began
	w.failure = nil
	w.segments = append(w.segments, g)
	w.notify()
}

func (w *Writer) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failure = err
	w.notify()
}

// notify wakes those who wait for a change. The lock must be held.
func (w *Writer) notify() {
	close(w.changed)
	w.changed = make(chan struct{})
}
