package sshexec

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy forwards TCP connections to a server until told otherwise.
type proxy struct {
	listener net.Listener
	to       string
	work     sync.WaitGroup

	mu     sync.Mutex
	thaw   *sync.Cond
	frozen bool
	limit  int64 // bytes towards the server after which everything is cut; 0: none
	sent   int64
	conns  []net.Conn
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: l, to: to}
	p.thaw = sync.NewCond(&p.mu)
	p.work.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.work.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		a, err := p.listener.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = a.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, a, b)
		p.mu.Unlock()
		p.work.Go(func() { p.forward(b, a, true) })
		p.work.Go(func() { p.forward(a, b, false) })
	}
}

func (p *proxy) forward(to, from net.Conn, counted bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !p.pass(n, counted) {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// pass waits while the proxy is frozen and reports whether to go on.
func (p *proxy) pass(n int, counted bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.frozen {
		p.thaw.Wait()
	}
	if counted {
		p.sent += int64(n)
	}
	return p.limit == 0 || p.sent <= p.limit
}

// freeze makes the server a black hole: what is sent is taken, nothing arrives.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = true
}

// cutAfter cuts the connection after so many more bytes to the server.
func (p *proxy) cutAfter(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit, p.sent = n, 0
}

// cut ends all connections, and the freeze.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = false
	p.thaw.Broadcast()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// through returns the target as reached through the proxy.
func (p *proxy) through(t Target) Target {
	t.Address = p.listener.Addr().String()
	return t
}
