package sshexec

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Command is what Run runs.
type Command struct {
	// Line is given to the login shell of the target's user. See Quote.
	Line string
	// Stdin is copied to the command, which sees its end; nil is empty. It is not read
	// from after Run has returned, but a Read in progress then is not waited for. The
	// command can't tell a lost connection from the end: it has to verify what matters.
	Stdin io.Reader
	// Stdout and Stderr take the output; nil discards it. A slow Write holds up this
	// command alone, and Run until it returns. There is none after Run has returned.
	// When one fails, Run detaches.
	Stdout, Stderr io.Writer
}

// Run runs a command and waits for its end. It returns nil when the command exits
// with status 0 and all of its output was delivered, and otherwise a *ConnectError
// (surely not started), an *ExitError (ended) or an *UnknownOutcomeError.
//
// When ctx ends, Run returns at once, detaching: the remote process goes on, and the
// error wraps ctx's. Killing is a command of its own.
//
// As sshd ends a session only when nothing holds its streams any more, `cmd & exit 0`
// does not return before cmd does. Redirect all three:
// `cmd </dev/null >/dev/null 2>&1 &`.
func (p *Pool) Run(ctx context.Context, t Target, cmd Command) error {
	if err := t.check(); err != nil {
		return err
	}
	began := time.Now()
	for {
		if err := ctx.Err(); err != nil {
			return &ConnectError{Address: t.Address, Step: StepDial, Err: err}
		}
		c, err := p.acquire(ctx, t)
		if err != nil {
			return err
		}
		err = c.run(ctx, cmd)
		var no *notOpenedError
		if !errors.As(err, &no) {
			return err
		}
		// A connection from before this call may have died unnoticed, and one with other
		// sessions may be full; a new one with none has no such excuse.
		if !no.full && c.born.After(began) {
			return &ConnectError{Address: t.Address, Step: StepSession, Err: no.err}
		}
	}
}

// notOpenedError says that a connection gave no session.
type notOpenedError struct {
	err  error
	full bool // it has others
}

func (e *notOpenedError) Error() string { return e.err.Error() }

// session is one command on one connection.
type session struct {
	conn           *conn
	cmd            Command
	stdout, stderr *sink
	fail           context.CancelCauseFunc // detaches, for a reason
	started        atomic.Bool             // the command may have been started
}

// run runs a command in the session that is reserved on the connection.
func (c *conn) run(parent context.Context, cmd Command) error {
	defer c.leave()
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	s := &session{conn: c, cmd: cmd, fail: cancel}
	s.stdout = &sink{w: cmd.Stdout, name: "stdout", fail: cancel}
	s.stderr = &sink{w: cmd.Stderr, name: "stderr", fail: cancel, keep: stderrTail}
	done := make(chan error, 1)
	go func() { done <- s.work(ctx) }() // counted by acquire and vacate
	select {
	case err := <-done:
		if !errors.Is(err, errDetached) {
			return err
		}
	case <-ctx.Done():
		s.stdout.shut()
		s.stderr.shut()
	}
	if err := parent.Err(); err != nil {
		return s.unknown(err)
	}
	return s.unknown(context.Cause(ctx))
}

// errDetached ends a session's work when its context does.
var errDetached = errors.New("detached")

// unknown returns the error of a session whose end is not known.
func (s *session) unknown(err error) error {
	if !s.started.Load() {
		return &ConnectError{Address: s.conn.host.target.Address, Step: StepSession, Err: err}
	}
	return &UnknownOutcomeError{Address: s.conn.host.target.Address, Line: s.cmd.Line, Err: err}
}

// work does the session, until the peer has closed it or the connection has ended.
// When ctx ends it closes the session and stays until the peer does, too, which sshd
// puts off until the remote process has ended: so long it counts the session.
func (s *session) work(ctx context.Context) error {
	defer s.conn.vacate()
	ch, reqs, err := s.conn.ssh.OpenChannel("session", nil)
	if err != nil {
		return s.notOpened(err)
	}
	// An error means that it is closed already. It blocks when the connection does.
	stop := context.AfterFunc(ctx, func() { _ = ch.Close() })
	defer stop()
	if ctx.Err() == nil {
		s.started.Store(true)
		var taken bool
		taken, err = ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{s.cmd.Line}))
		if err == nil && taken {
			return s.attend(ctx, ch, reqs)
		}
	}
	_ = ch.Close() // likewise
	for range reqs {
	}
	switch {
	case ctx.Err() != nil:
		return errDetached
	case err != nil:
		return s.unknown(s.lost(err))
	}
	s.started.Store(false)
	return s.unknown(errors.New("the peer refuses to run commands"))
}

// notOpened classifies the error of opening a session.
func (s *session) notOpened(err error) error {
	var refusal *ssh.OpenChannelError
	if errors.As(err, &refusal) {
		return &notOpenedError{err: err, full: s.conn.refused()}
	}
	s.conn.drop(err)
	return &notOpenedError{err: s.lost(err)}
}

// lost returns why the connection ended, or err when it has not.
func (s *session) lost(err error) error {
	if s.conn.wire.alive() {
		return err
	}
	return fmt.Errorf("connection lost: %w", s.conn.wire.err)
}

// attend copies the streams of a command that has been started and returns how it
// ended.
func (s *session) attend(ctx context.Context, ch ssh.Channel, reqs <-chan *ssh.Request) error {
	var copies sync.WaitGroup
	copies.Go(func() { s.stdout.drain(ch) })
	copies.Go(func() { s.stderr.drain(ch.Stderr()) })
	if s.cmd.Stdin == nil {
		_ = ch.CloseWrite() // fails when the session is closed already
	} else {
		// Not waited for: a Read that never returns is the caller's.
		go s.feed(ctx, ch)
	}
	status, signal, known := -1, "", false
	for r := range reqs {
		switch {
		case r.Type == "exit-status" && len(r.Payload) >= 4:
			status, known = int(binary.BigEndian.Uint32(r.Payload)), true
		case r.Type == "exit-signal":
			var msg struct {
				Signal     string
				CoreDumped bool
				Error      string
				Lang       string
			}
			if err := ssh.Unmarshal(r.Payload, &msg); err == nil {
				signal, known = msg.Signal, true
			}
		default:
			_ = r.Reply(false, nil) // fails when the connection has ended, which ends reqs
		}
	}
	// With a status but a lost connection, the end of the output may be missing.
	whole := s.conn.wire.alive()
	copies.Wait()
	switch {
	case ctx.Err() != nil:
		return errDetached
	case !known || !whole:
		return s.unknown(s.lost(errors.New("the session ended without an exit status")))
	case status == 0:
		return nil
	}
	return &ExitError{Line: s.cmd.Line, Status: status, Signal: signal, Stderr: s.stderr.tail()}
}

// feed copies stdin until its end, the command's or the session's.
func (s *session) feed(ctx context.Context, ch ssh.Channel) {
	_, err := io.Copy(ch, &source{ctx: ctx, r: s.cmd.Stdin, fail: s.fail})
	if err == nil {
		_ = ch.CloseWrite() // fails when the session is closed already
	}
	// Otherwise the command no longer reads, which is its right, or source has said it.
}
