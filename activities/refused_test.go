package activities

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
	"drover/internal/cloud"
)

// looks is a driver of which only Get is asked for.
type looks struct {
	cloud.Driver
	instance cloud.Instance
	err      error
}

func (l looks) Get(context.Context, string) (cloud.Instance, error) { return l.instance, l.err }

// refusedAt returns what the activity makes of a refusal at that attempt.
func refusedAt(t *testing.T, attempt int32, driver cloud.Driver) (m api.Machine, err error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	create := func(ctx context.Context, m api.Machine) (api.Machine, error) {
		if activity.GetInfo(ctx).Attempt < attempt {
			return m, errors.New("the answer was lost")
		}
		denied := &cloud.Error{Class: cloud.Denied, Op: "create instance a", Err: errors.New("AuthFailure")}
		return (&Activities{}).refused(ctx, m, driver, denied)
	}
	env.RegisterActivityWithOptions(create, activity.RegisterOptions{Name: api.CreateInstanceActivity})
	env.ExecuteWorkflow(func(ctx workflow.Context) (m api.Machine, err error) {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Second})
		err = workflow.ExecuteActivity(ctx, api.CreateInstanceActivity, api.Machine{Name: "a"}).Get(ctx, &m)
		return m, err
	})
	if err := env.GetWorkflowError(); err != nil {
		return m, err
	}
	return m, env.GetWorkflowResult(&m)
}

func TestARefusalIsFinalWhateverTheCloudSaysOfTheInstance(t *testing.T) {
	missing := &cloud.Error{Class: cloud.NotFound, Err: errors.New("no such instance")}
	silent := &cloud.Error{Class: cloud.Denied, Err: errors.New("AuthFailure")}
	for _, c := range []struct {
		name     string
		attempt  int32
		driver   looks
		doubtful bool
	}{
		{"there is none", 2, looks{err: missing}, false},
		{"there was one", 2, looks{instance: cloud.Instance{State: cloud.Terminated}}, false},
		{"it does not say, and nothing was asked for before", 1, looks{err: silent}, false},
		{"it does not say, and an earlier answer was lost", 2, looks{err: silent}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := refusedAt(t, c.attempt, c.driver)
			var application *temporal.ApplicationError
			require.ErrorAs(t, err, &application)
			assert.Equal(t, api.ErrorRefused, application.Type())
			assert.True(t, application.NonRetryable())
			var refusal api.CreateRefusal
			require.NoError(t, application.Details(&refusal))
			assert.Equal(t, api.CreateRefusal{Class: "denied", Message: "create instance a: denied: AuthFailure", Doubtful: c.doubtful}, refusal)
		})
	}
}

func TestARefusalOfWhatAnEarlierTryHasCreatedIsNone(t *testing.T) {
	m, err := refusedAt(t, 2, looks{instance: cloud.Instance{Name: "a", CloudID: "i-1", State: cloud.Pending}})
	require.NoError(t, err)
	assert.Equal(t, "i-1", m.CloudID)
}
