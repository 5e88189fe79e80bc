package whole

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
	"drover/internal/connect"
	"drover/internal/fleetspec"
	"drover/workflows"
)

// office runs the Fleet workflow on a real server, with a worker that can be stopped and
// whose post can be held: what signals a workflow task holds is decided by the test.
type office struct {
	*system
	worker worker.Worker

	mu        sync.Mutex
	instances []api.InstanceInput // that were started
	placed    []string            // container on instance, in the order in which it was ordered
	hold      func(messages []api.Message) []int
}

func newOffice(t *testing.T) *office {
	o := &office{system: newServer(t)}
	require.NoError(t, connect.RegisterSearchAttributes(t.Context(), o.client, client.DefaultNamespace))
	o.open()
	_, err := o.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: api.FleetWorkflowID("default"), TaskQueue: "office",
	}, api.FleetWorkflow, api.FleetInput{Spec: fleetspec.Default("default")})
	require.NoError(t, err)
	t.Cleanup(func() { o.worker.Stop() })
	return o
}

// open has a worker work for the fleet.
func (o *office) open() {
	o.worker = worker.New(o.client, "office", worker.Options{})
	o.worker.RegisterWorkflowWithOptions(workflows.Fleet, workflow.RegisterOptions{Name: api.FleetWorkflow})
	for name, do := range map[string]any{
		api.DeliverActivity: o.deliver,
		api.PrepareFleetActivity: func(context.Context, fleetspec.Spec) (api.FleetReady, error) {
			return api.FleetReady{OutputStore: "file:///output"}, nil
		},
		api.RecallActivity: func(context.Context, api.RecallInput) ([]byte, error) { return nil, nil },
		api.SyncFleetActivity: func(ctx context.Context, _ api.SyncInput) (api.SyncResult, error) {
			<-activity.GetWorkerStopChannel(ctx)
			return api.SyncResult{}, activity.ErrResultPending
		},
	} {
		o.worker.RegisterActivityWithOptions(do, activity.RegisterOptions{Name: name})
	}
	require.NoError(o, o.worker.Start())
}

func (o *office) deliver(_ context.Context, messages []api.Message) (api.Delivery, error) {
	o.mu.Lock()
	hold := o.hold
	o.mu.Unlock()
	if hold != nil {
		if missing := hold(messages); missing != nil {
			return api.Delivery{Missing: missing}, nil
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range messages {
		switch m.Signal {
		case "":
			var in api.InstanceInput
			if err := json.Unmarshal(m.Payload, &in); err != nil {
				return api.Delivery{}, err
			}
			o.instances = append(o.instances, in)
		case api.SignalOrders:
			var orders api.Orders
			if err := json.Unmarshal(m.Payload, &orders); err != nil {
				return api.Delivery{}, err
			}
			for _, a := range orders.Run {
				o.placed = append(o.placed, a.Container+" on "+m.WorkflowID)
			}
		}
	}
	return api.Delivery{}, nil
}

func (o *office) tell(signal string, payload any) {
	require.NoError(o, o.client.SignalWorkflow(o.Context(), api.FleetWorkflowID("default"), "", signal, payload))
}

func (o *office) ask(kind api.RequestKind, id string) {
	o.tell(api.SignalRequest, api.Request{Kind: kind, ID: id, VCPUs: 2, Memory: 1 << 29, Attempts: 3, QueuedAt: time.Now()})
}

// report has the k-th instance report that it is up, and which container has ended.
func (o *office) report(k int, seq int64, ended string) {
	o.mu.Lock()
	in := o.instances[k]
	o.mu.Unlock()
	r := api.Report{Instance: in.Name, Incarnation: in.Incarnation, Type: in.Type.Name, Seq: seq, State: api.StateIdle, Behavior: api.Run,
		CloudID: fmt.Sprint("i-", k), BootOutcome: api.BootSuccess, Listed: true}
	if ended != "" {
		r.Ended = []api.Ended{{Container: ended, Attempt: 1, How: api.Exited}}
	}
	o.tell(api.SignalReport, r)
}

// runs has the fleet buy an instance for a container and start it there.
func (o *office) runs(k int, id string) {
	o.ask(api.Submit, id)
	o.eventually(20*time.Second, func() bool { return o.started() == k+1 }, "an instance is bought for %s", id)
	o.report(k, 1, "")
	o.eventually(20*time.Second, func() bool { return o.orders() == k+1 }, "%s is started", id)
}

func (o *office) started() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.instances)
}

func (o *office) orders() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.placed)
}

// on is what placed says of a container on the k-th instance.
func (o *office) on(id string, k int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return id + " on " + api.InstanceWorkflowID("default", o.instances[k].Name)
}

// decided waits until the fleet has taken in a container that is only there to be seen.
func (o *office) decided() {
	id := fmt.Sprint("mark-", time.Now().UnixNano())
	mark := api.Request{Kind: api.Submit, ID: id, VCPUs: 2, Memory: 1 << 29, Attempts: 1, Priority: -1, QueuedAt: time.Now()}
	o.tell(api.SignalRequest, mark)
	o.eventually(20*time.Second, func() bool {
		answer, err := o.client.QueryWorkflow(o.Context(), api.FleetWorkflowID("default"), "", api.QueryContainers, api.ContainersQuery{ID: id})
		var page api.ContainersPage
		return err == nil && answer.Get(&page) == nil && page.Total == 1 && page.Containers[0].Status == "on hold: priority is negative"
	}, "the fleet has decided")
}

func TestNothingIsDecidedBeforeAllThatHasComeInIsTakenIn(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.runs(0, "first")
	o.worker.Stop()
	o.ask(api.Submit, "next") // and its place is free, as the next message says
	o.report(0, 2, "first")
	for k := range 20 {
		o.ask(api.Submit, fmt.Sprint("rash-", k))
	}
	for k := range 20 {
		o.ask(api.Cancel, fmt.Sprint("rash-", k))
	}
	o.open()
	o.eventually(20*time.Second, func() bool { return o.orders() == 2 }, "the next one is started")
	o.decided()
	assert.Equal(t, []string{o.on("first", 0), o.on("next", 0)}, o.placed)
	assert.Equal(t, 1, o.started(), "instances bought")
}

// The order to start a container finds no instance any more. Meanwhile, what ran on
// another one has ended.
func TestNothingIsDecidedAfterADeliveryBeforeWhatHasComeInMeanwhileIsTakenIn(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.runs(0, "first")
	o.runs(1, "second")
	o.report(0, 2, "first")
	o.decided()
	o.mu.Lock()
	o.hold = func([]api.Message) []int {
		o.mu.Lock()
		o.hold = nil
		o.mu.Unlock()
		o.report(1, 2, "second")
		return []int{0}
	}
	o.mu.Unlock()
	o.ask(api.Submit, "next")
	o.eventually(20*time.Second, func() bool { return o.orders() == 3 }, "the next one is started")
	o.decided()
	assert.Equal(t, o.on("next", 1), o.placed[2])
	assert.Equal(t, 2, o.started(), "instances bought")
}
