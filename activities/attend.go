package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"drover/internal/runner"
	"drover/internal/sshexec"
)

// life is what became of a container that was attended to its end.
type life struct {
	end       ending
	tail      []byte // of its output
	truncated bool
}

// errCantWait: the instance's runner is of an earlier version or not our own, and can't begin
// a container when another has ended.
var errCantWait = errors.New("the instance's runner can't begin a container after another")

// attend has the runner start the container, if there is a spec, and stays with it until
// it has ended and its output is stored. A *startError says that it was not started.
func (r *remote) attend(ctx context.Context, spec []byte, started func()) (life, error) {
	if spec != nil && r.in.Own {
		l, err := r.attendAtOnce(ctx, spec, started)
		if !exitedWith(err, runnerUsage) {
			return l, err
		} // an earlier version's runner, or it refuses the spec and says so below
	}
	if spec != nil && len(r.in.Assignment.After) > 0 {
		return life{}, errCantWait
	}
	if err := r.forget(ctx); err != nil {
		return life{}, err
	}
	if spec != nil {
		if err := r.callStart(ctx, spec); err != nil {
			return life{}, err
		}
	}
	started()
	var l life
	var err error
	if l.tail, l.truncated, err = r.follow(ctx); err != nil {
		return l, err
	}
	l.end, err = r.wait(ctx)
	return l, err
}

// attendAtOnce is attend by one call, `runner run`, instead of four.
func (r *remote) attendAtOnce(ctx context.Context, spec []byte, started func()) (life, error) {
	writer, offset, err := r.resume(ctx)
	if err != nil {
		return life{}, err
	}
	args := []string{"run", r.in.Assignment.OnInstance(), "--offset", fmt.Sprint(offset)}
	for _, name := range r.in.Forget {
		args = append(args, "--forget", name)
	}
	for _, name := range r.in.Assignment.After {
		args = append(args, "--after", name)
	}
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(patience, func() { cancel(fmt.Errorf("the container is not on record after %s", patience)) })
	defer late.Stop()
	said := &sayings{started: func() { late.Stop(); started() }}
	err = r.call(running, sshexec.Command{Stdin: bytes.NewReader(spec), Stdout: writer, Stderr: said}, args...)
	switch text, has := said.all(); {
	case err == nil:
		var l life
		if l.tail, l.truncated, err = r.tail(ctx, writer, nil); err == nil {
			lines := strings.Split(strings.TrimSpace(text), "\n")
			l.end, err = endingOf(r.in.Assignment.Container, lines[len(lines)-1])
		}
		return l, err
	case ctx.Err() == nil && running.Err() != nil:
		err = errors.Join(context.Cause(running), err)
	case !has && !exitedWith(err, runnerUsage):
		err = notStarted(err, text)
	}
	_, _, err = r.tail(ctx, writer, err)
	return life{}, err
}

// sayings take in what `runner run` writes to stderr: that it has started the container,
// and then how it has ended, or what went wrong.
type sayings struct {
	started func() // called once, when it says so

	mu   sync.Mutex
	text string
	has  bool
}

// Write never fails.
func (s *sayings) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text += string(p)
	if rest, has := strings.CutPrefix(s.text, runner.Started+"\n"); has && !s.has {
		s.text, s.has = rest, true
		s.started()
	}
	return len(p), nil
}

// all returns what was said after the container had started, if it has.
func (s *sayings) all() (text string, started bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text, s.has
}

// endingOf returns what the line says that the runner prints of a container that has ended.
func endingOf(container, printed string) (ending, error) {
	var end ending
	if err := json.Unmarshal([]byte(printed), &end); err != nil {
		return end, fmt.Errorf("the runner printed %q as the result of %s: %w", printed, container, err)
	}
	return end, nil
}
