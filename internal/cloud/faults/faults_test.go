package faults_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"drover/internal/cloud"
	"drover/internal/cloud/cloudtest"
	"drover/internal/cloud/faults"
	"drover/internal/cloud/local"
	"drover/internal/fleetspec"
)

func TestMain(m *testing.M) {
	local.RunIfInstance()
	goleak.VerifyTestMain(m)
}

// request asks for an instance of that name.
func request(name string) cloud.CreateRequest {
	return cloud.CreateRequest{Name: name, ProviderType: "small"}
}

// TestSuite runs the suite through wrappers that inject nothing. Only the limited fleet
// has a fault: the quota that its driver lacks.
func TestSuite(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloudtest.Harness {
		directory, err := os.MkdirTemp("", "drover-faults-")
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, local.DestroyAll(context.Background(), directory)) })
		wrap := func(fleet string, injected fleetspec.Faults) cloud.Driver {
			driver, err := local.New(local.Config{Fleet: fleet, Directory: directory})
			require.NoError(t, err)
			return faults.New(driver, faults.Config{Faults: injected, Fleet: fleet, Directory: t.TempDir()})
		}
		return cloudtest.Harness{
			Driver:       wrap("fleet", fleetspec.Faults{}),
			Second:       wrap("fleet", fleetspec.Faults{}),
			Other:        wrap("other", fleetspec.Faults{}),
			Limited:      wrap("limited", fleetspec.Faults{Quota: 3}),
			Quota:        3,
			ProviderType: "small",
		}
	})
}

// calls are all methods of a driver, by their names.
var calls = map[faults.Kind]func(context.Context, cloud.Driver) error{
	faults.Create: func(ctx context.Context, d cloud.Driver) error {
		instance, err := d.Create(ctx, request("a"))
		return answers(err, instance.Name == "a")
	},
	faults.Get: func(ctx context.Context, d cloud.Driver) error {
		instance, err := d.Get(ctx, "there")
		return answers(err, instance.Name == "there")
	},
	faults.List: func(ctx context.Context, d cloud.Driver) error {
		instances, err := d.List(ctx)
		return answers(err, len(instances) > 0)
	},
	faults.Destroy: func(ctx context.Context, d cloud.Driver) error { return d.Destroy(ctx, "b") },
	faults.Tag:     func(ctx context.Context, d cloud.Driver) error { return d.Tag(ctx, "there", nil) },
	faults.Console: func(ctx context.Context, d cloud.Driver) error {
		output, err := d.(cloud.Consoler).ConsoleOutput(ctx, "there")
		return answers(err, output == "booted")
	},
}

// answers returns the error of a call, after checking that there is an answer or an
// error, and not both.
func answers(err error, answered bool) error {
	if answered == (err != nil) {
		return fmt.Errorf("answered: %v, and the error is: %w", answered, err)
	}
	return err
}

// every returns faults that hit every kind of call in the same way.
func every(c fleetspec.CallFaults) fleetspec.Faults {
	return fleetspec.Faults{
		Create:  fleetspec.CreateFaults{Fail: c.Fail, Lose: c.Lose, Late: c.Late, Delay: c.Delay},
		Destroy: c, Get: c, List: c, Tag: c,
	}
}

func TestEveryKindOfCallGoesWrong(t *testing.T) {
	for name, c := range map[string]struct {
		faults  fleetspec.Faults
		class   cloud.Class
		reaches int
		message string
	}{
		"nothing":      {reaches: 1},
		"fail":         {faults: every(fleetspec.CallFaults{Fail: 1}), message: "injected fault: the call did not reach the provider"},
		"lose":         {faults: every(fleetspec.CallFaults{Lose: 1}), reaches: 1, message: "injected fault: the answer was lost"},
		"fail, lose":   {faults: every(fleetspec.CallFaults{Fail: 1, Lose: 1}), message: "injected fault: the call did not reach the provider"},
		"denied":       {faults: fleetspec.Faults{Denied: true}, class: cloud.Denied, message: "denied: injected fault: the credentials are not valid"},
		"denied, lose": {faults: fleetspec.Faults{Denied: true, List: fleetspec.CallFaults{Lose: 1}}, class: cloud.Denied, message: "the credentials are not valid"},
	} {
		for kind, do := range calls {
			t.Run(name+"/"+string(kind), func(t *testing.T) {
				p := newProvider()
				p.instances["there"] = cloud.Instance{Name: "there", State: cloud.Running}
				err := do(t.Context(), faults.New(recorder{p}, faults.Config{Faults: c.faults}))
				assert.Equal(t, c.reaches, p.count(string(kind)))
				if c.message == "" {
					require.NoError(t, err)
					return
				}
				var e *cloud.Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, c.class, e.Class)
				assert.NotEmpty(t, e.Op)
				assert.ErrorContains(t, err, c.message)
			})
		}
	}
}

func TestFaultsOfOneKindOfCallLeaveTheOthersAlone(t *testing.T) {
	for hit, injected := range map[faults.Kind]fleetspec.Faults{
		faults.Create:  {Create: fleetspec.CreateFaults{Fail: 1}},
		faults.Get:     {Get: fleetspec.CallFaults{Fail: 1}},
		faults.List:    {List: fleetspec.CallFaults{Fail: 1}},
		faults.Destroy: {Destroy: fleetspec.CallFaults{Fail: 1}},
		faults.Tag:     {Tag: fleetspec.CallFaults{Fail: 1}},
	} {
		p := newProvider()
		p.instances["there"] = cloud.Instance{Name: "there", State: cloud.Running}
		d := faults.New(recorder{p}, faults.Config{Faults: injected})
		for kind, do := range calls {
			// A console is read as an instance is.
			fails := kind == hit || kind == faults.Console && hit == faults.Get
			assert.Equal(t, fails, do(t.Context(), d) != nil, "%s, while %s fails", kind, hit)
		}
	}
}

func TestErrorsOfTheProviderComeThrough(t *testing.T) {
	p := newProvider()
	p.refuses = &cloud.Error{Class: cloud.Invalid, Op: "do", Err: errors.New("no such subnet")}
	d := faults.New(recorder{p}, faults.Config{Faults: every(fleetspec.CallFaults{Lose: 1})})
	for kind, do := range calls {
		require.ErrorIs(t, do(t.Context(), d), p.refuses, kind)
	}
}

func TestACallThatIsCancelledReachesNobody(t *testing.T) {
	p := newProvider()
	d := faults.New(recorder{p}, faults.Config{Faults: every(fleetspec.CallFaults{Fail: 1})})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for kind, do := range calls {
		err := do(ctx, d)
		require.ErrorIs(t, err, context.Canceled, kind)
		require.Empty(t, cloud.ClassOf(err))
		require.Zero(t, p.count(string(kind)))
	}
}

func TestLateAnswers(t *testing.T) {
	const delay = 3 * time.Second
	for kind, do := range calls {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProvider()
				p.instances["there"] = cloud.Instance{Name: "there", State: cloud.Running}
				d := faults.New(recorder{p}, faults.Config{Faults: every(fleetspec.CallFaults{Late: 1, Delay: fleetspec.Duration(delay)}), Seed: 1})
				began := time.Now()
				require.NoError(t, do(t.Context(), d))
				took := time.Since(began)
				require.Positive(t, took)
				require.LessOrEqual(t, took, delay)

				ctx, cancel := context.WithTimeout(t.Context(), 1)
				defer cancel()
				began = time.Now()
				err := do(ctx, d)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Empty(t, cloud.ClassOf(err))
				require.Equal(t, time.Duration(1), time.Since(began))
				require.Equal(t, 2, p.count(string(kind)), "the call was made, and its answer came too late")
			})
		})
	}
}

func TestRates(t *testing.T) {
	const n, rate = 2000, 0.25
	failures := func(seed uint64) (hits string, count int) {
		d := faults.New(newProvider(), faults.Config{Faults: fleetspec.Faults{Tag: fleetspec.CallFaults{Fail: rate}}, Seed: seed})
		for range n {
			if d.Tag(t.Context(), "a", nil) != nil {
				hits, count = hits+"x", count+1
			} else {
				hits += "."
			}
		}
		return hits, count
	}
	first, count := failures(7)
	assert.InDelta(t, rate*n, count, 100) // five standard deviations
	again, _ := failures(7)
	assert.Equal(t, first, again, "the seed makes it the same each time")
	other, _ := failures(8)
	assert.NotEqual(t, first, other)
	once, _ := failures(0)
	twice, _ := failures(0)
	assert.NotEqual(t, once, twice, "without a seed it differs")
}

func TestOptionalInterfacesAreThoseOfTheDriver(t *testing.T) {
	p := newProvider()
	_, ok := faults.New(p, faults.Config{}).(cloud.Consoler)
	assert.False(t, ok)
	consoler, ok := faults.New(recorder{p}, faults.Config{}).(cloud.Consoler)
	require.True(t, ok)
	output, err := consoler.ConsoleOutput(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, "booted", output)
}

func TestScript(t *testing.T) {
	second := &cloud.Error{Class: cloud.Quota, Op: "create", Err: errors.New("the second one is refused")}
	third := errors.New("the third one's answer is lost")
	var seen []faults.Call
	p := newProvider()
	d := faults.New(p, faults.Config{Script: func(c faults.Call) error {
		seen = append(seen, c)
		switch {
		case c.Kind == faults.Create && c.Number == 2:
			return second
		case c.Kind == faults.Create && c.Number == 3 && c.Done:
			return third
		}
		return nil
	}})
	for k, want := range []error{nil, second, third, nil} {
		_, err := d.Create(t.Context(), request(fmt.Sprint("i", k+1)))
		require.Equal(t, want, err)
	}
	_, err := d.List(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []faults.Call{
		{Kind: faults.Create, Instance: "i1", Number: 1}, {Kind: faults.Create, Instance: "i1", Number: 1, Done: true},
		{Kind: faults.Create, Instance: "i2", Number: 2},
		{Kind: faults.Create, Instance: "i3", Number: 3}, {Kind: faults.Create, Instance: "i3", Number: 3, Done: true},
		{Kind: faults.Create, Instance: "i4", Number: 4}, {Kind: faults.Create, Instance: "i4", Number: 4, Done: true},
		{Kind: faults.List, Number: 1}, {Kind: faults.List, Number: 1, Done: true},
	}, seen)
	assert.Contains(t, p.instances, "i3")
	assert.NotContains(t, p.instances, "i2")
}
