package activities

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/testsuite"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

func TestTwoLooksMustAgree(t *testing.T) {
	found := func(names ...string) (all []api.Found) {
		for _, n := range names {
			all = append(all, api.Found{Name: n, CloudID: "i-" + n})
		}
		return all
	}
	for name, c := range map[string]struct {
		suspected  api.Suspicion
		seen, want api.SyncResult
	}{
		"nothing": {},
		"nothing any more": {
			suspected: api.Suspicion{Found: []string{"a"}, Vanished: []string{"x"}},
		},
		"one look": {
			seen: api.SyncResult{Found: found("a"), Vanished: []string{"x"}},
			want: api.SyncResult{Suspected: api.Suspicion{Found: []string{"a"}, Vanished: []string{"x"}}},
		},
		"two looks": {
			suspected: api.Suspicion{Found: []string{"a", "b"}, Vanished: []string{"x", "y"}},
			seen:      api.SyncResult{Found: found("b", "c"), Vanished: []string{"y", "z"}},
			want: api.SyncResult{
				Found: found("b"), Vanished: []string{"y"},
				Suspected: api.Suspicion{Found: []string{"c"}, Vanished: []string{"z"}},
			},
		},
		"found first, and vanished then": {
			suspected: api.Suspicion{Found: []string{"a"}},
			seen:      api.SyncResult{Vanished: []string{"a"}},
			want:      api.SyncResult{Suspected: api.Suspicion{Vanished: []string{"a"}}},
		},
	} {
		assert.Equal(t, c.want, confirm(c.suspected, c.seen), name)
	}
}

// known is what a fleet answers to the query: the instances that it knows.
type known []string

func (k known) HasValue() bool { return true }

func (k known) Get(into any) error {
	var state api.FleetState
	for _, name := range k {
		state.Instances = append(state.Instances, api.FleetInstanceState{Name: name})
	}
	data, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// silent is a fleet's answer that can't be read.
type silent struct{ known }

func (silent) Get(any) error { return errors.New("it does not answer") }

// emptyCloud is a Temporal server on which no instance's workflow runs, and a cloud without
// instances. Each look asks the fleet what it knows.
func emptyCloud(t *testing.T, asked func() converter.EncodedValue) *Activities {
	temporal := &mocks.Client{}
	temporal.On("QueryWorkflow", mock.Anything, "fleet/default", "", api.QueryState).
		Return(func(context.Context, string, string, string, ...any) converter.EncodedValue { return asked() }, nil)
	temporal.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{}, nil)
	temporal.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(nil, serviceerror.NewNotFound("none"))
	return New(temporal, t.TempDir())
}

func TestASyncReturnsWhenThereIsSomethingToSay(t *testing.T) {
	gone := api.Suspicion{Vanished: []string{"a"}}
	for name, c := range map[string]struct {
		in    api.SyncInput
		knows []known // look by look; the last for ever
		fails bool
		want  api.SyncResult
		looks int
	}{
		"the first look of a run": {
			in: api.SyncInput{Report: true}, knows: []known{nil}, looks: 1,
		},
		"a first suspicion": {
			knows: []known{nil, nil, nil, {"a"}}, want: api.SyncResult{Suspected: gone}, looks: 4,
		},
		"a suspicion that is confirmed": {
			in: api.SyncInput{Suspected: gone}, knows: []known{{"a"}}, want: api.SyncResult{Vanished: []string{"a"}}, looks: 1,
		},
		"a suspicion that is not": {
			in: api.SyncInput{Suspected: gone}, knows: []known{nil}, looks: 1,
		},
		"a first look that fails": {
			in: api.SyncInput{Report: true, Suspected: gone}, fails: true, want: api.SyncResult{Suspected: gone, Failed: true}, looks: 1,
		},
		"two looks at once": {
			in: api.SyncInput{Once: true}, knows: []known{{"a", "b"}, {"a"}}, want: api.SyncResult{Vanished: []string{"a"}}, looks: 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			looks := 0
			a := emptyCloud(t, func() converter.EncodedValue {
				looks++
				if c.fails {
					return silent{}
				}
				return c.knows[min(looks, len(c.knows))-1]
			})
			var suite testsuite.WorkflowTestSuite
			env := suite.NewTestActivityEnvironment()
			env.RegisterActivityWithOptions(a.SyncFleet, activity.RegisterOptions{Name: api.SyncFleetActivity})
			c.in.Fleet, c.in.Driver, c.in.Interval = "default", "local", fleetspec.Duration(time.Millisecond)
			value, err := env.ExecuteActivity(api.SyncFleetActivity, c.in)
			require.NoError(t, err)
			var result api.SyncResult
			require.NoError(t, value.Get(&result))
			assert.Equal(t, c.want, result)
			assert.Equal(t, c.looks, looks)
		})
	}
}

// The run of a busy fleet may be over before a look is.
func TestALookOutlastsTheRunThatBeganIt(t *testing.T) {
	began, gate := make(chan struct{}), make(chan struct{})
	a := emptyCloud(t, func() converter.EncodedValue {
		close(began)
		<-gate
		return known{"a"}
	})
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	looks := func(ctx context.Context) (api.SyncResult, error) {
		driver, err := a.driver("default", "local", nil, nil)
		require.NoError(t, err)
		run, ends := context.WithCancel(ctx)
		go func() {
			<-began
			ends()
		}()
		_, err = a.lookAtOnce(run, driver, "default")
		require.ErrorIs(t, err, context.Canceled)
		next := a.looks.DoChan("default", func() (any, error) {
			t.Error("the next run does not begin another look")
			return api.SyncResult{}, nil
		})
		close(gate)
		seen := <-next
		return seen.Val.(api.SyncResult), seen.Err
	}
	env.RegisterActivityWithOptions(looks, activity.RegisterOptions{Name: "looks"})
	value, err := env.ExecuteActivity("looks")
	require.NoError(t, err)
	var result api.SyncResult
	require.NoError(t, value.Get(&result))
	assert.Equal(t, []string{"a"}, result.Vanished)
}
