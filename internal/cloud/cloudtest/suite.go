package cloudtest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/cloud"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Run runs the suite. It calls harness for each of its tests.
func Run(t *testing.T, harness func(t *testing.T) Harness) {
	for name, test := range map[string]func(s *suite){
		"an instance can be found as soon as it is created":       foundAtOnce,
		"creating again returns the first one":                    createAgain,
		"creating at once from two workers makes one":             createConcurrently,
		"creating what is terminated makes no second one":         createAfterEnd,
		"a list has all that live and nothing of another fleet":   listIsTrue,
		"tags of the creation are there":                          tagsOnCreate,
		"tagging keeps the other tags":                            tagKeepsOthers,
		"tagging what is not there is not found":                  tagUnknown,
		"getting what is not there is not found":                  getUnknown,
		"destroying twice, or what never was, succeeds":           destroyAgain,
		"destroying right after creating leaves nothing":          destroyAtOnce,
		"above the quota the refusal says so":                     quota,
		"destroying makes room under the quota":                   quotaAfterDestroy,
		"a cancelled context stops every call":                    cancelled,
		"a running instance answers SSH with the delivered key":   answersSSH,
		"a running instance lets nobody else in":                  letsNobodyElseIn,
		"the init command has run before SSH answers":             initCommand,
		"destroying ends what runs on the instance":               destroyEndsSSH,
		"the console can be read, where the driver has a console": console,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newSuite(t, harness))
		})
	}
}

func foundAtOnce(s *suite) {
	before := time.Now().Add(-time.Minute) // clocks differ
	req := s.request()
	created := s.create(s.Driver, req)
	got, err := s.Driver.Get(s.t.Context(), req.Name)
	require.NoError(s.t, err)
	for _, instance := range []cloud.Instance{created, got} {
		assert.Equal(s.t, req.Name, instance.Name)
		assert.NotEmpty(s.t, instance.CloudID)
		assert.Equal(s.t, created.CloudID, instance.CloudID)
		assert.Equal(s.t, req.ProviderType, instance.ProviderType)
		assert.True(s.t, instance.Alive(), "it is %s", instance.State)
		assert.True(s.t, instance.CreatedAt.After(before) && instance.CreatedAt.Before(time.Now().Add(time.Minute)))
	}
	s.eventually("it is listed", func() bool { return s.lists(s.Second, req.Name) })
	running := s.awaitRunning(req.Name)
	assert.Equal(s.t, created.CloudID, running.CloudID)
}

func createAgain(s *suite) {
	req := s.request()
	first := s.create(s.Driver, req)
	for _, d := range []cloud.Driver{s.Driver, s.Second} {
		again, err := d.Create(s.t.Context(), req)
		require.NoError(s.t, err)
		assert.Equal(s.t, first.CloudID, again.CloudID)
	}
	s.awaitRunning(req.Name)
	again, err := s.Driver.Create(s.t.Context(), req)
	require.NoError(s.t, err)
	assert.Equal(s.t, first.CloudID, again.CloudID)
	assert.Equal(s.t, []string{req.Name}, s.names(s.Driver))
}

func createConcurrently(s *suite) {
	req := s.request()
	s.destroyLater(s.Driver, req.Name)
	const calls = 8
	var done sync.WaitGroup
	instances, errs := make([]cloud.Instance, calls), make([]error, calls)
	for call := range calls {
		done.Go(func() {
			d := []cloud.Driver{s.Driver, s.Second}[call%2]
			instances[call], errs[call] = d.Create(s.t.Context(), req)
		})
	}
	done.Wait()
	for call := range calls {
		require.NoError(s.t, errs[call])
		assert.Equal(s.t, instances[0].CloudID, instances[call].CloudID)
	}
	s.awaitRunning(req.Name)
	assert.Equal(s.t, []string{req.Name}, s.names(s.Driver))
}

func createAfterEnd(s *suite) {
	req := s.request()
	first := s.create(s.Driver, req)
	require.NoError(s.t, s.Driver.Destroy(s.t.Context(), req.Name))
	s.awaitEnd(s.Driver, req.Name)
	for _, d := range []cloud.Driver{s.Driver, s.Second} {
		again, err := d.Create(s.t.Context(), req)
		require.NoError(s.t, err)
		assert.Equal(s.t, cloud.Terminated, again.State)
		assert.Equal(s.t, first.CloudID, again.CloudID)
	}
	assert.Empty(s.t, s.names(s.Driver))
}

func listIsTrue(s *suite) {
	assert.Empty(s.t, s.names(s.Driver))
	one, two, other := s.request(), s.request(), s.request()
	for _, req := range []cloud.CreateRequest{one, two} {
		s.create(s.Driver, req)
	}
	s.create(s.Other, other)
	s.eventually("both are listed", func() bool { return s.lists(s.Driver, one.Name) && s.lists(s.Driver, two.Name) })
	s.eventually("the other one is listed", func() bool { return s.lists(s.Other, other.Name) })
	assert.ElementsMatch(s.t, []string{one.Name, two.Name}, s.names(s.Driver))
	assert.ElementsMatch(s.t, []string{one.Name, two.Name}, s.names(s.Second))
	assert.Equal(s.t, []string{other.Name}, s.names(s.Other))
	require.NoError(s.t, s.Driver.Destroy(s.t.Context(), one.Name))
	s.awaitEnd(s.Second, one.Name)
	assert.Equal(s.t, []string{two.Name}, s.names(s.Driver))
}

func getUnknown(s *suite) {
	name := Name(s.t)
	_, err := s.Driver.Get(s.t.Context(), name)
	assert.Equal(s.t, cloud.NotFound, cloud.ClassOf(err), "%v", err)
	assert.ErrorContains(s.t, err, name)
	req := s.request()
	s.create(s.Driver, req)
	_, err = s.Other.Get(s.t.Context(), req.Name)
	assert.Equal(s.t, cloud.NotFound, cloud.ClassOf(err), "an instance of another fleet: %v", err)
}

func destroyAgain(s *suite) {
	require.NoError(s.t, s.Driver.Destroy(s.t.Context(), Name(s.t)))
	req := s.request()
	s.create(s.Driver, req)
	require.NoError(s.t, s.Other.Destroy(s.t.Context(), req.Name), "to another fleet it is unknown")
	assert.True(s.t, s.awaitRunning(req.Name).Alive())
	var done sync.WaitGroup
	errs := make([]error, 6)
	for call := range errs {
		done.Go(func() {
			errs[call] = []cloud.Driver{s.Driver, s.Second}[call%2].Destroy(s.t.Context(), req.Name)
		})
	}
	done.Wait()
	for _, err := range errs {
		require.NoError(s.t, err)
	}
	s.awaitEnd(s.Driver, req.Name)
	require.NoError(s.t, s.Driver.Destroy(s.t.Context(), req.Name))
	s.awaitEnd(s.Second, req.Name)
}

func destroyAtOnce(s *suite) {
	req := s.request()
	s.create(s.Driver, req)
	require.NoError(s.t, s.Driver.Destroy(s.t.Context(), req.Name))
	s.awaitEnd(s.Driver, req.Name)
	assert.Empty(s.t, s.names(s.Driver))
}

func quota(s *suite) {
	const more = 3
	requests := make([]cloud.CreateRequest, s.Quota+more)
	errs := make([]error, len(requests))
	var done sync.WaitGroup
	for i := range requests {
		requests[i] = s.request()
		s.destroyLater(s.Limited, requests[i].Name)
		done.Go(func() { _, errs[i] = s.Limited.Create(s.t.Context(), requests[i]) })
	}
	done.Wait()
	refused := 0
	for i, err := range errs {
		if err == nil {
			_, err := s.Limited.Create(s.t.Context(), requests[i])
			require.NoError(s.t, err, "what exists is returned above the quota as well")
			continue
		}
		refused++
		assert.Equal(s.t, cloud.Quota, cloud.ClassOf(err), "%v", err)
		assert.ErrorContains(s.t, err, requests[i].Name)
		_, err = s.Limited.Get(s.t.Context(), requests[i].Name)
		assert.Equal(s.t, cloud.NotFound, cloud.ClassOf(err), "what was refused: %v", err)
	}
	assert.Equal(s.t, more, refused)
	assert.Len(s.t, s.names(s.Limited), s.Quota)
}

func quotaAfterDestroy(s *suite) {
	var last cloud.CreateRequest
	for range s.Quota {
		last = s.request()
		s.create(s.Limited, last)
	}
	next := s.request()
	_, err := s.Limited.Create(s.t.Context(), next)
	require.Equal(s.t, cloud.Quota, cloud.ClassOf(err), "%v", err)
	require.NoError(s.t, s.Limited.Destroy(s.t.Context(), last.Name))
	s.awaitEnd(s.Limited, last.Name)
	assert.True(s.t, s.create(s.Limited, next).Alive())
}

func cancelled(s *suite) {
	req := s.request()
	s.create(s.Driver, req)
	never := s.request()
	ctx, cancel := context.WithCancel(s.t.Context())
	cancel()
	calls := map[string]func() error{
		"create":  func() error { _, err := s.Driver.Create(ctx, never); return err },
		"get":     func() error { _, err := s.Driver.Get(ctx, req.Name); return err },
		"list":    func() error { _, err := s.Driver.List(ctx); return err },
		"destroy": func() error { return s.Driver.Destroy(ctx, req.Name) },
		"tag":     func() error { return s.Driver.Tag(ctx, req.Name, map[string]string{"a": "b"}) },
	}
	for name, call := range calls {
		err := call()
		assert.ErrorIs(s.t, err, context.Canceled, name)
		assert.Empty(s.t, cloud.ClassOf(err), name)
	}
	assert.Equal(s.t, []string{req.Name}, s.names(s.Driver))
	assert.True(s.t, s.awaitRunning(req.Name).Alive())
	assert.NotContains(s.t, s.tagsOf(req.Name, map[string]string{"a": ""}), "a")
}

func console(s *suite) {
	consoler, ok := s.Driver.(cloud.Consoler)
	if !ok { // it is optional, and there is nothing to promise; the local driver has one
		s.t.Skip("the driver has no console")
	}
	req := s.request()
	req.InitCommand = "echo the init command was here"
	s.create(s.Driver, req)
	s.eventually("the init command's output is on the console", func() bool {
		output, err := consoler.ConsoleOutput(s.t.Context(), req.Name)
		return err == nil && strings.Contains(output, "the init command was here") && len(output) <= 64<<10
	})
	_, err := consoler.ConsoleOutput(s.t.Context(), Name(s.t))
	assert.Equal(s.t, cloud.NotFound, cloud.ClassOf(err), "%v", err)
}
