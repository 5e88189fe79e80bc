package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"drover/internal/pause"
)

// lockPoll is how often a lock that somebody else holds is tried again. Polling,
// unlike a blocking lock, ends with the context.
const lockPoll = 2 * time.Millisecond

// ledger is the file that has the times of a fleet's last calls. It is locked while it
// is open; the kernel releases the lock of a worker that dies.
type ledger struct{ file *os.File }

func openLedger(ctx context.Context, directory, fleet string) (*ledger, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(directory, fleet+".json"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return &ledger{file: file}, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", file.Name(), err), file.Close())
		}
		if err := pause.For(ctx, lockPoll); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
}

// close releases the lock.
func (l *ledger) close() error { return l.file.Close() }

// read returns the calls in the order in which they were made.
func (l *ledger) read() ([]time.Time, error) {
	if _, err := l.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(l.file)
	if err != nil {
		return nil, err
	}
	var calls []time.Time
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&calls); err != nil {
		// It is new, or what a power cut has left: by now its minute has passed.
		return nil, nil
	}
	return calls, nil
}

// write replaces the calls. What a worker that dies between the two steps leaves
// behind the new content is never read.
func (l *ledger) write(calls []time.Time) error {
	data, err := json.Marshal(calls)
	if err != nil {
		return err
	}
	if _, err := l.file.WriteAt(data, 0); err != nil {
		return err
	}
	return l.file.Truncate(int64(len(data)))
}
