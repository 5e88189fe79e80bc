package whole

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"drover/activities"
	"drover/internal/api"
	"drover/internal/connect"
	"drover/workflows"
)

// crowd is a worker with drover's workflows, and with its activities as far as they talk
// to Temporal. Its instances and containers are simulated: they answer at once, and run
// for as long as their command says. It runs in a process of its own.
type crowd struct {
	*activities.Activities
	log  *os.File      // one line for each thing that happens to a container
	full chan struct{} // closed when as many run as there is room for; until then none ends

	mu       sync.Mutex
	attempts map[string]*attempt // by the runner's name
}

// runIfCrowd is the program of a crowd, if the test's program was started as one.
func runIfCrowd() {
	if len(os.Args) != 4 || os.Args[1] != "crowd" {
		return
	}
	if err := runCrowd(os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// startCrowd starts a crowd, and returns where it logs.
func (s *system) startCrowd() (*process, string) {
	p := s.start("crowd", os.Args[0], "crowd", s.address, s.dir)
	require.Equal(s, "ready", p.line(s))
	s.workers = append(s.workers, p)
	return p, crowdLog(s.dir)
}

func crowdLog(dir string) string { return dir + "/crowd.log.txt" }

func runCrowd(address, dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	connection, _, err := connect.Dial(ctx, connect.Options{Address: address, Logger: quiet{}})
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connect.RegisterSearchAttributes(ctx, connection, client.DefaultNamespace); err != nil {
		return err
	}
	log, err := os.OpenFile(crowdLog(dir), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	c := &crowd{Activities: activities.New(connection, dir), log: log, full: make(chan struct{}), attempts: map[string]*attempt{}}
	w := worker.New(connection, api.DefaultTaskQueue, worker.Options{
		MaxConcurrentActivityExecutionSize: 20000, MaxConcurrentLocalActivityExecutionSize: 2000,
		MaxConcurrentActivityTaskPollers: 8, MaxConcurrentWorkflowTaskPollers: 8, MaxConcurrentWorkflowTaskExecutionSize: 100,
		DeadlockDetectionTimeout:     8 * time.Second,
		MaxHeartbeatThrottleInterval: activities.MaxHeartbeatThrottleInterval,
	})
	c.register(w)
	if err := w.Start(); err != nil {
		return err
	}
	fmt.Println("ready")
	c.stay(ctx, fullFile(dir))
	w.Stop()
	return c.Close()
}

// fullFile exists when as many containers run as there is room for.
func fullFile(dir string) string { return dir + "/full" }

// stay returns when the context ends, or the test does.
func (c *crowd) stay(ctx context.Context, full string) {
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	began := false
	for parent := os.Getppid(); os.Getppid() == parent; {
		if _, err := os.Stat(full); err == nil && !began {
			began = true
			close(c.full)
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// register registers everything that drover's workers do, and what submits containers.
func (c *crowd) register(w worker.Worker) {
	workflows.Register(w)
	w.RegisterWorkflowWithOptions(ask, workflow.RegisterOptions{Name: "Ask"})
	w.RegisterActivityWithOptions(c.askAll, activity.RegisterOptions{Name: "AskAll"})
	c.Register(simulated{w, map[string]any{
		api.CreateInstanceActivity: createSimulated,
		api.AwaitAddressActivity:   func(_ context.Context, m api.Machine) (api.Machine, error) { return m, nil },
		api.BootProbeActivity:      func(context.Context, api.BootProbeInput) error { return nil },
		api.CopyRunnerActivity:     func(context.Context, api.CopyRunnerInput) (string, error) { return "/runner", nil },
		api.RunProbeActivity:       func(context.Context, api.Machine) (api.Listing, error) { return api.Listing{}, nil },
		api.WatchActivity: func(ctx context.Context, _ api.WatchInput) (api.WatchResult, error) {
			return api.WatchResult{}, lastsUntil(ctx, nil, 0)
		},
		api.RunContainerActivity:    c.run,
		api.KillContainerActivity:   c.kill,
		api.RevokeContainerActivity: c.revoke,
		api.DeliverActivity:         c.deliver,
		api.TagInstanceActivity:     func(context.Context, api.TagInput) error { return nil },
		api.DestroyInstanceActivity: func(context.Context, api.DestroyInput) error { return nil },
	}})
}

// simulated registers simulations in the place of what goes to a cloud or an instance.
type simulated struct {
	worker.Worker
	instead map[string]any // by the name of the activity
}

// RegisterActivityWithOptions registers a simulation if there is one of that name.
func (r simulated) RegisterActivityWithOptions(real any, options activity.RegisterOptions) {
	function, found := r.instead[options.Name]
	if !found {
		function = real
	}
	r.Worker.RegisterActivityWithOptions(function, options)
}

func createSimulated(_ context.Context, in api.CreateInput) (api.Machine, error) {
	in.Machine.CloudID, in.Machine.Address = "i-"+in.Machine.Name, "127.0.0.1:1"
	return in.Machine, nil
}

// lastsUntil heartbeats until something has happened, and for a while longer.
func lastsUntil(ctx context.Context, happened <-chan struct{}, d time.Duration) error {
	var over <-chan time.Time
	beat := time.NewTicker(activity.GetInfo(ctx).HeartbeatTimeout / api.HeartbeatsMissed)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-happened:
			happened = nil
			timer := time.NewTimer(d)
			defer timer.Stop()
			over = timer.C
		case <-over:
			return nil
		case <-beat.C:
			activity.RecordHeartbeat(ctx)
		}
	}
}

// note writes down what happens to a container.
func (c *crowd) note(what, container string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintln(c.log, what, container)
}

// run is a container whose command says how long it runs. Like a real one it is started
// only where its fleet has placed it.
func (c *crowd) run(ctx context.Context, in api.RunContainerInput) (api.RunContainerResult, error) {
	here, err := c.isPlaced(ctx, in)
	if err != nil || !here {
		return api.RunContainerResult{How: api.Unwanted, Detail: "placed elsewhere"}, err
	}
	name := in.Assignment.OnInstance()
	began := time.Now()
	_, text, _ := strings.Cut(in.Assignment.Label, " ")
	text, _, _ = strings.Cut(text, " ")
	d, err := time.ParseDuration(text)
	if err != nil {
		return api.RunContainerResult{}, err
	}
	lasting, cancel := context.WithCancel(ctx)
	defer cancel()
	killed := c.attempt(name).killed
	go func() {
		select {
		case <-killed:
			cancel()
		case <-lasting.Done():
		}
	}()
	if err = lastsUntil(lasting, c.turn(lasting, in.Assignment.After), 0); ctx.Err() == nil && !c.begins(name) {
		return api.RunContainerResult{How: api.Revoked}, nil
	}
	if err == nil {
		err = lastsUntil(lasting, c.full, d)
	}
	if ctx.Err() != nil {
		return api.RunContainerResult{}, ctx.Err() // it runs on, and another call finds it
	}
	c.ends(name)
	result := api.RunContainerResult{How: api.Exited, StartedAt: began, FinishedAt: time.Now()}
	if err != nil {
		result.ExitCode = 143
	}
	return result, nil
}

// isPlaced asks the fleet whether it has placed the attempt here.
func (c *crowd) isPlaced(ctx context.Context, in api.RunContainerInput) (bool, error) {
	for {
		known, err := c.AskStatus(ctx, api.AskInput{Fleet: in.Machine.Fleet, Container: in.Assignment.Container})
		runs, here := known.State == api.ContainerRunning, known.Instance == in.Machine.Name
		switch {
		case err != nil:
			return false, err
		case runs && here && known.Attempt == in.Assignment.Attempt:
			return true, nil
		case runs && !here, here && known.Attempt > in.Assignment.Attempt:
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(100 * time.Millisecond): // how often the fleet is asked
		}
	}
}

// deliver delivers, and writes down which containers are told what.
func (c *crowd) deliver(ctx context.Context, messages []api.Message) (api.Delivery, error) {
	delivery, err := c.Deliver(ctx, messages)
	if err != nil {
		return delivery, err
	}
	for _, m := range messages {
		var outcome api.Outcome
		if m.Signal != api.SignalOutcome {
			continue
		}
		if err := json.Unmarshal(m.Payload, &outcome); err != nil {
			return delivery, err
		}
		what := "fails"
		switch {
		case outcome.Result != nil:
			what = "result"
		case outcome.Cancelled:
			what = "cancelled"
		}
		c.note(what, strings.TrimPrefix(m.WorkflowID, api.ContainerWorkflowID(""))+" "+m.RequestID)
	}
	return delivery, nil
}

// asking has containers ask something of their fleet.
type asking struct {
	Requests []api.Request
}

// ask is a workflow that asks for containers what workflows of their own would.
func ask(ctx workflow.Context, in asking) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Minute})
	return workflow.ExecuteActivity(ctx, "AskAll", in).Get(ctx, nil)
}

// askAll asks for all containers at once, each until it has been heard, as a workflow would.
func (c *crowd) askAll(ctx context.Context, in asking) error {
	var all sync.WaitGroup
	for _, request := range in.Requests {
		id := fmt.Sprint(request.Kind, " ", request.ID)
		all.Go(func() {
			for c.SubmitContainer(ctx, api.SubmitInput{Fleet: "default", Request: request, RequestID: id}) != nil {
				select {
				case <-ctx.Done():
					return
				case <-time.After(100 * time.Millisecond): // the pause between two tries
				}
			}
		})
	}
	all.Wait()
	return ctx.Err()
}
