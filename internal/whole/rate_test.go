package whole

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"drover/activities"
	"drover/internal/api"
	"drover/internal/connect"
	"drover/internal/fleetspec"
	"drover/workflows"
)

// throttled is a cloud that accepts so many create requests a second, and as many at
// once, and does not say when it will accept the next.
type throttled struct {
	rate float64

	mu                sync.Mutex
	tokens            float64
	filled            time.Time
	accepted, refused int
	first, last       time.Time // of the requests that were accepted
}

func (c *throttled) create(_ context.Context, in api.CreateInput) (api.Machine, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.tokens = min(c.rate, c.tokens+now.Sub(c.filled).Seconds()*c.rate)
	c.filled = now
	if c.tokens < 1 {
		c.refused++
		return in.Machine, temporal.NewNonRetryableApplicationError("RequestLimitExceeded", api.ErrorRefused, nil, api.CreateRefusal{Class: "rate-limit"})
	}
	c.tokens--
	c.accepted++
	if c.last = now; c.first.IsZero() {
		c.first = now
	}
	in.Machine.CloudID = fmt.Sprint("i-", c.accepted)
	return in.Machine, nil
}

// TestInstancesAreAskedForAsFastAsTheCloudAllows has a fleet buy instances that never
// boot, on a real server, of a cloud that limits the rate.
func TestInstancesAreAskedForAsFastAsTheCloudAllows(t *testing.T) {
	t.Parallel()
	const n, rate = 150, 15
	s := newServer(t)
	require.NoError(t, connect.RegisterSearchAttributes(t.Context(), s.client, client.DefaultNamespace))
	cloud := &throttled{rate: rate}
	w := worker.New(s.client, "throttled", worker.Options{MaxConcurrentActivityExecutionSize: 2 * n})
	w.RegisterWorkflowWithOptions(workflows.Fleet, workflow.RegisterOptions{Name: api.FleetWorkflow})
	w.RegisterWorkflowWithOptions(workflows.Instance, workflow.RegisterOptions{Name: api.InstanceWorkflow})
	pending := func(ctx context.Context) error {
		<-activity.GetWorkerStopChannel(ctx)
		return activity.ErrResultPending
	}
	for name, do := range map[string]any{
		api.DeliverActivity:        activities.New(s.client, s.dir).Deliver,
		api.CreateInstanceActivity: cloud.create,
		api.AwaitAddressActivity:   func(ctx context.Context, m api.Machine) (api.Machine, error) { return m, pending(ctx) },
		api.PrepareFleetActivity: func(context.Context, fleetspec.Spec) (api.FleetReady, error) {
			return api.FleetReady{OutputStore: "file:///output"}, nil
		},
		api.RecallActivity: func(context.Context, api.RecallInput) ([]byte, error) { return nil, nil },
		api.SyncFleetActivity: func(ctx context.Context, _ api.SyncInput) (api.SyncResult, error) {
			return api.SyncResult{}, pending(ctx)
		},
	} {
		w.RegisterActivityWithOptions(do, activity.RegisterOptions{Name: name})
	}
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	spec := fleetspec.Default("default")
	spec.Limits.MaxInstances, spec.Limits.CreateConcurrency = n, n
	_, err := s.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: api.FleetWorkflowID("default"), TaskQueue: "throttled"},
		api.FleetWorkflow, api.FleetInput{Spec: spec})
	require.NoError(t, err)
	for k := range n {
		request := api.Request{Kind: api.Submit, ID: fmt.Sprint("c-", k), VCPUs: 2, Memory: 1 << 29, Attempts: 1, QueuedAt: time.Now()}
		require.NoError(t, s.client.SignalWorkflow(t.Context(), api.FleetWorkflowID("default"), "", api.SignalRequest, request))
	}
	s.eventually(3*time.Minute, func() bool {
		cloud.mu.Lock()
		defer cloud.mu.Unlock()
		return cloud.accepted == n
	}, "all are accepted")
	took, best := cloud.last.Sub(cloud.first), (n-rate)*time.Second/rate
	t.Logf("%d instances in %v, at best %v; %d requests refused", n, took, best, cloud.refused)
	assert.Less(t, took, 2*best+10*time.Second)
	assert.Less(t, cloud.refused, 2*n)
}

// TestARateLimitThatSaysWhenIsKept has real instances bought of a provider that creates
// so many within a minute: the others follow when the minute is over.
func TestARateLimitThatSaysWhenIsKept(t *testing.T) {
	t.Parallel()
	const n, perMinute = 9, 5
	s := newSystem(t, func(spec *fleetspec.Spec) {
		staysIdle(spec)
		spec.Faults = &fleetspec.Faults{Create: fleetspec.CreateFaults{PerMinute: perMinute}}
	})
	runs := make([]client.WorkflowRun, n)
	gate := filepath.Join(t.TempDir(), "gate")
	began := time.Now()
	for k := range runs {
		runs[k] = s.submit(fmt.Sprint("limited-", k), map[string]any{"vcpus": 2, "command": []string{"sh", "-c", "while [ ! -e " + gate + " ]; do sleep 1; done"}})
	}
	s.eventually(30*time.Second, func() bool { return s.fleet().Running == perMinute }, "as many as may be run")
	s.eventually(2*time.Minute, func() bool { return s.fleet().Totals.Created == n }, "the others follow")
	took := time.Since(began)
	assert.Greater(t, took, 50*time.Second)
	assert.Less(t, took, 90*time.Second)
	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	for _, run := range runs {
		result, err := s.result(run)
		require.NoError(t, err)
		assert.Equal(t, 1, result.Attempts)
	}
	counted, err := s.client.CountWorkflow(t.Context(), countRequest("WorkflowType = 'Instance'"))
	require.NoError(t, err)
	t.Logf("all created after %v; %d instances asked for", took, counted.GetCount())
	assert.LessOrEqual(t, counted.GetCount(), int64(3*n))
}
