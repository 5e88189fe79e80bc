package sshexec

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// held makes a server whose commands wait until the returned function is called.
func held(t *testing.T, change func(*server)) (*server, func()) {
	t.Helper()
	hold := make(chan struct{})
	s := startServer(t, func(s *server) {
		s.exec = func(_ net.Conn, _ string, ch ssh.Channel) {
			<-hold
			sendStatus(ch, 0)
		}
		if change != nil {
			change(s)
		}
	})
	release := sync.OnceFunc(func() { close(hold) })
	t.Cleanup(release)
	return s, release
}

// runs starts n commands and returns the channel of their errors.
func runs(t *testing.T, p *Pool, target Target, n int) <-chan error {
	t.Helper()
	errs := make(chan error, n)
	for range n {
		go func() { errs <- p.Run(t.Context(), target, Command{Line: "true"}) }()
	}
	return errs
}

func TestSessionsShareConnections(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                    string
		max                     int32
		commands, atLeast, most int32
	}{
		{"eight on one", 10, 8, 1, 1},
		{"the ninth on a second", 10, 9, 2, 2},
		{"64 on eight", 10, 64, 8, 8},
		{"a peer that takes three", 3, 12, 4, 12},
		{"a peer that takes one", 1, 5, 5, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, release := held(t, func(s *server) { s.maxSessions = c.max })
			p := newPool(t, s.login, Options{})
			errs := runs(t, p, s.target(), int(c.commands))
			eventually(t, "all run at once", func() bool { return s.commands.Load() == c.commands })
			require.GreaterOrEqual(t, s.accepted.Load(), c.atLeast)
			require.LessOrEqual(t, s.accepted.Load(), c.most)
			require.EqualValues(t, 1, s.mostDialing.Load(), "one handshake at a time")
			release()
			for range c.commands {
				require.NoError(t, <-errs)
			}
		})
	}
}

func TestPeerThatTakesNoSession(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(s *server) { s.maxSessions = -1 })
	p := newPool(t, s.login, Options{})
	const n = 3
	errs := runs(t, p, s.target(), n)
	for range n {
		err := <-errs
		require.True(t, FailedAt(err, StepSession), "%v", err)
	}
	require.LessOrEqual(t, s.accepted.Load(), int32(n))
}

func TestWaiterTakesASessionThatComesFree(t *testing.T) {
	t.Parallel()
	stall := make(chan struct{})
	s, release := held(t, func(s *server) { s.slowly, s.slowAfter = stall, 1 })
	t.Cleanup(func() { close(stall) })
	p := newPool(t, s.login, Options{MaxSessions: 1})
	first := runs(t, p, s.target(), 1)
	eventually(t, "the first runs", func() bool { return s.commands.Load() == 1 })
	second := runs(t, p, s.target(), 1)
	eventually(t, "the second dials", func() bool { return s.accepted.Load() == 2 })
	release()
	require.NoError(t, <-first)
	require.NoError(t, <-second, "it must not wait for its dial")
}

func TestDialIsShared(t *testing.T) {
	t.Parallel()
	slowly := make(chan struct{})
	s := startServer(t, func(s *server) { s.slowly = slowly })
	p := newPool(t, s.login, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	impatient := make(chan error, 1)
	go func() { impatient <- p.Run(ctx, s.target(), Command{Line: "true"}) }()
	eventually(t, "a dial", func() bool { return s.accepted.Load() == 1 })
	patient := runs(t, p, s.target(), 5)
	cancel()
	require.ErrorIs(t, <-impatient, context.Canceled)
	close(slowly)
	for range 5 {
		require.NoError(t, <-patient)
	}
	require.EqualValues(t, 1, s.accepted.Load())
}

func TestFailedDialIsReportedToAllWaiters(t *testing.T) {
	t.Parallel()
	slowly := make(chan struct{})
	s := startServer(t, func(s *server) { s.slowly = slowly })
	stranger, _ := newKey(t)
	p := newPool(t, stranger, Options{})
	errs := runs(t, p, s.target(), 5)
	eventually(t, "all wait", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return s.accepted.Load() == 1 && len(p.hosts) == 1
	})
	close(slowly)
	for range 5 {
		require.True(t, FailedAt(<-errs, StepAuth))
	}
	eventually(t, "nothing kept", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.hosts) == 0
	})
}

func TestPeerRestartIsNotSeen(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	via := startProxy(t, s.target().Address)
	p := newPool(t, s.login, Options{})
	for range 10 {
		require.NoError(t, p.Run(t.Context(), via.through(s.target()), Command{Line: "true"}))
		via.cut() // the pool may or may not have noticed when it runs the next
	}
}

func TestDeadConnectionIsReplacedWithinOneRun(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	via := startProxy(t, s.target().Address)
	p := newPool(t, s.login, Options{Keepalive: 200 * time.Millisecond})
	require.NoError(t, p.Run(t.Context(), via.through(s.target()), Command{Line: "true"}))
	via.freeze()
	require.NoError(t, p.Run(t.Context(), via.through(s.target()), Command{Line: "true"}))
	require.EqualValues(t, 2, s.accepted.Load())
}

func TestIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := newPool(t, s.login, Options{IdleTimeout: 30 * time.Millisecond})
	require.NoError(t, p.Run(t.Context(), s.target(), Command{Line: "sleep 0.2"}), "a busy one is not")
	eventually(t, "closed", func() bool { return p.connections() == 0 })
	require.NoError(t, p.Run(t.Context(), s.target(), Command{Line: "true"}))
	require.EqualValues(t, 2, s.accepted.Load())
}

func TestForget(t *testing.T) {
	t.Parallel()
	s, release := held(t, nil)
	other := startServer(t, func(o *server) { o.login = s.login })
	p := newPool(t, s.login, Options{})
	require.NoError(t, p.Run(t.Context(), other.target(), Command{Line: "true"}))
	errs := runs(t, p, s.target(), 3)
	eventually(t, "all run", func() bool { return s.commands.Load() == 3 })
	p.Forget(s.target().Address)
	for range 3 {
		err := <-errs
		var unknown *UnknownOutcomeError
		require.ErrorAs(t, err, &unknown)
		require.ErrorIs(t, err, ErrForgotten)
	}
	require.Equal(t, 1, p.connections(), "the other's")
	release()
	require.NoError(t, p.Run(t.Context(), s.target(), Command{Line: "true"}))
}

func TestForgetFailsADial(t *testing.T) {
	t.Parallel()
	slowly := make(chan struct{})
	s := startServer(t, func(s *server) { s.slowly = slowly })
	defer close(slowly)
	p := newPool(t, s.login, Options{})
	errs := runs(t, p, s.target(), 1)
	eventually(t, "a dial", func() bool { return s.accepted.Load() == 1 })
	p.Forget(s.target().Address)
	err := <-errs
	require.True(t, FailedAt(err, StepDial), "%v", err)
	require.ErrorIs(t, err, ErrForgotten)
}

func TestClosedPool(t *testing.T) {
	t.Parallel()
	s, _ := held(t, nil)
	p := New(s.login, Options{})
	errs := runs(t, p, s.target(), 1)
	eventually(t, "it runs", func() bool { return s.commands.Load() == 1 })
	p.Close()
	require.ErrorIs(t, <-errs, ErrClosed)
	err := p.Run(t.Context(), s.target(), Command{Line: "true"})
	require.ErrorIs(t, err, ErrClosed)
	require.True(t, FailedAt(err, StepDial))
}

func TestSlowWriterHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := newPool(t, s.login, Options{})
	r, w := io.Pipe()
	slow := make(chan error, 1)
	go func() {
		// Much more than a window of 2 MiB.
		slow <- p.Run(t.Context(), s.target(), Command{Line: "head -c 8000000 /dev/zero", Stdout: w})
		_ = w.Close()
	}()
	first := make([]byte, 1)
	_, err := io.ReadFull(r, first)
	require.NoError(t, err)
	var out bytes.Buffer
	in := strings.Repeat("x", 4_000_000)
	require.NoError(t, p.Run(t.Context(), s.target(), Command{Line: "cat", Stdin: strings.NewReader(in), Stdout: &out}))
	require.Equal(t, len(in), out.Len())
	rest, err := io.Copy(io.Discard, r)
	require.NoError(t, err)
	require.EqualValues(t, 8_000_000-1, rest)
	require.NoError(t, <-slow)
	require.EqualValues(t, 1, s.accepted.Load())
}

func TestManyInstances(t *testing.T) {
	t.Parallel()
	login, _ := newKey(t)
	p := newPool(t, login, Options{})
	const instances, each = 12, 6
	errs := make(chan error, instances*each)
	for range instances {
		s := startServer(t, func(s *server) { s.login = login })
		for range each {
			go func() { errs <- p.Run(t.Context(), s.target(), Command{Line: "true"}) }()
		}
	}
	for range instances * each {
		require.NoError(t, <-errs)
	}
	require.Equal(t, instances, p.connections())
}
