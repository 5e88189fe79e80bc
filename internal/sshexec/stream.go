package sshexec

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// source is a command's stdin.
type source struct {
	ctx  context.Context
	r    io.Reader
	fail context.CancelCauseFunc
}

// Read reads on as long as somebody waits for the command. It detaches when it fails.
func (r *source) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(b)
	if err != nil && err != io.EOF {
		r.fail(fmt.Errorf("read stdin: %w", err))
	}
	return n, err
}

// stderrTail is how much of a command's stderr an ExitError carries, in bytes.
const stderrTail = 4 << 10

// sink passes a stream on until it is shut, keeping its end.
type sink struct {
	name string
	fail context.CancelCauseFunc
	keep int

	mu   sync.Mutex
	w    io.Writer // nil: discard
	last []byte
}

// drain copies r to its end, which is that of the stream or of the connection.
func (k *sink) drain(r io.Reader) {
	const most = 32 << 10
	// Thousands of sessions wait for output that is a line, at most, for hours.
	buf := make([]byte, 1<<10)
	for {
		n, err := r.Read(buf)
		k.write(buf[:n])
		if err != nil {
			return
		}
		if n == len(buf) && n < most {
			buf = make([]byte, most)
		}
	}
}

func (k *sink) write(b []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keep > 0 {
		k.last = append(k.last, b...)
		if over := len(k.last) - k.keep; over > 0 {
			k.last = append(k.last[:0], k.last[over:]...)
		}
	}
	if k.w == nil || len(b) == 0 {
		return
	}
	if _, err := k.w.Write(b); err != nil {
		k.w = nil
		k.fail(fmt.Errorf("write %s: %w", k.name, err))
	}
}

// shut returns once nothing is being written and nothing will be.
func (k *sink) shut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.w = nil
}

func (k *sink) tail() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return string(k.last)
}
