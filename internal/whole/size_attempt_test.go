package whole

import (
	"context"
	"fmt"
	"sync"

	"drover/internal/api"
)

// attempt is one of a container.
type attempt struct {
	begun  bool
	killed chan struct{} // closed when it is to be killed, or must not begin
	ended  chan struct{} // closed when it has
}

// attempt returns what is known of an attempt.
func (c *crowd) attempt(name string) *attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attempts[name] == nil {
		c.attempts[name] = &attempt{killed: make(chan struct{}), ended: make(chan struct{})}
	}
	return c.attempts[name]
}

// turn returns what is closed when one of the attempts has ended. None: at once.
func (c *crowd) turn(ctx context.Context, after []string) <-chan struct{} {
	turn := make(chan struct{})
	var once sync.Once
	for _, name := range after {
		go func() {
			select {
			case <-c.attempt(name).ended:
				once.Do(func() { close(turn) })
			case <-ctx.Done():
			}
		}()
	}
	if len(after) == 0 {
		close(turn)
	}
	return turn
}

// begins reports whether an attempt begins, or has begun; it does not when it was killed
// before.
func (c *crowd) begins(name string) bool {
	a := c.attempt(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-a.killed:
	default:
		if !a.begun {
			fmt.Fprintln(c.log, "begins", name)
		}
		a.begun = true
	}
	return a.begun
}

// ends ends an attempt.
func (c *crowd) ends(name string) {
	c.note("ends", name)
	close(c.attempt(name).ended)
}

// kill ends a container. Like a real one, one that has not begun never will.
func (c *crowd) kill(_ context.Context, in api.KillInput) (bool, error) {
	c.stop(in.Assignment, true)
	return true, nil
}

// revoke keeps a container from beginning.
func (c *crowd) revoke(_ context.Context, in api.RevokeInput) error {
	c.stop(in.Assignment, false)
	return nil
}

func (c *crowd) stop(assignment api.Assignment, evenIfBegun bool) {
	a := c.attempt(assignment.OnInstance())
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-a.killed:
	default:
		if evenIfBegun || !a.begun {
			close(a.killed)
		}
	}
}
