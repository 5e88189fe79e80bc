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
	frozen int // connections before this one are
	count  int
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
		nth := p.count
		p.count++
		p.mu.Unlock()
		p.work.Go(func() { p.forward(b, a, nth, true) })
		p.work.Go(func() { p.forward(a, b, nth, false) })
	}
}

func (p *proxy) forward(to, from net.Conn, nth int, counted bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !p.pass(n, nth, counted) {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// pass waits while the nth connection is frozen and reports whether to go on.
func (p *proxy) pass(n, nth int, counted bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for nth < p.frozen {
		p.thaw.Wait()
	}
	if counted {
		p.sent += int64(n)
	}
	return p.limit == 0 || p.sent <= p.limit
}

// freeze makes a black hole of the connections that there are: what is sent is taken,
// nothing arrives.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = p.count
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
	p.frozen = 0
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
