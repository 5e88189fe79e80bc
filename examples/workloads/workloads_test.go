package main

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/fleetspec"
	"drover/internal/simulate"
)

const small, mediumSpot, large = 0.085, 0.060, 0.340 // prices in general.yaml

// rounding is what adding up seconds may lose.
const rounding = 1e-6

func TestTheFilesAreAsGenerated(t *testing.T) {
	for name, text := range workloads() {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, text, string(data), "%s: run `go run ./examples/workloads examples/workloads`", name)
	}
}

// run simulates a workload of this directory on examples/fleets/general.yaml, with
// instances that are created in 2 s, boot in 60 s and shut down in 10 s.
func run(t *testing.T, name string, change func(*fleetspec.Spec, *simulate.Options)) simulate.Result {
	t.Helper()
	fleet, err := os.ReadFile("../fleets/general.yaml")
	require.NoError(t, err)
	spec, err := fleetspec.Parse("general.yaml", fleet)
	require.NoError(t, err)
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	w, err := simulate.ParseWorkload(name, data)
	require.NoError(t, err)
	o := simulate.DefaultOptions()
	if change != nil {
		change(&spec, &o)
	}
	r, err := simulate.Run(t.Context(), spec, w, o)
	require.NoError(t, err)
	return r
}

func TestSteadyWorkStaysOnThreeInstances(t *testing.T) {
	r := run(t, "steady.csv", nil)
	assert.Equal(t, simulate.Containers{Submitted: 720, Finished: 720}, r.Containers)
	assert.Equal(t, simulate.Instances{Created: 3, Peak: 3}, r.Instances, "five run at a time, two on an instance")
	assert.Equal(t, 62.0, r.Waits[0].Max)
	assert.Zero(t, r.Waits[0].P95)
	assert.InDelta(t, 719*120+600, r.Makespan, rounding)
	assert.InDelta(t, 5/6.0, r.VCPUHours.Utilization, 0.005)
}

func TestTheBurstTakesTwoWaves(t *testing.T) {
	r := run(t, "burst.csv", nil)
	assert.Equal(t, 256, r.Containers.Finished)
	assert.Equal(t, simulate.Instances{Created: 64, Peak: 64}, r.Instances)
	// 64 instances are created ten at a time, every 2 s: the last is up at 14+60 s.
	assert.InDelta(t, 14+60+2*900, r.Makespan, rounding)
	assert.InDelta(t, 64*small*1800/3600, r.Money.Busy, rounding)
	assert.InDelta(t, 64*small*60/3600, r.Money.Booting, rounding)
	assert.InDelta(t, 64*small*60/3600, r.Money.Idle, rounding)
}

func TestTheBurstNeedsOneWaveOfTwiceAsMany(t *testing.T) {
	r := run(t, "burst.csv", func(s *fleetspec.Spec, _ *simulate.Options) { s.Limits.MaxInstances = 128 })
	assert.Equal(t, simulate.Instances{Created: 128, Peak: 128}, r.Instances)
	assert.InDelta(t, 26+60+900, r.Makespan, rounding)
	assert.InDelta(t, 64*small*1800/3600, r.Money.Busy, rounding, "the same work costs the same")
}

func TestTheBurstAtAQuotaTakesTheWavesThatDivisionSays(t *testing.T) {
	r := run(t, "burst.csv", func(_ *fleetspec.Spec, o *simulate.Options) { o.Quota = 32 })
	assert.Equal(t, 32, r.Instances.Peak)
	assert.InDelta(t, 8+60+4*900, r.Makespan, rounding, "64 at a time")
	assert.Positive(t, r.Instances.CreateRefused)
}

func TestWideThenNarrowKeepsNothingWide(t *testing.T) {
	r := run(t, "wide-then-narrow.csv", nil)
	assert.Equal(t, 121, r.Containers.Finished)
	assert.Equal(t, simulate.Instances{Created: 61, Peak: 60}, r.Instances)
	// 60 boot for 60 s, work for 20 m, are idle for 60 s and shut down in 10 s.
	assert.InDelta(t, 60*small*1330/3600+large*(3*3600+130)/3600, r.Money.Paid, rounding)
	assert.InDelta(t, 45*60+62+3*3600, r.Makespan, rounding)
}

func TestMixedSizesFindTheirPlaces(t *testing.T) {
	r := run(t, "mixed.csv", nil)
	assert.Equal(t, 600, r.Containers.Finished)
	require.Len(t, r.Waits, 3)
	assert.LessOrEqual(t, r.Waits[1].Max, 180.0, "priority 10")
	assert.LessOrEqual(t, r.Instances.Peak, 64)
	assert.Greater(t, r.VCPUHours.Utilization, 0.8)
	for _, typ := range r.Types {
		if typ.Name == "small" || typ.Name == "medium" || typ.Name == "large" || typ.Name == "memory" {
			assert.Positive(t, typ.Created, typ.Name)
		} else {
			assert.Zero(t, typ.Created, "%s: nothing allows spot", typ.Name)
		}
	}
}

func TestMixedSizesShortOfInstancesWaitByPriority(t *testing.T) {
	r := run(t, "mixed.csv", func(s *fleetspec.Spec, _ *simulate.Options) { s.Limits.MaxInstances = 20 })
	assert.Equal(t, 600, r.Containers.Finished)
	assert.Greater(t, r.Waits[2].Median, 10*r.Waits[1].Median, "priority 10 hardly waits")
}

func TestSpotCostsAThirdAndInterruptionsCostTime(t *testing.T) {
	calm := run(t, "spot.csv", nil)
	assert.Equal(t, 200, calm.Containers.Finished)
	assert.InDelta(t, 200*mediumSpot*2, calm.Money.Busy, rounding, "two hours each, one on an instance")
	rough := run(t, "spot.csv", func(_ *fleetspec.Spec, o *simulate.Options) { o.SpotInterruptions = 0.1 })
	assert.Equal(t, 200, rough.Containers.Finished)
	assert.InDelta(t, 200*(1/(1-0.18)-1), rough.Containers.AttemptsLost, 30, "e^-0.2 of the attempts come through")
	assert.InDelta(t, 200*4*2, rough.VCPUHours.Used-rough.VCPUHours.Lost, rounding)
	assert.InDelta(t, rough.Money.Paid-calm.Money.Paid, rough.VCPUHours.Lost/4*mediumSpot, 0.5, "what is lost is what it costs more")
	assert.GreaterOrEqual(t, rough.Makespan, calm.Makespan)
}

// TestTheGuideShowsWhatIsSimulated holds the tables of docs/sizing.md to the results.
func TestTheGuideShowsWhatIsSimulated(t *testing.T) {
	data, err := os.ReadFile("../../docs/sizing.md")
	require.NoError(t, err)
	guide := string(data)
	short := func(x float64) string { return strconv.FormatFloat(math.Round(x*100)/100, 'f', -1, 64) }
	for _, n := range []int{8, 16, 32, 64} {
		r := run(t, "mixed.csv", func(s *fleetspec.Spec, _ *simulate.Options) { s.Limits.MaxInstances = n })
		assert.Contains(t, guide, fmt.Sprintf("\n| %d | %s | %s | %s | %s | %s |\n", n, short(r.Makespan/3600), short(r.Waits[0].P95/60),
			short(r.Waits[1].P95/60), short(r.Money.Paid), short(r.Money.Idle)))
	}
	for _, idle := range []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute} {
		r := run(t, "mixed.csv", func(s *fleetspec.Spec, _ *simulate.Options) { s.Timeouts.Idle = fleetspec.Duration(idle) })
		median := strings.Replace(short(r.Waits[0].Median)+"s", "0s", "0", 1)
		assert.Contains(t, guide, fmt.Sprintf("\n| %v | %d | %s | %.2f | %.2f |\n", fleetspec.Duration(idle), r.Instances.Created, median, r.Money.Paid, r.Money.Idle))
	}
	for _, rate := range []float64{0.05, 0.1, 0.3} {
		r := run(t, "spot.csv", func(_ *fleetspec.Spec, o *simulate.Options) { o.SpotInterruptions = rate })
		assert.Contains(t, guide, fmt.Sprintf("\n| %v | %.2f | %d | %d | %.2f |\n", rate, r.Makespan/3600, r.Containers.AttemptsLost, r.Containers.Failed, r.Money.Paid))
	}
	warm := run(t, "mixed.csv", func(s *fleetspec.Spec, _ *simulate.Options) { s.Limits.MinIdle = 2 })
	assert.Contains(t, guide, "waits 0 s at the 95th percentile")
	assert.Zero(t, warm.Waits[1].P95)
	assert.Contains(t, guide, fmt.Sprintf("the whole costs %.2f instead", warm.Money.Paid))
}
