package devserver_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const taskQueue = "devserver-test"

// serve runs a worker with this file's workflows until the test ends.
func serve(t testing.TB, c client.Client) {
	t.Helper()
	w := worker.New(c, taskQueue, worker.Options{})
	w.RegisterWorkflow(greet)
	w.RegisterWorkflow(nap)
	w.RegisterWorkflow(echo)
	w.RegisterWorkflow(stuck)
	w.RegisterWorkflow(bell)
	w.RegisterActivity(hello)
	w.RegisterActivity(hang)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
}

func hello(_ context.Context, name string) (string, error) { return "hello " + name, nil }

// greet waits for a name by signal and has an activity greet it.
func greet(ctx workflow.Context) (string, error) {
	var name, greeting string
	workflow.GetSignalChannel(ctx, "name").Receive(ctx, &name)
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: deadline})
	err := workflow.ExecuteActivity(ctx, hello, name).Get(ctx, &greeting)
	return greeting, err
}

// nap sleeps and returns by how much it overslept.
func nap(ctx workflow.Context, d time.Duration) (time.Duration, error) {
	begun := workflow.Now(ctx)
	err := workflow.Sleep(ctx, d)
	return workflow.Now(ctx).Sub(begun) - d, err
}

// echo answers updates until it is signalled.
func echo(ctx workflow.Context) error {
	err := workflow.SetUpdateHandler(ctx, "echo", func(_ workflow.Context, text string) (string, error) { return text, nil })
	if err != nil {
		return err
	}
	workflow.GetSignalChannel(ctx, "stop").Receive(ctx, nil)
	return nil
}

// rung gets the time of every ring.
var rung = make(chan time.Time)

// bell rings with every signal, for ever. It breaks the rules of workflows:
// it never runs anywhere but here, and is never replayed.
func bell(ctx workflow.Context) error {
	for {
		workflow.GetSignalChannel(ctx, "ring").Receive(ctx, nil)
		rung <- time.Now()
	}
}

// hanging is how many activities wait to be cancelled.
var hanging atomic.Int64

// hang heartbeats once and then only waits, so that a heartbeat cannot be how
// it learns of its cancellation.
func hang(ctx context.Context) error {
	activity.RecordHeartbeat(ctx)
	hanging.Add(1)
	defer hanging.Add(-1)
	<-ctx.Done()
	return ctx.Err()
}

// stuck runs hang and waits for it to end by cancellation.
func stuck(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 10 * deadline,
		HeartbeatTimeout:    5 * deadline,
		WaitForCancellation: true,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	return workflow.ExecuteActivity(ctx, hang).Get(ctx, nil)
}
