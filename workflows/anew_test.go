package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"drover/internal/api"
)

func TestACancelledContainerStaysCancelledWhenItsFleetIsCreatedAnew(t *testing.T) {
	w := newWorld(t)
	w.after(time.Second, w.env.CancelWorkflow)
	w.after(2*time.Second, func() { w.unknown = true })
	w.signal(5*time.Minute, api.SignalOutcome, api.Outcome{Cancelled: true})
	_, err := w.contain("container/c-1", `{"command": ["true"]}`)
	require.True(t, temporal.IsCanceledError(err))
	var kinds []api.RequestKind
	for _, r := range w.requests {
		kinds = append(kinds, r.Kind)
	}
	assert.Equal(t, []api.RequestKind{api.Submit, api.Cancel, api.Submit, api.Cancel}, kinds[:4])
}

func TestAContainerWhoseFleetIsGoneSaysSoAndAsksEverLessOften(t *testing.T) {
	w := newWorld(t)
	w.after(time.Second, func() { w.unknown, w.fleetless = true, true })
	w.after(23*time.Hour, func() {
		assert.Equal(t, `fleet "default" does not exist; fleets: default`, query[api.ContainerState](w).Status)
	})
	w.signal(24*time.Hour, api.SignalOutcome, api.Outcome{Cancelled: true})
	_, err := w.contain("container/c-1", `{"command": ["true"]}`)
	require.True(t, temporal.IsCanceledError(err))
	assert.Less(t, w.asked, 200)
}
