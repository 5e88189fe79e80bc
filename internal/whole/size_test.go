package whole

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// size is how much one fleet has to manage in a test of that.
type size struct {
	instances, running, queued int
	// runs is how long a container runs, at least; at most it is twice that.
	runs time.Duration
	// within is how long the test may go on; zero: until all containers have ended.
	within time.Duration
}

// TestSize has one fleet manage many instances and containers, on a real server, through
// drover's workflows, with instances and containers that are simulated. It is small
// unless $DROVER_SIZE is full.
func TestSize(t *testing.T) {
	z := size{instances: 60, running: 300, queued: 1500, runs: 4 * time.Second}
	if os.Getenv("DROVER_SIZE") == "full" {
		z = size{instances: 2000, running: 10_000, queued: 50_000, runs: 4 * time.Minute, within: 20 * time.Minute}
	}
	s := newServer(t)
	c := newCrowd(s)
	s.apply(z.spec)
	began := time.Now()
	all := z.running + z.queued
	runs := c.submitMany(all, z.runs)
	t.Logf("%d containers submitted in %v", all, time.Since(began).Round(time.Second))
	var fleet api.FleetState
	for fleet.Totals.Exited < int64(all) && (z.within == 0 || time.Since(began) < z.within) {
		fleet = c.look()
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(time.Second): // how often it is looked
		}
	}
	took := time.Since(began)
	c.report(fleet, took)
	assert.Equal(t, all, fleet.Queued+fleet.Assigned+fleet.Running+int(fleet.Totals.Exited), "none is lost")
	assert.Zero(t, fleet.Totals.Retried+fleet.Totals.Failed)
	assert.Empty(t, c.startedTwice())
	assert.LessOrEqual(t, c.peak.running, z.running, "none more than there is room for")
	if z.within == 0 {
		assert.Len(t, c.begun, all)
		for _, run := range runs {
			result, err := s.result(run)
			require.NoError(t, err)
			assert.Zero(t, result.ExitCode)
		}
	} else {
		assert.Equal(t, z.running, c.peak.running, "as many run as there is room for")
	}
	assert.Greater(t, c.fleetRuns(), 2, "it continues as new, many times")
}

// spec is that of a fleet with room for so many containers at a time.
func (z size) spec(spec *fleetspec.Spec) {
	each := float64(z.running / z.instances)
	spec.InstanceTypes = []fleetspec.InstanceType{{
		Name: "many", ProviderType: "many", VCPUs: each, Memory: fleetspec.Size(each) << 30, Price: 1, Architecture: "amd64",
	}}
	spec.Limits.MaxInstances, spec.Limits.CreateConcurrency = z.instances, z.instances
	spec.Timeouts.Idle = fleetspec.Duration(time.Hour)
	spec.Timeouts.Boot = fleetspec.Duration(time.Hour)
	if z.running > 1000 {
		spec.Intervals.Heartbeat = fleetspec.Duration(2 * time.Minute)
	}
}

// report says what it took.
func (c *crowd) report(fleet api.FleetState, took time.Duration) {
	cpu, memory := usage(c.s, c.s.server.cmd.Process.Pid)
	ownCPU, ownMemory := usage(c.s, os.Getpid())
	latencies := c.latencies()
	c.s.Logf("%d instances, at most %d containers at a time and %d queued; %d have ended after %v: %.1f a second",
		len(fleet.Instances), c.peak.running, c.peak.queued, fleet.Totals.Exited, took.Round(time.Second), float64(fleet.Totals.Exited)/took.Seconds())
	c.s.Logf("server: %.0f s CPU, %d MiB at most; worker: %.0f s CPU, %d MiB at most", cpu, memory>>20, ownCPU, ownMemory>>20)
	c.s.Logf("a query of the fleet takes %v (median), %v (95th percentile), %v at most; %d did not answer in time",
		latencies[len(latencies)/2], latencies[len(latencies)*95/100], latencies[len(latencies)-1], c.unanswered)
	c.s.Logf("the fleet has had %d runs; the longest history has %d events; the largest state that was carried has %d KiB",
		c.fleetRuns(), c.longestHistory(), c.largestCarried()>>10)
	c.s.Log(fmt.Sprintf("queued %d, assigned %d, running %d, exited %d", fleet.Queued, fleet.Assigned, fleet.Running, fleet.Totals.Exited))
}
