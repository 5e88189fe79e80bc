package activities

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/testsuite"

	"drover/internal/api"
	"drover/internal/cloud"
	"drover/internal/fleetspec"
)

// TestFaultsCanBeTakenBack destroys an instance by an activity whose input says that
// destroying always fails.
func TestFaultsCanBeTakenBack(t *testing.T) {
	always := &fleetspec.Faults{Destroy: fleetspec.CallFaults{Fail: 1}}
	for name, c := range map[string]struct {
		before, now *fleetspec.Faults
		err         error
		fails       bool
	}{
		"the fleet says the same":             {before: always, now: always, fails: true},
		"the fleet injects others":            {before: always, now: &fleetspec.Faults{}},
		"the fleet has begun to":              {before: &fleetspec.Faults{}, now: always, fails: true},
		"the fleet injects nothing any more":  {before: always},
		"there is no such fleet any more":     {before: always, err: serviceerror.NewNotFound("workflow not found")},
		"the fleet does not answer":           {before: always, err: errors.New("no poller"), fails: true},
		"the fleet is not asked without need": {now: always, err: errors.New("it must not be asked")},
	} {
		t.Run(name, func(t *testing.T) {
			temporal := &mocks.Client{}
			if c.before != nil {
				temporal.On("QueryWorkflow", mock.Anything, "fleet/f", "", api.QueryState).
					Return(answered(t, api.FleetState{Spec: fleetspec.Spec{Name: "f", Faults: c.now}}), c.err).Once()
			}
			var suite testsuite.WorkflowTestSuite
			env := suite.NewTestActivityEnvironment()
			env.RegisterActivityWithOptions(New(temporal, t.TempDir()).DestroyInstance, activity.RegisterOptions{Name: api.DestroyInstanceActivity})
			machine := api.Machine{Fleet: "f", Name: "f-1", Driver: fleetspec.DriverLocal, Faults: c.before}
			_, err := env.ExecuteActivity(api.DestroyInstanceActivity, api.DestroyInput{Machine: machine})
			if c.fails {
				require.ErrorContains(t, err, "destroy instance f-1: injected fault: the call did not reach the provider")
			} else {
				require.NoError(t, err)
			}
			temporal.AssertExpectations(t)
		})
	}
}

// answered returns the answer of a query.
func answered(t *testing.T, value any) converter.EncodedValue {
	t.Helper()
	payloads, err := converter.GetDefaultDataConverter().ToPayloads(value)
	require.NoError(t, err)
	return client.NewValue(payloads)
}

func TestFaultsNeedASection(t *testing.T) {
	a := New(&mocks.Client{}, t.TempDir())
	plain, err := a.driver("f", fleetspec.DriverLocal, nil, nil)
	require.NoError(t, err)
	_, err = plain.List(t.Context())
	require.NoError(t, err)
	faulty, err := a.driver("f", fleetspec.DriverLocal, nil, &fleetspec.Faults{Denied: true})
	require.NoError(t, err)
	_, err = faulty.List(t.Context())
	assert.Equal(t, cloud.Denied, cloud.ClassOf(err))
}
