package whole

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// TestChaos runs containers while everything that may go wrong does: workers,
// instances, their network, the cloud's answers, Temporal, and people. Then it leaves
// the system alone and checks what must hold whatever has happened.
//
// DROVER_CHAOS_DURATION is for how long things go wrong (default: 45s). The seed is
// printed; DROVER_CHAOS_SEED repeats its events, and when they happen, as far as the
// machine keeps up.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed, duration := uint64(time.Now().UnixNano()), 45*time.Second
	if text := os.Getenv("DROVER_CHAOS_SEED"); text != "" {
		_, err := fmt.Sscan(text, &seed)
		require.NoError(t, err)
	}
	if text := os.Getenv("DROVER_CHAOS_DURATION"); text != "" {
		var err error
		duration, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	t.Logf("DROVER_CHAOS_SEED=%d DROVER_CHAOS_DURATION=%s", seed, duration)
	c := newChaos(t)
	for _, e := range plan(seed, duration) {
		c.after(e.at, func() { c.happens(e) })
	}
	c.run(duration)
	c.say("calm", "nothing goes wrong from here on")
	c.calmDown()
	c.awaitResults()
	c.awaitEmptiness()
	c.judgeContainers()
	c.judgeWorkflows()
	c.judgeCoverage(duration)
	c.sumUp()
}

// chaos is a system in which things go wrong.
type chaos struct {
	*system
	began     time.Time
	due       []timed // what is to happen, by time
	calm      bool    // nothing goes wrong any more
	alive     []*process
	network   *network
	treated   map[string]time.Time // until when something is being done to an instance
	troubles  []trouble
	fleetDown []trouble
	down      bool // there is no fleet now
	outage    bool // the cloud refuses every call
	keeps     bool // in an outage, it only refuses to destroy
	witness   *witness
	counts    map[string]int
	killed    map[string]bool      // instances' workflows that were terminated
	flooded   map[string]bool      // workflows that got a flood of signals
	unplugged map[string]time.Time // when instances lost their power, or are taken
}

// timed is something that is to happen.
type timed struct {
	at   time.Time
	do   func()
	undo bool // it ends something that went wrong, and must happen in any case
}

// trouble is a time in which an instance, or everything (""), could not be reached.
type trouble struct {
	instance string
	from, to time.Time
}

func newChaos(t *testing.T) *chaos {
	c := &chaos{
		system: newServer(t), began: time.Now(), treated: map[string]time.Time{},
		counts: map[string]int{}, killed: map[string]bool{}, flooded: map[string]bool{}, unplugged: map[string]time.Time{},
	}
	c.witness = newWitness(t)
	c.network = newNetwork(t)
	c.startWorkers(2)
	c.applyFleet()
	c.began = time.Now()
	return c
}

// spec is that of the fleet: everything is quick, and the cloud fails.
func (c *chaos) spec() fleetspec.Spec {
	spec := fleetspec.Default("default")
	seconds := func(n float64) fleetspec.Duration { return fleetspec.Duration(n * float64(time.Second)) }
	spec.Local.BootDelay = seconds(0.3)
	spec.Limits.MaxInstances = 6
	spec.Timeouts.Boot, spec.Timeouts.Probe, spec.Timeouts.Idle = seconds(90), seconds(probeTimeout.Seconds()), seconds(4)
	spec.Timeouts.ShutdownRetry, spec.Timeouts.Term, spec.Timeouts.Signal = seconds(1), seconds(15), seconds(1)
	spec.Intervals.Probe, spec.Intervals.Sync = seconds(1), seconds(2)
	if c.calm {
		return spec
	}
	often := fleetspec.CallFaults{Fail: 0.1, Lose: 0.05, Late: 0.1, Delay: seconds(2)}
	destroy := often
	if c.outage {
		destroy.Fail = 1
	}
	if c.outage && !c.keeps {
		often.Fail = 1
	}
	spec.Faults = &fleetspec.Faults{
		Destroy: destroy, Get: often, List: often, Tag: often,
		Create: fleetspec.CreateFaults{Fail: often.Fail, Lose: often.Lose, Late: often.Late, Delay: often.Delay},
	}
	return spec
}

// probeTimeout is that of the fleet. Three probes must have failed as well, each of
// which may take ten seconds: an instance is unreachable after half a minute.
const probeTimeout = 8 * time.Second

// after has something happen that long after the beginning.
func (c *chaos) after(d time.Duration, do func()) { c.schedule(timed{at: c.began.Add(d), do: do}) }

// later ends something that went wrong, that long from now or when calm sets in.
func (c *chaos) later(d time.Duration, do func()) {
	c.schedule(timed{at: time.Now().Add(d), do: do, undo: true})
}

func (c *chaos) schedule(what timed) {
	at, _ := slices.BinarySearchFunc(c.due, what, func(a, b timed) int {
		if a.at.After(b.at) {
			return 1
		}
		return -1
	})
	c.due = slices.Insert(c.due, at, what)
}

// run has happen what is due until the duration has passed, and then ends what is
// still wrong.
func (c *chaos) run(duration time.Duration) {
	end := c.began.Add(duration)
	for len(c.due) > 0 {
		next := c.due[0]
		c.due = c.due[1:]
		if next.undo && c.calm {
			next.do()
			continue
		}
		if wait := time.Until(earlier(next.at, end)); wait > 0 {
			select {
			case <-time.After(wait):
			case <-c.Context().Done():
				return
			}
		}
		switch {
		case time.Now().Before(end):
			next.do()
		case next.undo:
			c.calm = true
			next.do()
		default:
			c.calm = true
			c.counts["planned, and too late"]++
		}
	}
	c.calm = true
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// happens carries out an event of the plan.
func (c *chaos) happens(e event) {
	if c.calm {
		return
	}
	c.counts[e.kind]++
	kinds[e.kind].do(c, e)
}

// say prints what happens, and when.
func (c *chaos) say(kind, format string, args ...any) {
	c.Logf("%6.1fs %-30s %s", time.Since(c.began).Seconds(), kind, fmt.Sprintf(format, args...))
}

// calmDown takes back what can be taken back: faults, holds, low priorities.
func (c *chaos) calmDown() {
	c.network.close()
	c.applyFleet()
	for _, k := range c.witness.containers {
		if k.priority < 0 {
			c.try("a priority is raised", func() error {
				return c.client.SignalWorkflow(c.Context(), k.run.GetID(), "", api.SignalSetPriority, 1)
			})
		}
	}
}

// liftHolds has all instances that are on hold run.
func (c *chaos) liftHolds() {
	for _, i := range c.openInstances() {
		if i.IdleBehavior == api.Hold {
			c.try("a hold is lifted", func() error {
				return c.client.SignalWorkflow(c.Context(), i.WorkflowID, "", api.SignalSetIdleBehavior, "run")
			})
		}
	}
}

// applyFleet creates the fleet, or changes it to what it must be now.
func (c *chaos) applyFleet() {
	spec := c.spec()
	c.eventually(time.Minute, func() bool {
		_, err := c.client.ExecuteWorkflow(c.Context(), client.StartWorkflowOptions{
			ID: api.FleetWorkflowID(spec.Name), TaskQueue: api.DefaultTaskQueue,
		}, api.FleetWorkflow, api.FleetInput{Spec: spec})
		if err != nil || !c.calm {
			return err == nil
		}
		return c.update(api.FleetWorkflowID(spec.Name), api.UpdateApply, spec) == nil
	}, "the fleet is applied")
}

// sumUp prints what has happened.
func (c *chaos) sumUp() {
	names := make([]string, 0, len(c.counts))
	for name := range c.counts {
		names = append(names, name)
	}
	slices.Sort(names)
	var text strings.Builder
	for _, name := range names {
		fmt.Fprintf(&text, "\n%6d %s", c.counts[name], name)
	}
	c.Logf("in %s:%s", time.Since(c.began).Round(time.Second), text.String())
}

// instancesDirectory is where the fleet's instances live.
func (c *chaos) instancesDirectory() string { return filepath.Join(c.dir, "instances", "default") }

// choose returns one of the elements; pick says which.
func choose[T any](pick uint64, from []T) (one T, ok bool) {
	if len(from) == 0 {
		return one, false
	}
	return from[pick%uint64(len(from))], true
}

// random returns the generator of a purpose.
func random(seed, purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, purpose)) }
