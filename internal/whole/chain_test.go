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
			s := newSystem(t, staysIdle)
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
			s.boughtAre(c.want)
		})
	}
}

// TestManyThatEndAtOnceAreFollowedOnTheSameInstance has an instance full of containers
// that end at the same moment, each of which is followed by another.
func TestManyThatEndAtOnceAreFollowedOnTheSameInstance(t *testing.T) {
	t.Parallel()
	s := newSystem(t, staysIdle)
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
	s.boughtAre(1)
}

// TestWhatBootsForAContainerThatWentElsewhereServesTheNext holds an instance back in its
// boot. The container that it was bought for is cancelled, the next finds room elsewhere,
// and the third waits for it.
func TestWhatBootsForAContainerThatWentElsewhereServesTheNext(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	file := func(name string) string { return filepath.Join(files, name) }
	create := func(name string) { require.NoError(t, os.WriteFile(file(name), nil, 0o600)) }
	create("boot")
	s := newSystem(t, func(spec *fleetspec.Spec) {
		staysIdle(spec)
		spec.BootProbe = "test -e " + file("boot")
		spec.Intervals.Probe = fleetspec.Duration(time.Second)
	})
	until := func(name, end string) client.WorkflowRun {
		return s.submit(name, map[string]any{"vcpus": 2, "command": []string{"sh", "-c", "while [ ! -e " + file(end) + " ]; do sleep 0.05; done"}})
	}
	first := until("first", "first-ends")
	s.eventually(time.Minute, func() bool { return s.fleet().Running == 1 }, "the first runs")
	require.NoError(t, os.Remove(file("boot")))

	cancelled := until("cancelled", "never")
	s.eventually(time.Minute, func() bool { return s.fleet().Totals.Created == 2 }, "an instance is bought for the second")
	require.NoError(t, s.client.CancelWorkflow(t.Context(), cancelled.GetID(), ""))
	_, err := s.result(cancelled)
	require.Error(t, err)

	elsewhere := until("elsewhere", "elsewhere-ends")
	s.eventually(time.Minute, func() bool { return s.fleet().Assigned == 1 }, "the third waits for what boots")
	create("first-ends")
	_, err = s.result(first)
	require.NoError(t, err)
	s.eventually(time.Minute, func() bool { return s.fleet().Running == 1 }, "the third runs where the first ran")

	last := until("last", "last-ends")
	s.eventually(time.Minute, func() bool { return s.fleet().Assigned == 1 }, "the last waits for what boots")
	create("boot")
	s.eventually(time.Minute, func() bool { return s.fleet().Running == 2 }, "the last runs")
	create("elsewhere-ends")
	create("last-ends")
	one, err := s.result(elsewhere)
	require.NoError(t, err)
	other, err := s.result(last)
	require.NoError(t, err)
	assert.NotEqual(t, one.Instance, other.Instance)
	s.boughtAre(2)
}

// staysIdle keeps idle instances for longer than a test takes.
func staysIdle(spec *fleetspec.Spec) { spec.Timeouts.Idle = fleetspec.Duration(10 * time.Minute) }

// boughtAre checks how many instances have been asked for, in all of the fleet's life.
func (s *system) boughtAre(want int64) {
	s.Helper()
	state := s.fleet()
	assert.Equal(s, want, state.Totals.Created, "instances created")
	assert.Len(s, state.Instances, int(want), "and none that is still asked for")
	for _, i := range state.Instances {
		assert.Contains(s, []string{api.StateIdle, api.StateRunning}, i.State)
	}
}
