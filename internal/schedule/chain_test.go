package schedule

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// runChains has so many chains of so many links, each of which is submitted as the one
// before ends, run to their end.
func runChains(s *sim, shape, wide, links int) {
	left := wide * (links - 1)
	s.follow = func(n int) {
		n = min(n, left)
		s.submit(shape, 0, n)
		left -= n
	}
	s.submit(shape, 0, wide)
	for len(s.w.Containers) > 0 {
		s.step()
		require.True(s.t, s.w.Now.Before(noon.Add(24*time.Hour)), "no end")
	}
}

func TestOverTimeAChainStaysOnOneInstance(t *testing.T) {
	s := newSim(t, fleet(), 100, func(*Container) time.Duration { return 20 * time.Second })
	runChains(s, two, 1, 50)
	assert.Len(t, s.ran, 50)
	assert.Equal(t, 1, s.bought)
}

func TestOverTimeAWideChainStaysOnAsManyAsItNeeds(t *testing.T) {
	for _, c := range []struct {
		name  string
		shape int
		want  int
	}{{"an instance each", two, 5}, {"two on an instance", one, 3}, {"two on a large one", four, 3}} {
		t.Run(c.name, func(t *testing.T) {
			s := newSim(t, fleet(), 100, func(o *Container) time.Duration { return 20*time.Second + time.Duration(o.Order%3)*5*time.Second })
			runChains(s, c.shape, 5, 20)
			assert.Len(t, s.ran, 100)
			assert.Equal(t, c.want, s.bought)
		})
	}
}

// A link that is heard of too early has an instance bought, which then serves the next
// one that is heard of too early: one more for each chain, and not one for each link.
func TestOverTimeWhatBootsForAContainerThatWentElsewhereServesTheNext(t *testing.T) {
	s := newSim(t, fleet(), 100, func(*Container) time.Duration { return 20 * time.Second })
	s.early = true
	runChains(s, two, 1, 50)
	assert.Len(t, s.ran, 50)
	assert.Equal(t, 2, s.bought)
}
