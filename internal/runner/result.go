package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ExitUnknown is the exit code in a Result whose container has none: it never
// started, or nothing saw it end.
const ExitUnknown = -1

// Result is how a container ended. It is what `wait` prints, and it never changes.
type Result struct {
	// ExitCode is the command's own; 128+n when signal n ended it; 127 when there is
	// no such command and 126 when it cannot be executed; ExitUnknown with Error set.
	ExitCode int `json:"exit_code"`
	// StartedAt and FinishedAt are never zero. For a container that never started they are equal.
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`
	// Error says what kept the container from ending by itself: that it timed out, that
	// it could not be started, that its supervisor died. Empty otherwise.
	Error string `json:"error"`
	// Revoked: it was revoked before it began.
	Revoked bool `json:"revoked,omitempty"`
}

// storedResult is result.json.
type storedResult struct {
	Result
	// NeverStarted: there was no container, and so there is no output.
	NeverStarted bool `json:"never_started,omitempty"`
	// LostOutput is the number of bytes at the very end of the output that could not be written.
	LostOutput int64 `json:"lost_output,omitempty"`
}

const (
	// resultSpace is set aside for the result, so that it can be written when the disk is full.
	resultSpace = 4096
	// maxErrorText keeps a result within resultSpace, even with every byte escaped.
	maxErrorText = 500
)

// reserve sets space aside for the result of the record that is being made in dir. It is
// not synced yet.
func reserve(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, reservedFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, resultSpace)
	switch {
	case errors.Is(err, unix.ENOSPC):
		err = fmt.Errorf("no space for the record: %w", err)
	case err != nil: // a file system that cannot allocate ahead gets bytes to overwrite
		_, err = f.WriteString(strings.Repeat(" ", resultSpace))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// writeResult records the result, durably, in the space set aside. The caller holds the record's lock.
func (r record) writeResult(res storedResult) error {
	res.Error = clip(res.Error)
	data, err := json.Marshal(res)
	if err != nil {
		return fmt.Errorf("result of %s: %w", r.id, err)
	}
	f, err := os.OpenFile(r.path(reservedFile), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Truncate(int64(len(data)))
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	atPoint("result/written")
	if err := os.Rename(r.path(reservedFile), r.path(resultFile)); err != nil {
		return err
	}
	atPoint("result/renamed")
	return syncDir(r.dir)
}

// clip makes an error's text one line that fits.
func clip(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxErrorText {
		text = text[:maxErrorText]
	}
	return strings.ToValidUTF8(text, "")
}

// result returns the recorded result; false while there is none.
func (r record) result() (storedResult, bool, error) {
	data, err := os.ReadFile(r.path(resultFile))
	if errors.Is(err, fs.ErrNotExist) {
		return storedResult{}, false, nil
	}
	if err != nil {
		return storedResult{}, false, err
	}
	var res storedResult
	if err := json.Unmarshal(data, &res); err != nil {
		return storedResult{}, false, fmt.Errorf("result of %s cannot be read: %w", r.id, err)
	}
	return res, true, nil
}
