package sshexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// conn is one SSH connection.
type conn struct {
	pool *Pool
	host *host
	wire *wire
	ssh  ssh.Conn
	born time.Time

	// The pool's mutex guards the rest.

	limit     int         // sessions that it takes
	open      int         // sessions that the peer counts: after a detach, until the remote process ends
	live      int         // calls that use it
	idle      *time.Timer // runs expire
	idleSince time.Time
}

// wire is a network connection that remembers why it ended. Its Read notes the end
// before the SSH layer can act on it, which tells a session that the peer closed
// from one that was lost.
type wire struct {
	net.Conn
	once sync.Once
	err  error
	lost chan struct{} // closed once err is set
}

// Read reads and remembers an error.
func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err != nil {
		w.fail(err)
	}
	return n, err
}

// Write writes and remembers an error.
func (w *wire) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	if err != nil {
		w.fail(err)
	}
	return n, err
}

// Close closes the connection, as the SSH layer does when it finds a fault.
func (w *wire) Close() error {
	w.fail(net.ErrClosed)
	return w.Conn.Close()
}

// fail sets the reason of the end, unless there is one.
func (w *wire) fail(err error) {
	w.once.Do(func() {
		w.err = err
		close(w.lost)
	})
}

// shut ends the connection for a reason. It does not block.
func (w *wire) shut(why error) {
	w.fail(why)
	// All that Close can say is that the connection is closed already.
	_ = w.Conn.Close()
}

// alive reports whether no end is known.
func (w *wire) alive() bool {
	select {
	case <-w.lost:
		return false
	default:
		return true
	}
}

// connect makes, verifies and logs in to a connection before ctx ends. Its error is
// a *ConnectError.
func (p *Pool) connect(ctx context.Context, h *host) (*conn, error) {
	t := h.target
	fail := func(step Step, err error) (*conn, error) {
		return nil, &ConnectError{Address: t.Address, Step: step, Err: err}
	}
	// Keepalives of TCP would only double ours. Go sets TCP_NODELAY by itself.
	dialer := net.Dialer{KeepAlive: -1, ControlContext: setUserTimeout}
	raw, err := dialer.DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return fail(StepDial, err)
	}
	w := &wire{Conn: raw, lost: make(chan struct{})}
	// Closing, and not a deadline alone: Forget and Close cancel.
	stop := context.AfterFunc(ctx, func() { w.shut(context.Cause(ctx)) })
	var reached atomic.Value
	reached.Store(StepHandshake)
	c, chans, reqs, err := ssh.NewClientConn(w, t.Address, p.clientConfig(t, &reached))
	if err != nil {
		stop()
		step := reached.Load().(Step)
		if step == StepAuth && isLoss(err) {
			step = StepHandshake
		}
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer in time: %w", ctx.Err())
		}
		return fail(step, err)
	}
	if !stop() {
		w.shut(ctx.Err())
	}
	conn := &conn{pool: p, host: h, wire: w, ssh: c, born: time.Now(), limit: p.options.MaxSessions}
	p.running.Go(func() { conn.serve(chans, reqs) })
	p.running.Go(conn.keepAlive)
	return conn, nil
}

// clientConfig returns the configuration for a target; reached follows how far the
// handshake comes. The callback is called by a goroutine of the SSH layer.
func (p *Pool) clientConfig(t Target, reached *atomic.Value) *ssh.ClientConfig {
	return &ssh.ClientConfig{
		User:              t.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(p.signer)},
		HostKeyAlgorithms: hostKeyAlgorithms(t.HostKeys),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			for _, k := range t.HostKeys {
				if string(k.Marshal()) == string(key.Marshal()) {
					reached.Store(StepAuth)
					return nil
				}
			}
			reached.Store(StepHostKey)
			return fmt.Errorf("the peer's key %s %s is not this instance's", key.Type(), ssh.FingerprintSHA256(key))
		},
	}
}

// hostKeyAlgorithms lists the algorithms of keys, so that a peer with several host
// keys presents one that we can verify.
func hostKeyAlgorithms(keys []ssh.PublicKey) []string {
	var all []string
	for _, k := range keys {
		of := []string{k.Type()}
		if k.Type() == ssh.KeyAlgoRSA {
			of = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, a := range of {
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	return all
}

// isLoss reports whether a failed login is the network's doing and not a refusal.
func isLoss(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// serve refuses what the peer asks of us, until the connection ends, and then takes
// it out of the pool.
func (c *conn) serve(chans <-chan ssh.NewChannel, reqs <-chan *ssh.Request) {
	for chans != nil || reqs != nil {
		// An error of an answer is the end of the connection, which closes both.
		select {
		case nc, ok := <-chans:
			if !ok {
				chans = nil
				continue
			}
			_ = nc.Reject(ssh.Prohibited, "not offered")
		case r, ok := <-reqs:
			if !ok {
				reqs = nil
				continue
			}
			_ = r.Reply(false, nil)
		}
	}
	c.drop(c.ssh.Wait())
}

// keepAlive asks the peer for an answer at every interval and ends the connection
// when there is none for as long.
func (c *conn) keepAlive() {
	every := c.pool.options.Keepalive
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-c.wire.lost:
			return
		case <-tick.C:
		}
		late := time.AfterFunc(every, func() {
			c.drop(fmt.Errorf("no answer to a keepalive for %v", every))
		})
		_, _, err := c.ssh.SendRequest("keepalive@openssh.com", true, nil)
		late.Stop()
		if err != nil {
			c.drop(err)
			return
		}
	}
}

// drop ends the connection and takes it out of the pool, so that nothing is started
// on it any more.
func (c *conn) drop(why error) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.dropLocked(why)
}

func (c *conn) dropLocked(why error) {
	c.host.conns = slices.DeleteFunc(c.host.conns, func(o *conn) bool { return o == c })
	c.shutLocked(why)
	c.pool.tidyLocked(c.host)
}

func (c *conn) shutLocked(why error) {
	if c.idle != nil {
		c.idle.Stop()
	}
	c.wire.shut(why)
}

// leave ends a call's use of the connection. Its session may stay open.
func (c *conn) leave() {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.live--
	if c.live > 0 {
		return
	}
	if c.open >= c.limit {
		// Full of sessions that nobody waits for: of no use to anybody.
		c.dropLocked(errors.New("only detached sessions were left on the connection"))
		return
	}
	if c.wire.alive() {
		c.idleSince = time.Now()
		c.idle.Reset(c.pool.options.IdleTimeout)
	}
}

// vacate gives back a session that the peer no longer counts. It is the last thing
// that a session does.
func (c *conn) vacate() {
	defer c.pool.running.Done()
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.open--
	if c.host.wake != nil {
		close(c.host.wake)
		c.host.wake = nil
	}
}

// refused notes that the peer takes no more sessions than the others that are open
// now, and reports whether there are others.
func (c *conn) refused() bool {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.limit = min(c.limit, c.open-1)
	return c.limit > 0
}

// expire closes the connection if it has been idle for long enough.
func (c *conn) expire() {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	if c.live == 0 && time.Since(c.idleSince) >= c.pool.options.IdleTimeout {
		c.dropLocked(errors.New("the connection was idle"))
	}
}
