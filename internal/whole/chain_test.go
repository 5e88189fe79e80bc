package whole

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// TestChainsStayOnAsManyInstancesAsTheyNeed submits containers as the ones before them
// end, and counts what is bought for them in all.
func TestChainsStayOnAsManyInstancesAsTheyNeed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		wide, links int
		vcpus       float64
		want        int64
	}{
		{"one", 1, 40, 2, 1},
		{"five, an instance each", 5, 12, 2, 5},
		{"five, two on an instance", 5, 12, 1, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t, chained)
			var all sync.WaitGroup
			for chain := range c.wide {
				all.Go(func() {
					for link := range c.links {
						run := s.submit(fmt.Sprintf("chain-%d-%d", chain, link), map[string]any{"command": []string{"true"}, "vcpus": c.vcpus})
						result, err := s.result(run)
						if !assert.NoError(t, err) || !assert.Equal(t, 1, result.Attempts) {
							return
						}
					}
				})
			}
			all.Wait()
			s.bought(c.want)
		})
	}
}

// TestManyThatEndAtOnceAreFollowedOnTheSameInstance has an instance full of containers
// that end at the same moment, each of which is followed by another.
func TestManyThatEndAtOnceAreFollowedOnTheSameInstance(t *testing.T) {
	t.Parallel()
	s := newSystem(t, chained)
	const wide, rounds = 20, 5
	gates := t.TempDir()
	submit := func(round, k int) client.WorkflowRun {
		gate := filepath.Join(gates, fmt.Sprint(round))
		return s.submit(fmt.Sprintf("round-%d-%d", round, k), map[string]any{"vcpus": 2. / wide, "memory": "64MiB",
			"command": []string{"sh", "-c", "while [ ! -e " + gate + " ]; do sleep 0.05; done"}})
	}
	runs := make([]client.WorkflowRun, wide)
	for k := range runs {
		runs[k] = submit(0, k)
	}
	for round := range rounds {
		s.eventually(time.Minute, func() bool { return s.fleet().Running == wide }, "all of round %d run", round)
		require.NoError(t, os.WriteFile(filepath.Join(gates, fmt.Sprint(round)), nil, 0o600))
		var all sync.WaitGroup
		for k := range runs {
			all.Go(func() {
				_, err := s.result(runs[k])
				if assert.NoError(t, err) && round+1 < rounds {
					runs[k] = submit(round+1, k)
				}
			})
		}
		all.Wait()
	}
	s.bought(1)
}

// chained is a fleet that keeps its instances for longer than a link takes to follow.
func chained(spec *fleetspec.Spec) { spec.Timeouts.Idle = fleetspec.Duration(10 * time.Minute) }

// bought checks how many instances have been asked for, in all of the fleet's life.
func (s *system) bought(want int64) {
	s.Helper()
	state := s.fleet()
	assert.Equal(s, want, state.Totals.Created, "instances created")
	assert.Len(s, state.Instances, int(want), "and none that is still asked for")
	for _, i := range state.Instances {
		assert.Contains(s, []string{api.StateIdle, api.StateRunning}, i.State)
	}
}
