package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"

	"drover/internal/api"
)

// explainsUntil has the explanation of a boot that failed take until then.
func (w *world) explainsUntil(d time.Duration) {
	var token []byte
	w.explains = func(ctx context.Context) error {
		token = activity.GetInfo(ctx).TaskToken
		return activity.ErrResultPending
	}
	w.after(d, func() { require.NoError(w.t, w.env.CompleteActivity(token, "no route to host", nil)) })
}

func TestAHoldThatComesWhileAFailedBootIsExplainedIsKept(t *testing.T) {
	for step, hang := range map[string]func(*world){
		"boot probe": func(w *world) { w.bootProbe = func() error { return errNotYet } },
		"creation":   func(w *world) { w.create = func(api.CreateInput) error { return errNotYet } },
	} {
		t.Run(step, func(t *testing.T) {
			w := newWorld(t)
			hang(w)
			w.explainsUntil(10*time.Minute + 20*time.Second)
			w.signal(10*time.Minute+10*time.Second, api.SignalSetIdleBehavior, "hold")
			w.after(time.Hour, func() {
				state := query[api.InstanceState](w)
				assert.Equal(t, api.StateBooting, state.State)
				assert.Contains(t, state.Notes[len(state.Notes)-1], "no route to host")
			})
			w.signal(2*time.Hour, api.SignalSetIdleBehavior, "run")
			state := w.live()
			assert.InDelta(t, 7200, state.LeftAt.Sub(state.CreatedAt.Time).Seconds(), 5)
			assert.Equal(t, api.BootFailure, state.BootOutcome)
		})
	}
}
