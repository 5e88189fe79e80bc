package runner

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Started is the line that `run` writes to stderr once the container is on record.
const Started = "started"

// runAttached is start, forget, logs --follow and wait in one call: it starts the
// container, unless it is on record already, now or after others, prints its output from
// the offset on, and then, to stderr, what `wait` prints. On a machine that runs short
// containers most of the work is to start processes, the runner's own among them.
func (s store) runAttached(c call, stdin io.Reader, stdout, stderr *os.File) error {
	spec, err := readSpec(stdin)
	if err != nil {
		return err
	}
	bell, err := s.launch(c.id, spec, c.after)
	if err != nil {
		return err
	}
	if bell != nil {
		defer release(bell)
	}
	if _, err := fmt.Fprintln(stderr, Started); err != nil {
		return errReaderGone
	}
	for _, id := range c.forget {
		if err := s.forget(id); err != nil {
			complain(fmt.Errorf("forget %s: %w", id, err))
		}
	}
	if err := s.followFrom(bell, stdout, c.id, c.offset); err != nil && !errors.Is(err, errForgotten) {
		return err
	}
	result, err := s.wait(c.id)
	if err != nil {
		return err
	}
	return printResult(stderr, result)
}

// followFrom prints the output of a container until it has ended, waiting for the bell
// of its supervisor, if there is one.
func (s store) followFrom(bell, stdout *os.File, id string, offset int64) error {
	if bell == nil {
		return s.logs(stdout, id, offset, true)
	}
	stream, err := openStream(s.record(id))
	if err != nil {
		return err
	}
	defer release(stream)
	return stream.print(stdout, offset, listen(bell, stdout))
}
