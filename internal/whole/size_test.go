package whole

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// size is how much one fleet has to manage in a test of that.
type size struct {
	instances, running, queued int
	// real is how many of the containers have a workflow of their own. For the others the
	// fleet gets the requests that their workflows would send.
	real int
	// runs is how long a container runs on average, once as many run as there is room for.
	runs time.Duration
	// churn is for how long containers end by themselves; then the others are cancelled.
	// Zero: until all have ended.
	churn time.Duration
	// every is the pause between two changes of a priority by people, of whom there are two.
	every time.Duration
	// continues is how many runs the workflow of the fleet has, at least.
	continues int
}

// sizes are selected by $DROVER_SIZE.
var sizes = map[string]size{
	"":       {instances: 100, running: 500, queued: 2500, real: 60, runs: 2 * time.Second, every: 10 * time.Millisecond, continues: 3},
	"medium": {instances: 500, running: 2500, queued: 10_000, real: 200, runs: 30 * time.Second, churn: time.Minute, every: 200 * time.Millisecond, continues: 5},
	"full":   {instances: 2000, running: 10_000, queued: 50_000, real: 300, runs: 4 * time.Minute, churn: 4 * time.Minute, every: 200 * time.Millisecond, continues: 15},
}

func (z size) all() int { return z.running + z.queued }

// TestSize has one fleet manage many instances and containers, on a real server, through
// drover's workflows, with instances and containers that are simulated.
func TestSize(t *testing.T) {
	z, known := sizes[os.Getenv("DROVER_SIZE")]
	require.True(t, known, "DROVER_SIZE: allowed: nothing, medium, full")
	r := &sizeRun{system: newServer(t), size: z}
	_, r.log = r.startCrowd()
	r.apply(z.spec)
	r.began = time.Now()
	stop := r.prioritize()
	runs := r.submitAll()
	r.say("%d containers are submitted", z.all())
	r.watch(func(f api.FleetState) bool { return f.Totals.Submitted == int64(z.all()) && f.Running == z.running })
	r.say("as many run as there is room for")
	r.ps()
	require.NoError(t, os.WriteFile(fullFile(r.dir), nil, 0o600))
	full := time.Now()
	r.watch(func(f api.FleetState) bool {
		return f.Totals.Exited == int64(z.all()) || z.churn > 0 && time.Since(full) > z.churn
	})
	r.rate = float64(r.fleet.Totals.Exited) / time.Since(full).Seconds()
	r.say("%d have ended", r.fleet.Totals.Exited)
	stop()
	r.cancelAll(runs)
	r.watch(func(f api.FleetState) bool { return f.Queued+f.Assigned+f.Running == 0 })
	r.say("the others are cancelled")
	r.results(runs)
	r.report()
	assert.GreaterOrEqual(t, r.histories.runs, z.continues, "it continues as new, many times")
}

// spec is that of a fleet with room for so many containers at a time.
func (z size) spec(spec *fleetspec.Spec) {
	each := float64(z.running / z.instances)
	spec.InstanceTypes = []fleetspec.InstanceType{{
		Name: "many", ProviderType: "many", VCPUs: each, Memory: fleetspec.Size(each) << 30, Price: 1, Architecture: "amd64",
	}}
	spec.Limits.MaxInstances, spec.Limits.CreateConcurrency = z.instances, 25
	spec.Timeouts.Idle = fleetspec.Duration(time.Hour)
	spec.Timeouts.Boot = fleetspec.Duration(time.Hour)
	if z.running > 1000 {
		spec.Intervals.Heartbeat = fleetspec.Duration(time.Minute)
	}
}

// sizeRun is one run of TestSize.
type sizeRun struct {
	*system
	size
	log   string // of what happens to containers
	began time.Time

	fleet      api.FleetState // when it was looked at last
	peak       struct{ running, queued int }
	took       []time.Duration // queries of the fleet
	listing    time.Duration   // `drover ps`
	rate       float64         // containers that ended, a second
	unanswered int
	unheard    atomic.Int64 // changes of priority
	histories  fleetHistories
}

func (r *sizeRun) say(format string, args ...any) {
	f := r.fleet
	r.Logf("%v: %s; %d queued, %d assigned, %d running, %d exited, %d instances", time.Since(r.began).Round(time.Second),
		fmt.Sprintf(format, args...), f.Queued, f.Assigned, f.Running, f.Totals.Exited, len(f.Instances))
}

// container is the ID of a container of those with and without a workflow of its own.
func (r *sizeRun) container(k int) string {
	return fmt.Sprintf("align-cohort-2026-11-%05d", k)
}

// submitAll submits all containers, and returns the workflows of those that have one.
func (r *sizeRun) submitAll() []client.WorkflowRun {
	var requests []api.Request
	specs := make([]api.ContainerSpec, r.all())
	for k := range specs {
		specs[k] = api.DefaultContainerSpec()
		specs[k].Command = []string{"sleep", rand.N(2 * r.runs).Round(time.Millisecond).String(), "--threads=1", "--sample", fmt.Sprint(k)}
		specs[k].Memory = fleetspec.Size(256+k%8*32) << 20
		if k >= r.real {
			requests = append(requests, api.Request{
				Kind: api.Submit, ID: r.container(k), VCPUs: specs[k].VCPUs, Memory: specs[k].Memory, Attempts: specs[k].Attempts,
				Label: specs[k].Label(48), QueuedAt: time.Now(),
			})
		}
	}
	asked := r.askFor(requests)
	runs := make([]client.WorkflowRun, r.real)
	for k := range runs {
		var err error
		runs[k], err = r.client.ExecuteWorkflow(r.Context(), client.StartWorkflowOptions{
			ID: api.ContainerWorkflowID(r.container(k)), TaskQueue: api.DefaultTaskQueue,
		}, api.ContainerWorkflow, specs[k])
		require.NoError(r, err)
	}
	asked()
	return runs
}

// prioritize has people change priorities all the time, until stopped: the fleet gets each
// change in a signal of its own, as from many workers.
func (r *sizeRun) prioritize() (stop func()) {
	ctx, cancel := context.WithCancel(r.Context())
	var people sync.WaitGroup
	for range 2 {
		people.Go(func() {
			every := time.NewTicker(r.every)
			defer every.Stop()
			for ctx.Err() == nil {
				change := api.Request{Kind: api.Prioritize, ID: r.container(rand.N(r.all())), Priority: rand.N(2)}
				err := r.client.SignalWorkflow(ctx, api.FleetWorkflowID("default"), "", api.SignalRequest, change)
				if err != nil && ctx.Err() == nil {
					r.unheard.Add(1) // it would be sent again
				}
				select {
				case <-ctx.Done():
				case <-every.C:
				}
			}
		})
	}
	return func() { cancel(); people.Wait() }
}

// askFor has the crowd ask for something that many containers want, and returns what
// waits until it has.
func (r *sizeRun) askFor(requests []api.Request) func() {
	var all sync.WaitGroup
	const atOnce = 1000
	for k := 0; k*atOnce < len(requests); k++ {
		part := requests[k*atOnce : min((k+1)*atOnce, len(requests))]
		run, err := r.client.ExecuteWorkflow(r.Context(), client.StartWorkflowOptions{
			ID: fmt.Sprintf("ask-%s-%d", part[0].Kind, k), TaskQueue: api.DefaultTaskQueue,
		}, "Ask", asking{part})
		require.NoError(r, err)
		all.Go(func() { assert.NoError(r, run.Get(r.Context(), nil)) })
	}
	return all.Wait
}

// cancelAll cancels what has not ended.
func (r *sizeRun) cancelAll(runs []client.WorkflowRun) {
	ended := map[string]bool{}
	for _, e := range r.happened() {
		if e.message != "" {
			ended[e.container] = true
		}
	}
	var requests []api.Request
	for k := range r.all() {
		id := r.container(k)
		switch {
		case ended[id]:
		case k < r.real:
			require.NoError(r, r.client.CancelWorkflow(r.Context(), runs[k].GetID(), ""))
		default:
			requests = append(requests, api.Request{Kind: api.Cancel, ID: id})
		}
	}
	r.askFor(requests)()
}

// results checks that every container has begun once at most, and has had one outcome. One
// that is cancelled when it has ended is told that, too: its workflow has closed by then.
func (r *sizeRun) results(runs []client.WorkflowRun) {
	begun, results, first := map[string]int{}, map[string]string{}, map[string]string{}
	var twice, odd []string
	for _, e := range r.happened() {
		if e.what == "begins" {
			begun[e.container]++
		}
		if e.what == "result" && results[e.container] != "" && results[e.container] != e.message {
			twice = append(twice, e.container)
		}
		if e.what == "result" {
			results[e.container] = e.message
		}
		if e.message != "" && first[e.container] == "" {
			first[e.container] = e.what
		}
		if e.what == "fails" || e.what == "result" && first[e.container] != "result" {
			odd = append(odd, e.container+" "+e.what)
		}
	}
	var lost []string
	for k := range r.all() {
		id := r.container(k)
		if begun[id] > 1 {
			twice = append(twice, id)
		}
		if first[id] == "" {
			lost = append(lost, id)
		}
	}
	assert.Empty(r, lost, "every container has an outcome")
	assert.Empty(r, twice, "none has begun twice, or has two results")
	assert.Empty(r, odd, "none has failed, or has a result after another outcome")
	assert.Zero(r, r.fleet.Totals.Retried+r.fleet.Totals.Failed)
	assert.Equal(r, r.running, r.peak.running, "as many as there is room for")
	cancelled := 0
	for _, run := range runs {
		if _, err := r.result(run); err != nil {
			require.ErrorContains(r, err, "canceled")
			cancelled++
		}
	}
	r.Logf("%d containers with a workflow have a result, %d are cancelled", len(runs)-cancelled, cancelled)
}
