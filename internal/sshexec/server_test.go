package sshexec

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test.
const patience = 15 * time.Second

func newKey(t testing.TB) (ssh.Signer, ed25519.PrivateKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	s, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	return s, private
}

// server is an SSH server in this process. It runs commands with sh.
type server struct {
	listener    net.Listener
	login, host ssh.Signer
	maxSessions int32 // per connection; 0: no limit, negative: none
	// exec replaces sh, for commands that a test wants to end its own way.
	exec func(conn net.Conn, line string, ch ssh.Channel)
	// slowly holds up handshakes, from the one after slowAfter, until it is closed. nil:
	// it doesn't.
	slowly    chan struct{}
	slowAfter int32

	accepted, commands, dialing, mostDialing atomic.Int32

	mu    sync.Mutex
	conns []net.Conn
	work  sync.WaitGroup
}

// startServer starts a server; change may be nil.
func startServer(t testing.TB, change func(*server)) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &server{listener: l}
	s.login, _ = newKey(t)
	s.host, _ = newKey(t)
	if change != nil {
		change(s)
	}
	s.work.Go(func() { s.accept(l) })
	t.Cleanup(func() {
		s.stop()
		s.work.Wait()
	})
	return s
}

func (s *server) target() Target {
	return Target{Address: s.listener.Addr().String(), User: "u", HostKeys: []ssh.PublicKey{s.host.PublicKey()}}
}

// stop cuts every connection and listens no more.
func (s *server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.listener.Close() // a second stop
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

func (s *server) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		nth := s.accepted.Add(1)
		s.mu.Lock()
		s.conns = append(s.conns, c)
		s.mu.Unlock()
		s.work.Go(func() { s.serve(c, nth) })
	}
}

// config returns the configuration for a connection; known is called when the client
// is, before the client hears of it.
func (s *server) config(known func()) *ssh.ServerConfig {
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		known()
		if string(k.Marshal()) != string(s.login.PublicKey().Marshal()) {
			return nil, errors.New("unknown key")
		}
		return nil, nil
	}}
	config.AddHostKey(s.host)
	return config
}

func (s *server) serve(raw net.Conn, nth int32) {
	defer raw.Close()
	now := s.dialing.Add(1)
	for most := s.mostDialing.Load(); now > most && !s.mostDialing.CompareAndSwap(most, now); most = s.mostDialing.Load() {
	}
	if s.slowly != nil && nth > s.slowAfter {
		<-s.slowly
	}
	known := sync.OnceFunc(func() { s.dialing.Add(-1) })
	_, chans, reqs, err := ssh.NewServerConn(raw, s.config(known))
	known()
	if err != nil {
		return
	}
	s.work.Go(func() { ssh.DiscardRequests(reqs) })
	var open atomic.Int32
	for nc := range chans {
		if n := open.Add(1); s.maxSessions != 0 && n > s.maxSessions {
			open.Add(-1)
			_ = nc.Reject(ssh.ResourceShortage, "too many sessions")
			continue
		}
		ch, reqs, err := nc.Accept()
		if err != nil {
			return
		}
		s.work.Go(func() {
			defer open.Add(-1)
			s.session(raw, ch, reqs)
		})
	}
}

func (s *server) session(raw net.Conn, ch ssh.Channel, reqs <-chan *ssh.Request) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for r := range reqs {
		if r.Type != "exec" {
			_ = r.Reply(false, nil)
			continue
		}
		s.commands.Add(1)
		_ = r.Reply(true, nil)
		line := string(r.Payload[4:])
		s.work.Go(func() {
			if s.exec != nil {
				s.exec(raw, line, ch)
			} else {
				s.shell(ctx, line, ch)
			}
		})
	}
}

// shell runs a command; unlike sshd it kills it when the session ends.
func (s *server) shell(ctx context.Context, line string, ch ssh.Channel) {
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	cmd.WaitDelay = time.Second
	in, err := cmd.StdinPipe()
	if err == nil {
		go func() {
			_, _ = io.Copy(in, ch)
			_ = in.Close()
		}()
		err = cmd.Run()
	}
	status := uint32(127)
	if cmd.ProcessState != nil {
		status = uint32(cmd.ProcessState.ExitCode())
	} else if err != nil {
		_, _ = io.WriteString(ch.Stderr(), err.Error())
	}
	sendStatus(ch, status)
}

func sendStatus(ch ssh.Channel, status uint32) {
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ S uint32 }{status}))
	_ = ch.Close()
}

// newPool returns a pool that is closed with the test.
func newPool(t testing.TB, signer ssh.Signer, o Options) *Pool {
	t.Helper()
	p := New(signer, o)
	t.Cleanup(p.Close)
	return p
}

// connections returns how many connections the pool holds.
func (p *Pool) connections() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.hosts {
		n += len(h.conns)
	}
	return n
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, patience, 2*time.Millisecond, what)
}
