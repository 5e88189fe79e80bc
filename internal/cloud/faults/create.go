package faults

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"drover/internal/cloud"
)

// reasonStillborn is what EC2 says of a launch that it accepted and could not carry
// out.
const reasonStillborn = "Server.InsufficientInstanceCapacity: injected fault: there was no capacity to launch it"

// Create is the driver's, with all that can go wrong with a creation. Limits on the
// rate and failures hit a repeated call like any other. What depends on whether there
// is room hits only what does not exist yet: a provider returns what it has already.
func (f *faulty) Create(ctx context.Context, req cloud.CreateRequest) (cloud.Instance, error) {
	c := call{kind: Create, op: "create instance " + req.Name, instance: req.Name, faults: f.config.Create.Call()}
	return inject(ctx, f, c, func() (cloud.Instance, error) { return f.create(ctx, c.op, req) })
}

func (f *faulty) create(ctx context.Context, op string, req cloud.CreateRequest) (instance cloud.Instance, err error) {
	if limit := f.config.Create.PerMinute; limit > 0 {
		if err := f.throttle(ctx, op, limit); err != nil {
			return instance, err
		}
	}
	if err := f.checkCapacity(ctx, op, req); err != nil {
		return instance, err
	}
	if f.config.Quota == 0 {
		return f.launch(ctx, req)
	}
	// Between counting and creating there must not be another worker's creation.
	err = f.withLedger(ctx, op, func(*ledger) error {
		if err := f.checkQuota(ctx, op, req.Name); err != nil {
			return err
		}
		instance, err = f.launch(ctx, req)
		return err
	})
	return instance, err
}

// launch creates the instance, and ends it at once if it is one that dies.
func (f *faulty) launch(ctx context.Context, req cloud.CreateRequest) (cloud.Instance, error) {
	instance, err := f.driver.Create(ctx, req)
	if err == nil && instance.Alive() && f.stillborn(req.Name) {
		err = f.driver.Destroy(ctx, req.Name)
	}
	return instance, err
}

// throttle refuses a call when there were as many within the last minute as may be.
// The calls are counted in a file, since those that were refused later, or whose
// instance is gone, leave no trace in the cloud, and memory is lost with the worker.
// Workers on machines that don't share the directory see each other's calls by what
// these created.
func (f *faulty) throttle(ctx context.Context, op string, limit int) error {
	instances, err := f.driver.List(ctx)
	if err != nil {
		return err
	}
	return f.withLedger(ctx, op, func(l *ledger) error {
		now := time.Now()
		from := now.Add(-time.Minute)
		calls, err := l.read()
		if err != nil {
			return fail(op, "", err)
		}
		calls = slices.DeleteFunc(calls, func(call time.Time) bool { return !call.After(from) })
		if seen := createdSince(instances, from); len(seen) > len(calls) {
			calls = seen
		}
		if over := len(calls) - limit; over >= 0 {
			return &cloud.Error{
				Class: cloud.RateLimit, Op: op, RetryAt: calls[over].Add(time.Minute),
				Err: injected("%d calls within a minute, and no more than %d may be", len(calls), limit),
			}
		}
		if err := l.write(append(calls, now)); err != nil {
			return fail(op, "", err)
		}
		return nil
	})
}

// createdSince returns, in order, when the instances were created that are younger.
func createdSince(instances []cloud.Instance, from time.Time) []time.Time {
	var times []time.Time
	for _, instance := range instances {
		if instance.CreatedAt.After(from) {
			times = append(times, instance.CreatedAt)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}

func (f *faulty) checkCapacity(ctx context.Context, op string, req cloud.CreateRequest) error {
	if !slices.Contains(f.config.NoCapacity, req.ProviderType) && !f.hits(f.config.Create.NoCapacity) {
		return nil
	}
	exists, err := f.exists(ctx, req.Name)
	if err != nil || exists {
		return err
	}
	return &cloud.Error{
		Class: cloud.Capacity, Scope: cloud.ScopeType, Op: op,
		Err: injected("there is no %s to be had", req.ProviderType),
	}
}

func (f *faulty) checkQuota(ctx context.Context, op, name string) error {
	exists, err := f.exists(ctx, name)
	if err != nil || exists {
		return err
	}
	instances, err := f.driver.List(ctx)
	if err != nil {
		return err
	}
	if len(instances) >= f.config.Quota {
		return fail(op, cloud.Quota, injected("%d instances exist, and no more than %d may", len(instances), f.config.Quota))
	}
	return nil
}

// exists reports whether the provider knows an instance of that name, alive or not.
func (f *faulty) exists(ctx context.Context, name string) (bool, error) {
	_, err := f.driver.Get(ctx, name)
	if cloud.ClassOf(err) == cloud.NotFound {
		return false, nil
	}
	return err == nil, err
}

// stillborn reports whether an instance of that name dies at its launch. It depends on
// the name, so that every worker agrees, also about a second call.
func (f *faulty) stillborn(name string) bool {
	sum := sha256.Sum256([]byte(name))
	return float64(binary.BigEndian.Uint32(sum[:]))/(1<<32) < f.config.Create.Die
}

// withLedger calls do while no other worker of this machine reads or writes the
// fleet's calls.
func (f *faulty) withLedger(ctx context.Context, op string, do func(*ledger) error) (err error) {
	if f.config.Directory == "" {
		return fail(op, cloud.Invalid, errors.New("faults with a quota or a limit per minute need a directory"))
	}
	l, err := openLedger(ctx, f.config.Directory, f.config.Fleet)
	if err != nil {
		return fail(op, "", err)
	}
	defer func() {
		if closeErr := l.close(); err == nil && closeErr != nil {
			err = fail(op, "", closeErr)
		}
	}()
	return do(l)
}
