package local

import (
	"testing"
	"time"

	"drover/internal/cloud"
	"drover/internal/cloud/cloudtest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAPreemptionIsAnnouncedOnTheInstanceAndThenHappens(t *testing.T) {
	t.Parallel()
	n := newNode(t, newDriver(t, Config{}))
	client := n.dial(t)
	command := n.d.NoticeCommand()
	assert.Empty(t, cloudtest.Output(t, client, command), "nothing is announced")

	at := time.Now().Add(4 * time.Second)
	require.NoError(t, n.d.Preempt(t.Context(), n.name, at))
	assert.Equal(t, at.UTC().Format(time.RFC3339)+"\n", cloudtest.Output(t, client, command))
	instance, err := n.d.Get(t.Context(), n.name)
	require.NoError(t, err)
	assert.Equal(t, cloud.Running, instance.State, "it lives until then")
	eventually(t, func() bool {
		instance, err := n.d.Get(t.Context(), n.name)
		return err == nil && instance.State == cloud.Terminated
	})
	assert.False(t, time.Now().Before(at.Truncate(time.Second)))
	assert.Equal(t, cloud.NotFound, cloud.ClassOf(n.d.Preempt(t.Context(), n.name, at)))
}
