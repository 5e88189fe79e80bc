package whole

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"drover/activities"
	"drover/internal/api"
	"drover/internal/connect"
	"drover/internal/fleetspec"
	"drover/workflows"
)

// crowd is a worker with drover's workflows and what they tell each other, whose instances
// and containers are simulated: they answer at once, and run for as long as their command
// says.
type crowd struct {
	s *system

	mu         sync.Mutex
	begun      map[string]int // attempts of containers
	running    int
	peak       struct{ running, queued int }
	took       []time.Duration // queries of the fleet
	unanswered int
}

// newCrowd starts the worker.
func newCrowd(s *system) *crowd {
	require.NoError(s, connect.RegisterSearchAttributes(s.Context(), s.client, client.DefaultNamespace))
	c := &crowd{s: s, begun: map[string]int{}}
	w := worker.New(s.client, api.DefaultTaskQueue, worker.Options{
		MaxConcurrentActivityExecutionSize: 20000, MaxConcurrentLocalActivityExecutionSize: 2000,
		MaxConcurrentActivityTaskPollers: 8, MaxConcurrentWorkflowTaskPollers: 8,
		MaxHeartbeatThrottleInterval: activities.MaxHeartbeatThrottleInterval,
	})
	for name, function := range map[string]any{
		api.FleetWorkflow: workflows.Fleet, api.InstanceWorkflow: workflows.Instance, api.ContainerWorkflow: workflows.Container,
	} {
		w.RegisterWorkflowWithOptions(function, workflow.RegisterOptions{Name: name})
	}
	acts := activities.New(s.client, s.dir)
	acts.Register(simulated{w, c})
	require.NoError(s, w.Start())
	s.Cleanup(func() {
		w.Stop()
		require.NoError(s, acts.Close())
	})
	return c
}

// simulated registers simulations in the place of what goes to a cloud or an instance.
type simulated struct {
	worker.Worker
	c *crowd
}

// RegisterActivityWithOptions registers a simulation if there is one of that name.
func (r simulated) RegisterActivityWithOptions(real any, options activity.RegisterOptions) {
	function, found := map[string]any{
		api.PrepareFleetActivity: func(context.Context, fleetspec.Spec) (api.FleetReady, error) {
			return api.FleetReady{OutputStore: "mem://"}, nil
		},
		api.SyncFleetActivity: func(ctx context.Context, _ api.SyncInput) (api.SyncResult, error) {
			return api.SyncResult{}, lasts(ctx)
		},
		api.CreateInstanceActivity: createSimulated,
		api.AwaitAddressActivity:   func(_ context.Context, m api.Machine) (api.Machine, error) { return m, nil },
		api.BootProbeActivity:      func(context.Context, api.BootProbeInput) error { return nil },
		api.CopyRunnerActivity:     func(context.Context, api.CopyRunnerInput) (string, error) { return "/runner", nil },
		api.RunProbeActivity:       func(context.Context, api.Machine) (api.Listing, error) { return api.Listing{}, nil },
		api.WatchActivity: func(ctx context.Context, _ api.WatchInput) (api.WatchResult, error) {
			return api.WatchResult{}, lasts(ctx)
		},
		api.RunContainerActivity:    r.c.run,
		api.TagInstanceActivity:     func(context.Context, api.TagInput) error { return nil },
		api.DestroyInstanceActivity: func(context.Context, api.DestroyInput) error { return nil },
	}[options.Name]
	if !found {
		function = real
	}
	r.Worker.RegisterActivityWithOptions(function, options)
}

func createSimulated(_ context.Context, in api.CreateInput) (api.Machine, error) {
	in.Machine.CloudID, in.Machine.Address = "i-"+in.Machine.Name, "127.0.0.1:1"
	return in.Machine, nil
}

// lasts heartbeats until the activity is cancelled.
func lasts(ctx context.Context) error { return lastsFor(ctx, 100*time.Hour) }

// lastsFor heartbeats for a while.
func lastsFor(ctx context.Context, d time.Duration) error {
	over := time.NewTimer(d)
	defer over.Stop()
	beat := time.NewTicker(activity.GetInfo(ctx).HeartbeatTimeout / api.HeartbeatsMissed)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over.C:
			return nil
		case <-beat.C:
			activity.RecordHeartbeat(ctx)
		}
	}
}

// run is a container whose command says how long it runs.
func (c *crowd) run(ctx context.Context, in api.RunContainerInput) (api.RunContainerResult, error) {
	began := time.Now()
	c.mu.Lock()
	c.begun[in.Assignment.Container]++
	c.running++
	c.peak.running = max(c.peak.running, c.running)
	c.mu.Unlock()
	_, text, _ := strings.Cut(in.Assignment.Label, " ")
	d, err := time.ParseDuration(text)
	if err == nil {
		err = lastsFor(ctx, d)
	}
	c.mu.Lock()
	c.running--
	c.mu.Unlock()
	return api.RunContainerResult{How: api.Exited, StartedAt: began, FinishedAt: time.Now()}, err
}

// one in so many containers has a workflow of its own. For the others the fleet gets the
// request that a workflow would send.
const oneReal = 20

// submitMany submits containers, many at a time, and returns the workflows of those that
// have one.
func (c *crowd) submitMany(n int, least time.Duration) []client.WorkflowRun {
	var (
		mu    sync.Mutex
		runs  []client.WorkflowRun
		all   sync.WaitGroup
		slots = make(chan struct{}, 32)
	)
	for k := range n {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			id := fmt.Sprintf("a-container-of-many-%05d", k)
			run, err := c.submitOne(id, k%oneReal == 0, least+rand.N(least))
			if err != nil {
				c.s.Errorf("submit %s: %v", id, err)
			}
			if run != nil {
				mu.Lock()
				runs = append(runs, run)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return runs
}

func (c *crowd) submitOne(id string, real bool, d time.Duration) (client.WorkflowRun, error) {
	spec := api.DefaultContainerSpec()
	spec.Command = []string{"sleep", d.Round(time.Millisecond).String()}
	if real {
		return c.s.client.ExecuteWorkflow(c.s.Context(), client.StartWorkflowOptions{
			ID: api.ContainerWorkflowID(id), TaskQueue: api.DefaultTaskQueue,
		}, api.ContainerWorkflow, spec)
	}
	request := api.Request{
		Kind: api.Submit, ID: id, VCPUs: spec.VCPUs, Memory: spec.Memory, Attempts: spec.Attempts,
		Label: spec.Label(48), QueuedAt: time.Now(),
	}
	for {
		err := c.s.client.SignalWorkflow(c.s.Context(), api.FleetWorkflowID("default"), "", api.SignalRequest, request)
		if err == nil || !strings.Contains(err.Error(), "limit for signal") {
			return nil, err
		}
		time.Sleep(100 * time.Millisecond) // until it has continued as new: as SubmitContainer is tried again
	}
}

// look asks the fleet how it stands.
func (c *crowd) look() (state api.FleetState) {
	ctx, cancel := context.WithTimeout(c.s.Context(), 30*time.Second)
	defer cancel()
	began := time.Now()
	answer, err := c.s.client.QueryWorkflow(ctx, api.FleetWorkflowID("default"), "", api.QueryState)
	if err == nil {
		err = answer.Get(&state)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.unanswered++
		return state
	}
	c.took = append(c.took, time.Since(began).Round(time.Millisecond))
	c.peak.queued = max(c.peak.queued, state.Queued)
	return state
}

// latencies returns how long queries of the fleet took, in order.
func (c *crowd) latencies() []time.Duration { return slices.Sorted(slices.Values(c.took)) }

// startedTwice returns the containers that were started more than once.
func (c *crowd) startedTwice() (ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, times := range c.begun {
		if times > 1 {
			ids = append(ids, id)
		}
	}
	return ids
}
