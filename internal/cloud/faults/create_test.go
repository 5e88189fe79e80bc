package faults_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"drover/internal/cloud"
	"drover/internal/cloud/faults"
	"drover/internal/fleetspec"
)

// refusal checks that an error is a refusal of that class, and returns it.
func refusal(t *testing.T, err error, class cloud.Class) cloud.Error {
	t.Helper()
	var e *cloud.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, class, e.Class, "%v", err)
	require.ErrorContains(t, err, "injected fault: ")
	return *e
}

func TestALostAnswerLeavesAnInstanceThatASecondCallFinds(t *testing.T) {
	p := newProvider()
	lossy := faults.New(p, faults.Config{Faults: fleetspec.Faults{Create: fleetspec.CreateFaults{Lose: 1}}})
	_, err := lossy.Create(t.Context(), request("a"))
	require.ErrorContains(t, err, "create instance a: injected fault: the answer was lost")
	require.Empty(t, cloud.ClassOf(err))
	instance, err := lossy.Get(t.Context(), "a")
	require.NoError(t, err)
	again, err := faults.New(p, faults.Config{}).Create(t.Context(), request("a"))
	require.NoError(t, err)
	assert.Equal(t, instance, again)
	assert.Len(t, p.instances, 1)
}

func TestCapacity(t *testing.T) {
	for name, injected := range map[string]fleetspec.Faults{
		"of a type": {NoCapacity: []string{"large", "small"}},
		"at a rate": {Create: fleetspec.CreateFaults{NoCapacity: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider()
			_, err := p.Create(t.Context(), request("old"))
			require.NoError(t, err)
			d := faults.New(p, faults.Config{Faults: injected})
			_, err = d.Create(t.Context(), request("new"))
			assert.Equal(t, cloud.ScopeType, refusal(t, err, cloud.Capacity).Scope)
			assert.EqualError(t, err, "create instance new: capacity: injected fault: there is no small to be had")
			assert.NotContains(t, p.instances, "new")
			_, err = d.Create(t.Context(), request("old"))
			require.NoError(t, err, "what exists is returned")
		})
	}
	p := newProvider()
	d := faults.New(p, faults.Config{Faults: fleetspec.Faults{NoCapacity: []string{"large"}}})
	_, err := d.Create(t.Context(), request("a"))
	require.NoError(t, err, "other types have room")
}

func TestInstancesThatDieAtTheirLaunch(t *testing.T) {
	p := newProvider()
	worker := func() cloud.Driver {
		return faults.New(p, faults.Config{Faults: fleetspec.Faults{Create: fleetspec.CreateFaults{Die: 0.5}}})
	}
	const n = 200
	died := 0
	for k := range n {
		name := fmt.Sprint("i", k)
		created, err := worker().Create(t.Context(), request(name))
		require.NoError(t, err)
		require.True(t, created.Alive(), "the launch is accepted")
		seen, err := worker().Get(t.Context(), name)
		require.NoError(t, err)
		if !seen.Alive() {
			died++
			assert.Equal(t, cloud.Terminated, seen.State)
			assert.Equal(t, "Server.InsufficientInstanceCapacity: injected fault: there was no capacity to launch it", seen.Reason)
			continue
		}
		again, err := worker().Create(t.Context(), request(name))
		require.NoError(t, err)
		assert.True(t, again.Alive(), "every worker decides the same")
		require.NoError(t, worker().Destroy(t.Context(), name))
		seen, err = worker().Get(t.Context(), name)
		require.NoError(t, err)
		assert.Equal(t, "destroyed", seen.Reason)
	}
	assert.InDelta(t, n/2, died, 35) // five standard deviations
}

// TestQuotaHoldsOverWorkers has each call made by a worker of its own, all at once.
func TestQuotaHoldsOverWorkers(t *testing.T) {
	p, directory := newProvider(), t.TempDir()
	worker := func() cloud.Driver {
		return faults.New(p, faults.Config{Faults: fleetspec.Faults{Quota: 3}, Fleet: "f", Directory: directory})
	}
	const n = 12
	errs := make([]error, n)
	var done sync.WaitGroup
	for k := range n {
		done.Go(func() { _, errs[k] = worker().Create(t.Context(), request(fmt.Sprint("i", k))) })
	}
	done.Wait()
	created := ""
	refused := 0
	for k, err := range errs {
		if err == nil {
			created = fmt.Sprint("i", k)
			continue
		}
		refused++
		refusal(t, err, cloud.Quota)
		assert.EqualError(t, err, fmt.Sprintf("create instance i%d: quota: injected fault: 3 instances exist, and no more than 3 may", k))
	}
	assert.Equal(t, n-3, refused)
	_, err := worker().Create(t.Context(), request(created))
	require.NoError(t, err, "what exists is returned")
	require.NoError(t, worker().Destroy(t.Context(), created))
	_, err = worker().Create(t.Context(), request("next"))
	require.NoError(t, err)
}

// TestRateLimitHoldsOverWorkers has each call made by a worker of its own, as after a
// restart.
func TestRateLimitHoldsOverWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, directory := newProvider(), t.TempDir()
		create := func(name string, directory string) error {
			d := faults.New(p, faults.Config{Faults: fleetspec.Faults{Create: fleetspec.CreateFaults{PerMinute: 3}}, Fleet: "f", Directory: directory})
			_, err := d.Create(t.Context(), request(name))
			return err
		}
		began := time.Now()
		for k := range 3 {
			require.NoError(t, create(fmt.Sprint("i", k), directory))
			require.NoError(t, p.Destroy(t.Context(), fmt.Sprint("i", k)), "what is gone counts")
			<-time.After(10 * time.Second)
		}
		for range 2 {
			err := create("i0", directory)
			e := refusal(t, err, cloud.RateLimit)
			assert.Equal(t, began.Add(time.Minute), e.RetryAt.Local(), "a call that is refused does not count")
			assert.EqualError(t, err, "create instance i0: rate-limit: injected fault: 3 calls within a minute, and no more than 3 may be")
		}
		<-time.After(time.Until(began.Add(time.Minute)))
		require.NoError(t, create("a", directory))
		e := refusal(t, create("b", directory), cloud.RateLimit)
		assert.Equal(t, began.Add(70*time.Second), e.RetryAt.Local())

		elsewhere := t.TempDir()
		<-time.After(2 * time.Minute)
		for _, name := range []string{"c", "d", "e"} {
			require.NoError(t, create(name, directory))
		}
		refusal(t, create("f", elsewhere), cloud.RateLimit)
	})
}

func TestRateLimitUnderContention(t *testing.T) {
	p, directory := newProvider(), t.TempDir()
	const n = 20
	errs := make([]error, n)
	var done sync.WaitGroup
	for k := range n {
		done.Go(func() {
			d := faults.New(p, faults.Config{Faults: fleetspec.Faults{Create: fleetspec.CreateFaults{PerMinute: 5}}, Fleet: "f", Directory: directory})
			_, errs[k] = d.Create(t.Context(), request(fmt.Sprint("i", k)))
		})
	}
	done.Wait()
	for _, err := range errs {
		if err != nil {
			refusal(t, err, cloud.RateLimit)
		}
	}
	assert.Len(t, p.instances, 5)
}

func TestOneDriverIsUsedConcurrently(t *testing.T) {
	p := newProvider()
	p.instances["there"] = cloud.Instance{Name: "there", State: cloud.Running}
	const delay = fleetspec.Duration(time.Millisecond)
	d := faults.New(recorder{p}, faults.Config{
		Faults: every(fleetspec.CallFaults{Fail: 0.2, Lose: 0.2, Late: 0.2, Delay: delay}),
		Script: func(faults.Call) error { return nil },
	})
	var done sync.WaitGroup
	for range 20 {
		for _, do := range calls {
			done.Go(func() {
				if err := do(t.Context(), d); err != nil {
					assert.ErrorContains(t, err, "injected fault")
				}
			})
		}
	}
	done.Wait()
}

func TestLedgerThatAPowerCutHasLeftIsStartedAnew(t *testing.T) {
	directory := t.TempDir()
	for _, content := range []string{"", "\x00\x00", `["2026-01-`, `{"a": 1}`, `["no time"]`, `[] and the rest of something longer`} {
		require.NoError(t, os.WriteFile(filepath.Join(directory, "f.json"), []byte(content), 0o600))
		d := faults.New(newProvider(), faults.Config{Faults: fleetspec.Faults{Create: fleetspec.CreateFaults{PerMinute: 1}}, Fleet: "f", Directory: directory})
		_, err := d.Create(t.Context(), request("a"))
		require.NoError(t, err, content)
		_, err = d.Create(t.Context(), request("b"))
		refusal(t, err, cloud.RateLimit)
	}
}

func TestLimitsWithoutTheirFile(t *testing.T) {
	for _, injected := range []fleetspec.Faults{{Quota: 1}, {Create: fleetspec.CreateFaults{PerMinute: 1}}} {
		p, directory := newProvider(), t.TempDir()
		_, err := faults.New(p, faults.Config{Faults: injected, Fleet: "f"}).Create(t.Context(), request("a"))
		require.Equal(t, cloud.Invalid, cloud.ClassOf(err))
		require.EqualError(t, err, "create instance a: invalid: faults with a quota or a limit per minute need a directory")

		file, err := os.Create(filepath.Join(directory, "f.json"))
		require.NoError(t, err)
		require.NoError(t, unix.Flock(int(file.Fd()), unix.LOCK_EX))
		d := faults.New(p, faults.Config{Faults: injected, Fleet: "f", Directory: directory})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err = d.Create(ctx, request("a"))
		require.ErrorIs(t, err, context.DeadlineExceeded, "another worker hangs with the lock")
		require.Empty(t, p.instances)
		require.NoError(t, file.Close())
		_, err = d.Create(t.Context(), request("a"))
		require.NoError(t, err)

		notADirectory := filepath.Join(directory, "f.json")
		_, err = faults.New(p, faults.Config{Faults: injected, Fleet: "f", Directory: notADirectory}).Create(t.Context(), request("b"))
		require.ErrorIs(t, err, unix.ENOTDIR)
	}
}
