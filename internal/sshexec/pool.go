// Package sshexec runs commands on instances over SSH connections that are kept
// open, shared and verified.
//
// One connection per instance carries up to eight commands at a time; more commands
// get more connections, which are dialed one after the other per instance (sshd
// drops handshakes when many come at once). Every connection is verified against
// the host keys that the caller knows before anything is sent: there is no trust on
// first use. A peer that falls silent is noticed in half a minute at most.
//
// Ending a call never ends what it started: cancelling a Run, or losing its
// connection, detaches from the remote process. The errors keep apart what must be:
// *ConnectError (surely nothing was started), *UnknownOutcomeError (it may have
// been, and may be running) and *ExitError (it ran and ended).
package sshexec

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Target is an instance as SSH reaches it.
type Target struct {
	// Address is host:port.
	Address string
	// User is the login.
	User string
	// HostKeys are those that the instance may present; one match is enough. Empty is
	// an error. Connections are not shared between targets that differ in any field.
	HostKeys []ssh.PublicKey
}

// check returns what the target lacks.
func (t Target) check() error {
	for _, missing := range []struct {
		is   bool
		what string
	}{{t.Address == "", "no address"}, {t.User == "", "no user"}, {len(t.HostKeys) == 0, "no host key to verify the peer with"}} {
		if missing.is {
			return &ConnectError{Address: t.Address, Step: StepTarget, Err: errors.New(missing.what)}
		}
	}
	return nil
}

// hostID tells targets apart.
type hostID struct{ address, user, keys string }

func (t Target) id() hostID {
	var keys strings.Builder
	for _, k := range t.HostKeys {
		keys.Write(k.Marshal()) // self-delimiting
	}
	return hostID{t.Address, t.User, keys.String()}
}

// Options are the durations and bounds of a Pool. Zero fields have the defaults.
type Options struct {
	// DialTimeout bounds making one connection, from TCP to the login. Default 15 s.
	DialTimeout time.Duration
	// Keepalive is the interval at which a connection is checked, and for how long
	// the answer may take before the connection is given up. Default 15 s.
	Keepalive time.Duration
	// MaxSessions is how many commands share one connection. Default 8: sshd takes
	// 10, and counts those from which a caller has detached.
	MaxSessions int
	// IdleTimeout is how long a connection without commands is kept. Default 5 min.
	IdleTimeout time.Duration
}

// withDefaults returns o with its zero fields set.
func (o Options) withDefaults() Options {
	if o.DialTimeout <= 0 {
		o.DialTimeout = 15 * time.Second
	}
	if o.Keepalive <= 0 {
		o.Keepalive = 15 * time.Second
	}
	if o.MaxSessions <= 0 {
		o.MaxSessions = 8
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 5 * time.Minute
	}
	return o
}

// Pool keeps the SSH connections of one worker. All methods may be called
// concurrently.
type Pool struct {
	signer  ssh.Signer
	options Options
	ctx     context.Context // ends with Close; dials live in it
	cancel  context.CancelFunc
	running sync.WaitGroup // goroutines
	packed  packed

	mu     sync.Mutex
	closed bool
	hosts  map[hostID]*host
}

// host is what a pool has of one target. The pool's mutex guards it.
type host struct {
	id     hostID
	target Target
	conns  []*conn
	dial   *dial         // in flight, or nil
	gone   bool          // no longer in Pool.hosts
	wake   chan struct{} // closed when a session came free; nil while nobody waits
}

// dial is one connection being made, for all who wait for it.
type dial struct {
	done   chan struct{} // closed once err is set
	err    error
	cancel context.CancelFunc
}

// New returns a pool that logs in with signer.
func New(signer ssh.Signer, o Options) *Pool {
	ctx, cancel := context.WithCancel(context.Background())
	return &Pool{signer: signer, options: o.withDefaults(), ctx: ctx, cancel: cancel, hosts: map[hostID]*host{}}
}

// Forget closes every connection to an address and fails the dials in flight: the
// instance is gone, or another machine will have its address. Commands that are
// running there end with *UnknownOutcomeError.
func (p *Pool) Forget(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, h := range p.hosts {
		if id.address == address {
			p.removeLocked(h, ErrForgotten)
		}
	}
}

// Close closes all connections and waits until nothing of the pool runs any more.
// Commands that are running end with *UnknownOutcomeError, later calls fail.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.cancel()
	for _, h := range p.hosts {
		p.removeLocked(h, ErrClosed)
	}
	p.mu.Unlock()
	p.running.Wait()
}

// removeLocked takes a host out of the pool.
func (p *Pool) removeLocked(h *host, why error) {
	h.gone = true
	delete(p.hosts, h.id)
	if h.dial != nil {
		h.dial.cancel()
	}
	for _, c := range h.conns {
		c.shutLocked(why)
	}
	h.conns = nil
}

// acquire returns a connection with a session reserved on it, which conn.run uses and
// gives back. It waits for a dial, or for a session that comes free.
func (p *Pool) acquire(ctx context.Context, t Target) (*conn, error) {
	id := t.id()
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, &ConnectError{Address: t.Address, Step: StepDial, Err: ErrClosed}
		}
		h := p.hosts[id]
		if h == nil {
			h = &host{id: id, target: t}
			p.hosts[id] = h
		}
		if c := h.reserve(); c != nil {
			p.running.Add(1) // here, where Close can't have begun to wait
			p.mu.Unlock()
			return c, nil
		}
		if h.wake == nil {
			h.wake = make(chan struct{})
		}
		d, wake := p.dialLocked(h), h.wake
		p.mu.Unlock()
		select {
		case <-d.done:
			if d.err != nil {
				return nil, d.err
			}
		case <-wake:
		case <-ctx.Done():
			return nil, &ConnectError{Address: t.Address, Step: StepDial, Err: ctx.Err()}
		}
	}
}

// reserve takes a session of the oldest connection that has one, or returns nil.
func (h *host) reserve() *conn {
	for _, c := range h.conns {
		if c.open < c.limit && c.wire.alive() {
			c.open++
			c.live++
			c.idle.Stop()
			return c
		}
	}
	return nil
}

// dialLocked returns the host's dial in flight, starting one if there is none. It
// does not end with the caller: others may wait for it.
func (p *Pool) dialLocked(h *host) *dial {
	if h.dial != nil {
		return h.dial
	}
	ctx, cancel := context.WithTimeout(p.ctx, p.options.DialTimeout)
	d := &dial{done: make(chan struct{}), cancel: cancel}
	h.dial = d
	p.running.Go(func() {
		defer cancel()
		c, err := p.connect(ctx, h)
		p.mu.Lock()
		defer p.mu.Unlock()
		h.dial = nil
		d.err = p.dialedLocked(h, c, err)
		p.tidyLocked(h)
		close(d.done)
	})
	return d
}

// dialedLocked adds a new connection to its host, unless it has come too late. It
// returns the error of the dial.
func (p *Pool) dialedLocked(h *host, c *conn, err error) error {
	fail := func(step Step, err error) error {
		return &ConnectError{Address: h.target.Address, Step: step, Err: err}
	}
	switch {
	case p.closed:
		err = fail(StepDial, ErrClosed)
	case h.gone:
		err = fail(StepDial, ErrForgotten)
	case err != nil:
	case !c.wire.alive():
		err = fail(StepSession, c.wire.err)
	default:
		h.conns = append(h.conns, c)
		c.idleSince = time.Now()
		c.idle = time.AfterFunc(p.options.IdleTimeout, c.expire)
		return nil
	}
	if c != nil {
		c.wire.shut(err)
	}
	return err
}

// tidyLocked removes a host that holds nothing.
func (p *Pool) tidyLocked(h *host) {
	if !h.gone && h.dial == nil && len(h.conns) == 0 {
		h.gone = true
		delete(p.hosts, h.id)
	}
}
