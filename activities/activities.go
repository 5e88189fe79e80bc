// Package activities is what drover's workflows do to the world: clouds, instances
// over SSH, the output store, and Temporal itself. Its functions are thin: the work is
// in the packages under internal.
package activities

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"golang.org/x/sync/singleflight"

	"drover/internal/api"
)

// Activities are drover's activities, with what they share: connections, drivers and
// stores. Make one with New.
type Activities struct {
	client    client.Client
	stateDir  string
	registers *registers
	open      *registers // of fleets that run
	mailboxes *mailboxes
	looks     singleflight.Group // at clouds' lists, by fleet

	mu     sync.Mutex
	keys   map[string]*access // by key file
	stores map[string]*openStore
}

// New returns activities that talk to Temporal through c and keep what they must keep
// on this machine (a generated key, output without a store, local instances) under
// stateDir, an absolute path.
func New(c client.Client, stateDir string) *Activities {
	send := func(ctx context.Context, namespace string, m api.Message) error {
		return signalIn(ctx, c, namespace, m.WorkflowID, m.Signal, m.Payload, m.RequestID)
	}
	return &Activities{
		client: c, stateDir: stateDir, keys: map[string]*access{}, stores: map[string]*openStore{},
		registers: &registers{client: c, fleets: map[string]*register{}},
		open:      &registers{client: c, open: true, fleets: map[string]*register{}},
		mailboxes: &mailboxes{send: send, fleets: map[string]*mailbox{}},
	}
}

// Register registers all activities with a worker, under their names in package api.
func (a *Activities) Register(w worker.ActivityRegistry) {
	for name, function := range map[string]any{
		api.CreateInstanceActivity:  lively(uninterrupted(a.CreateInstance)),
		api.AwaitAddressActivity:    lively(a.AwaitAddress),
		api.BootProbeActivity:       lively(noResult(a.BootProbe)),
		api.CopyRunnerActivity:      lively(a.CopyRunner),
		api.RunProbeActivity:        lively(a.RunProbe),
		api.WatchActivity:           a.Watch,
		api.LastSeenActivity:        lively(a.LastSeen),
		api.RunContainerActivity:    a.RunContainer,
		api.KillContainerActivity:   a.KillContainer,
		api.RevokeContainerActivity: lively(noResult(a.RevokeContainer)),
		api.DestroyInstanceActivity: lively(noResult(a.DestroyInstance)),
		api.TagInstanceActivity:     lively(noResult(a.TagInstance)),
		api.ExplainBootActivity:     lively(a.ExplainBoot),
		api.PrepareFleetActivity:    lively(a.PrepareFleet),
		api.SyncFleetActivity:       a.SyncFleet,
		api.RecallActivity:          lively(a.RecallContainers),
		api.DeliverActivity:         a.Deliver,
		api.SubmitActivity:          a.SubmitContainer,
		api.AskStatusActivity:       a.AskStatus,
	} {
		w.RegisterActivityWithOptions(function, activity.RegisterOptions{Name: name})
	}
}

// Close closes all connections and stores. No activity may run any more.
func (a *Activities) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.keys {
		k.pool.Close()
	}
	var errs []error
	for _, s := range a.stores {
		if s.store != nil {
			errs = append(errs, s.store.Close())
		}
	}
	return errors.Join(errs...)
}

// keyFile returns the path of the private key that a fleet logs in with.
func (a *Activities) keyFile(configured string) string {
	if configured != "" {
		return configured
	}
	return filepath.Join(a.stateDir, "ssh", "id_ed25519")
}

// again is an expected failure: it is retried after the delay, and is in nobody's
// error log.
func again(delay time.Duration, err error) error {
	return temporal.NewApplicationErrorWithOptions(err.Error(), "again", temporal.ApplicationErrorOptions{
		NextRetryDelay: delay, Category: temporal.ApplicationErrorCategoryBenign,
	})
}

// final is a failure that no retry can mend.
func final(kind string, err error, details ...any) error {
	return temporal.NewApplicationErrorWithOptions(err.Error(), kind, temporal.ApplicationErrorOptions{
		NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign, Details: details,
	})
}

// errHandover ends a long activity on a worker that stops, so that another takes it
// over at once.
var errHandover = errors.New("the worker stops: another one takes over")

// handoverDelay is how long a stopping worker's pollers may still take a task, which
// would then be lost until its heartbeat times out.
const handoverDelay = time.Second

// MaxHeartbeatThrottleInterval is what the worker's option of that name should be: the
// SDK sends no two heartbeats of an activity within it, and gives none of them longer.
const MaxHeartbeatThrottleInterval = 4 * time.Second

// long prepares a long activity: it heartbeats with what details returns until stop
// is called, and its context ends, with errHandover as the cause, when the worker
// stops.
func long(ctx context.Context, details func() any) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stopping := activity.GetWorkerStopChannel(ctx)
	ticker := time.NewTicker(max(activity.GetInfo(ctx).HeartbeatTimeout/api.HeartbeatsMissed, time.Second))
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-stopping:
				cancel(errHandover)
				return
			case <-ticker.C: // not at once: many have ended by then
				activity.RecordHeartbeat(ctx, details())
			}
		}
	}()
	return ctx, func() { cancel(context.Canceled); <-done }
}

// interrupted returns the error with which a long activity ends because its context
// has, or nil if the context has not.
func interrupted(ctx context.Context) error {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return nil
	case errors.Is(cause, errHandover):
		return again(handoverDelay, errHandover)
	default:
		return ctx.Err()
	}
}
