package sshexec

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

func TestRunGivesStreamsAndStatus(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := newPool(t, s.login, Options{})
	var out, errs bytes.Buffer
	err := p.Run(t.Context(), s.target(), Command{
		Line: "cat; echo oops >&2; exit 3", Stdin: strings.NewReader("hello"), Stdout: &out, Stderr: &errs,
	})
	var exit *ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, ExitError{Line: "cat; echo oops >&2; exit 3", Status: 3, Stderr: "oops\n"}, *exit)
	require.Equal(t, `"cat; echo oops >&2; exit 3": exit status 3: oops`, err.Error())
	require.Equal(t, "hello", out.String())
	require.Equal(t, "oops\n", errs.String())
}

func TestExitErrorKeepsTheEndOfStderr(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := newPool(t, s.login, Options{})
	err := p.Run(t.Context(), s.target(), Command{Line: "seq 20000 >&2; exit 1"})
	var exit *ExitError
	require.ErrorAs(t, err, &exit)
	require.Len(t, exit.Stderr, stderrTail)
	require.True(t, strings.HasSuffix(exit.Stderr, "\n20000\n"))
}

func TestSignalIsNoStatus(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(s *server) {
		s.exec = func(_ net.Conn, _ string, ch ssh.Channel) {
			_, _ = ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
				Signal string
				Core   bool
				E, L   string
			}{"TERM", false, "", ""}))
			_ = ch.Close()
		}
	})
	err := newPool(t, s.login, Options{}).Run(t.Context(), s.target(), Command{Line: "x"})
	var exit *ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, ExitError{Line: "x", Status: -1, Signal: "TERM"}, *exit)
}

func TestHostIsVerifiedBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := newPool(t, s.login, Options{})
	other, _ := newKey(t)
	target := s.target()

	target.HostKeys = []ssh.PublicKey{other.PublicKey()}
	err := p.Run(t.Context(), target, Command{Line: "true"})
	require.True(t, FailedAt(err, StepHostKey), "%v", err)
	require.ErrorContains(t, err, ssh.FingerprintSHA256(s.host.PublicKey()))

	target.HostKeys = nil
	require.True(t, FailedAt(p.Run(t.Context(), target, Command{Line: "true"}), StepTarget))
	require.Zero(t, s.commands.Load())

	target.HostKeys = []ssh.PublicKey{other.PublicKey(), s.host.PublicKey()}
	require.NoError(t, p.Run(t.Context(), target, Command{Line: "true"}))
}

func TestConnectionIsNotSharedAcrossHostKeys(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := newPool(t, s.login, Options{})
	require.NoError(t, p.Run(t.Context(), s.target(), Command{Line: "true"}))
	other, _ := newKey(t)
	target := s.target()
	target.HostKeys = []ssh.PublicKey{other.PublicKey()}
	require.True(t, FailedAt(p.Run(t.Context(), target, Command{Line: "true"}), StepHostKey))
}

func TestAuthFailureIsToldApart(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	stranger, _ := newKey(t)
	err := newPool(t, stranger, Options{}).Run(t.Context(), s.target(), Command{Line: "true"})
	require.True(t, FailedAt(err, StepAuth), "%v", err)
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	s.stop()
	err := newPool(t, s.login, Options{}).Run(t.Context(), s.target(), Command{Line: "true"})
	require.True(t, FailedAt(err, StepDial), "%v", err)
}

func TestSilentPeer(t *testing.T) {
	t.Parallel()
	silence := make(chan struct{})
	s := startServer(t, func(s *server) { s.slowly = silence })
	defer close(silence)
	p := newPool(t, s.login, Options{DialTimeout: 100 * time.Millisecond})
	err := p.Run(t.Context(), s.target(), Command{Line: "true"})
	require.True(t, FailedAt(err, StepHandshake), "%v", err)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestLostConnectionIsNoFailure(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(net.Conn, ssh.Channel){
		"cut":                    func(c net.Conn, _ ssh.Channel) { _ = c.Close() },
		"ended without a status": func(_ net.Conn, ch ssh.Channel) { _ = ch.Close() },
		"cut between status and end": func(c net.Conn, ch ssh.Channel) {
			_, _ = ch.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
			_ = c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, func(s *server) {
				s.exec = func(c net.Conn, _ string, ch ssh.Channel) { end(c, ch) }
			})
			err := newPool(t, s.login, Options{}).Run(t.Context(), s.target(), Command{Line: "start x"})
			var unknown *UnknownOutcomeError
			require.ErrorAs(t, err, &unknown)
			require.Equal(t, "start x", unknown.Line)
			require.EqualValues(t, 1, s.commands.Load(), "it must not be run again")
		})
	}
}

func TestBlackHole(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	via := startProxy(t, s.target().Address)
	p := newPool(t, s.login, Options{Keepalive: 100 * time.Millisecond})
	out := &flag{set: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		done <- p.Run(t.Context(), via.through(s.target()), Command{Line: "echo; exec sleep 60", Stdout: out})
	}()
	<-out.set
	via.freeze()
	var unknown *UnknownOutcomeError
	require.ErrorAs(t, <-done, &unknown)
	require.ErrorContains(t, unknown, "keepalive")
	require.Zero(t, p.connections(), "it must be out of the pool at once")
}

func TestCancelReturnsFromABlackHole(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	via := startProxy(t, s.target().Address)
	p := newPool(t, s.login, Options{})
	require.NoError(t, p.Run(t.Context(), via.through(s.target()), Command{Line: "true"}))
	via.freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := p.Run(ctx, via.through(s.target()), Command{Line: "true"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.True(t, FailedAt(err, StepSession), "it was not started: %v", err)
	require.Less(t, time.Since(began), 5*time.Second)
}

func TestCancelDetaches(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := newPool(t, s.login, Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	out := &flag{set: make(chan struct{})}
	go func() {
		<-out.set
		cancel(errors.New("a cause of its own"))
	}()
	err := p.Run(ctx, s.target(), Command{Line: "echo; exec sleep 60", Stdout: out})
	var unknown *UnknownOutcomeError
	require.ErrorAs(t, err, &unknown)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, p.Run(t.Context(), s.target(), Command{Line: "true"}), "the connection serves on")
	require.EqualValues(t, 1, s.accepted.Load())
}

func TestFailingStreamsDetach(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := newPool(t, s.login, Options{})
	broken := errors.New("disk full")
	r, w := io.Pipe()
	require.NoError(t, r.CloseWithError(broken))
	err := p.Run(t.Context(), s.target(), Command{Line: "yes", Stdout: w})
	var unknown *UnknownOutcomeError
	require.ErrorAs(t, err, &unknown)
	require.ErrorIs(t, err, broken)

	r, w = io.Pipe()
	require.NoError(t, w.CloseWithError(broken))
	err = p.Run(t.Context(), s.target(), Command{Line: "cat; sleep 60", Stdin: r})
	require.ErrorAs(t, err, &unknown)
	require.ErrorIs(t, err, broken)
}

func TestNothingIsWrittenAfterACancelledRun(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := newPool(t, s.login, Options{})
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		var out bytes.Buffer
		first := &flag{set: make(chan struct{})}
		go func() {
			<-first.set
			cancel()
		}()
		err := p.Run(ctx, s.target(), Command{Line: "echo >&2; exec yes", Stdout: &out, Stderr: first})
		require.ErrorIs(t, err, context.Canceled)
		size := out.Len() // the race detector sees a Write that comes later
		require.NoError(t, p.Run(t.Context(), s.target(), Command{Line: "true"}))
		require.Equal(t, size, out.Len())
	}
}

// flag is a writer that says when something was written.
type flag struct{ set chan struct{} }

func (f *flag) Write(b []byte) (int, error) {
	close(f.set)
	return len(b), nil
}
