package workflows_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"

	"drover/internal/api"
	"drover/internal/instancetest"
)

// TestTable runs the table of cases in skipped time.
func TestTable(t *testing.T) {
	for _, c := range instancetest.Cases() {
		t.Run(c.Name(), func(t *testing.T) { newTable(t, c).play() })
	}
}

// table plays one case. Until the answers are given, the probes of an instance that is
// not up stay without one, except for what the case knows to run.
type table struct {
	*world
	c instancetest.Case

	mu       sync.Mutex
	given    bool                // the answers
	waiting  map[string][][]byte // activities without an answer, by what they ask
	unlisted bool                // the container's result is fetched
}

func newTable(t *testing.T, c instancetest.Case) *table {
	p := &table{world: newWorld(t), c: c, waiting: map[string][][]byte{}}
	p.bootProbes = func(ctx context.Context) error { return p.ask(ctx, "boot", c.Boot) }
	p.copies = func(ctx context.Context) error {
		if c.Copy == instancetest.Needless || c.Running > 0 {
			return nil
		}
		return p.ask(ctx, "copy", c.Copy)
	}
	p.listings = p.list
	p.watch = p.watches
	p.run = p.runs
	p.destroys = func(ctx context.Context) error { return p.wait(ctx, "destroy") }
	return p
}

func (p *table) up() bool { return p.c.State == api.StateIdle || p.c.State == api.StateRunning }

// when is the time at which the answers are given.
func (p *table) when() time.Duration {
	if p.c.Late && !p.up() {
		return 10*time.Minute - time.Second // the last try is answered, and what waits is not
	}
	return time.Minute - 10*time.Second
}

// wait leaves an activity without an answer.
func (p *table) wait(ctx context.Context, what string) error {
	p.waiting[what] = append(p.waiting[what], activity.GetInfo(ctx).TaskToken)
	return activity.ErrResultPending
}

// ask answers a probe.
func (p *table) ask(ctx context.Context, what string, answer instancetest.Answer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.up():
		return nil
	case !p.given:
		return p.wait(ctx, what)
	case answer == instancetest.Fails && p.c.Late:
		return errRefused // to the last try
	case answer == instancetest.Fails:
		return p.wait(ctx, what)
	}
	return nil
}

func (p *table) listing() api.Listing {
	if p.c.Run == instancetest.Lists {
		return api.Listing{Containers: []string{"c"}}
	}
	return api.Listing{}
}

func (p *table) list(ctx context.Context) (api.Listing, error) {
	if p.up() {
		return api.Listing{}, nil
	}
	p.mu.Lock()
	known := p.c.Running > 0 && !p.given
	p.mu.Unlock()
	if known {
		return api.Listing{Containers: []string{"c"}}, nil
	}
	return p.listing(), p.ask(ctx, "list", p.c.Run)
}

// watches answers the first watch when the answers are given.
func (p *table) watches(ctx context.Context, in api.WatchInput) (api.WatchResult, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return api.WatchResult{}, p.wait(ctx, "watch")
}

func (p *table) runs(ctx context.Context, in api.RunContainerInput) (api.RunContainerResult, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if in.Unlisted {
		p.unlisted = true
		return api.RunContainerResult{How: api.Exited}, nil
	}
	return api.RunContainerResult{}, p.wait(ctx, "container")
}

// give gives the answers.
func (p *table) give() {
	p.mu.Lock()
	p.given = true
	waiting := p.waiting
	p.waiting = map[string][][]byte{"container": waiting["container"]}
	p.mu.Unlock()
	answer := func(what string, result any) {
		for _, token := range waiting[what] {
			require.NoError(p.t, p.env.CompleteActivity(token, result, nil))
		}
	}
	if result, news := p.watched(); news {
		answer("watch", result)
	}
	if p.c.Late {
		return // what is asked again is answered
	}
	if p.c.Boot == instancetest.OK {
		answer("boot", nil)
	}
	if p.c.Copy == instancetest.OK {
		answer("copy", "/runner")
	}
	if p.c.Run == instancetest.Lists || p.c.Run == instancetest.Nothing {
		answer("list", p.listing())
	}
}

// watched is what the watch says, and whether it is news.
func (p *table) watched() (api.WatchResult, bool) {
	listing := p.listing()
	switch {
	case p.c.Run == instancetest.Fails:
		return api.WatchResult{Unreachable: "i/o timeout"}, p.c.Late
	case p.c.Run == instancetest.Nothing && p.c.Running > 0:
		return api.WatchResult{Listing: &listing, Unlisted: []string{"c"}}, true
	case p.c.State == api.StateUnknown || p.c.State == api.StateBooting:
		return api.WatchResult{}, false
	}
	return api.WatchResult{Listing: &listing}, true
}

func (p *table) play() {
	if p.up() && p.c.Running+p.c.Starting > 0 {
		p.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c")}})
	}
	p.after(p.when()-time.Second, func() {
		state := query[api.InstanceState](p.world)
		assert.Equal(p.t, p.c.State, state.State, "before")
		assert.Len(p.t, state.Running, p.c.Running+p.c.Starting, "before")
	})
	p.after(p.when(), p.give)
	p.after(p.when()+8*time.Second, func() {
		state := query[api.InstanceState](p.world)
		assert.Equal(p.t, p.c.Then, state.State)
		assert.Len(p.t, state.Running, p.c.ThenRunning+p.c.ThenStarting)
		if p.c.Then == api.StateShutdown {
			assert.Empty(p.t, p.ended(), "nothing is lost while the instance may exist")
		}
	})
	p.signal(p.when()+9*time.Second, api.SignalDestroy, "the test is over")
	p.after(p.when()+10*time.Second, func() {
		for _, token := range p.waiting["destroy"] {
			require.NoError(p.t, p.env.CompleteActivity(token, nil, nil))
		}
	})
	in := instanceInput()
	if p.c.State == api.StateUnknown {
		in.Found = &api.Found{Name: in.Name, CloudID: "i-9", Type: in.Type.Name, Behavior: api.Run, CreatedAt: time.Now()}
	}
	p.liveWith(in)
}
