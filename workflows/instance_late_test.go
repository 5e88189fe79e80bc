package workflows_test

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// TestAHeldInstanceThatIsListedLateGoesWhenItsHoldIsLifted has what is on it listed for the
// first time after the boot timeout, and its boot probe fail for ever.
func TestAHeldInstanceThatIsListedLateGoesWhenItsHoldIsLifted(t *testing.T) {
	w := newWorld(t)
	w.bootProbe = func() error { return errNotYet }
	w.lists = []string{"c-1"}
	var copying []byte
	copies := 0
	w.copies = func(ctx context.Context) error {
		if copies++; copies > 1 {
			return errRefused
		}
		copying = activity.GetInfo(ctx).TaskToken
		return activity.ErrResultPending
	}
	watches := 0
	w.watch = func(context.Context, api.WatchInput) (api.WatchResult, error) {
		if watches++; watches == 1 {
			return api.WatchResult{LastProbe: w.env.Now(), Listing: &api.Listing{Containers: []string{"c-1"}}}, nil
		}
		return api.WatchResult{}, activity.ErrResultPending
	}
	began := w.env.Now()
	w.order(time.Second, 1, api.Orders{Resume: []api.Assignment{assignment("c-1")}})
	w.after(15*time.Minute, func() { require.NoError(t, w.env.CompleteActivity(copying, "/runner", nil)) })
	w.finish(20*time.Minute, "c-1", api.RunContainerResult{How: api.Exited})
	w.after(time.Hour, func() {
		state := query[api.InstanceState](w)
		assert.Equal(t, api.StateUnknown, state.State)
		assert.Empty(t, state.Running)
	})
	w.signal(2*time.Hour, api.SignalSetIdleBehavior, "run")
	w.signal(24*time.Hour, api.SignalDestroy, "it has stayed for ever")
	state := w.foundInstance(api.Hold)
	assert.Contains(t, state.Reason, "boot timeout 10m0s")
	assert.InDelta(t, 7200, state.GoneAt.Sub(began).Seconds(), 60)
	assert.Equal(t, api.BootFailure, state.BootOutcome)
}

func TestTheBootTimeoutCountsAnewForAnInstanceThatWasCreatedLateOnHold(t *testing.T) {
	w := newWorld(t)
	w.bootProbe = func() error { return errNotYet }
	var creating []byte
	w.creates = func(ctx context.Context) error {
		creating = activity.GetInfo(ctx).TaskToken
		return activity.ErrResultPending
	}
	w.signal(time.Second, api.SignalSetIdleBehavior, "hold")
	w.after(time.Hour, func() {
		require.NoError(t, w.env.CompleteActivity(creating, api.Machine{CloudID: "i-1", Address: "10.0.0.1:22"}, nil))
	})
	w.signal(time.Hour+time.Minute, api.SignalSetIdleBehavior, "run")
	w.signal(24*time.Hour, api.SignalDestroy, "it has stayed for ever")
	state := w.live()
	assert.InDelta(t, 3600+600, state.GoneAt.Sub(state.CreatedAt.Time).Seconds(), 5)
	assert.Equal(t, "boot timeout 10m0s at boot probe of i-1 at 10.0.0.1:22: tried 7 times; last error: connection refused", state.Reason)
}

func TestAFoundInstanceThatDoesNotComeUpExplainsItself(t *testing.T) {
	w := newWorld(t)
	w.bootProbe = func() error { return errNotYet }
	state := w.foundInstance(api.Run)
	assert.Equal(t, "boot timeout 10m0s at boot probe of i-9 at 10.0.0.1:22: tried 7 times; last error: connection refused", state.Reason)
	require.Len(t, state.Notes, 1)
	assert.Contains(t, state.Notes[0], state.Reason)
}

func TestAFoundInstanceThatCanNeverBeListedGoesWithWhatItWasGiven(t *testing.T) {
	w := newWorld(t)
	w.copies = func(context.Context) error { return errRefused } // no retry can mend it
	w.order(time.Second, 1, api.Orders{Resume: []api.Assignment{assignment("c-1")}})
	w.signal(24*time.Hour, api.SignalDestroy, "it has stayed for ever")
	state := w.foundInstance(api.Run)
	assert.Equal(t, "unreachable: boot timeout 10m0s: connection refused", state.Reason)
	require.Len(t, w.ended(), 1)
	assert.Equal(t, api.Lost, w.ended()[0].How)
}

func TestABootThatNoRetryCanMendIsExplainedByItsError(t *testing.T) {
	w := newWorld(t)
	w.copies = func(context.Context) error { return errRefused }
	assert.Equal(t, "runner to i-9 at 10.0.0.1:22: connection refused", w.foundInstance(api.Run).Reason)
}

func TestTheErrorOfTheLastTryIsSaidUnlessItWasBefore(t *testing.T) {
	w := newWorld(t)
	tries := 0
	w.bootProbes = func(context.Context) error {
		if tries++; tries == 1 {
			return activity.ErrResultPending
		}
		return temporal.NewNonRetryableApplicationError("boot probe: exit code 3: no disk", "again", nil)
	}
	assert.Equal(t, "boot timeout 10m0s at boot probe of i-1 at 10.0.0.1:22: tried 7 times; last error: connection refused; "+
		"at last: boot probe: exit code 3: no disk", w.live().Reason)
}

func TestAFoundInstanceSettlesForLongerThanAnActivityTakesToHearOfItsWorkflowsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		heartbeat, boot time.Duration
		settles         time.Duration
	}{
		"by default":                         {heartbeat: 4 * time.Second, boot: 10 * time.Minute, settles: 6 * time.Second},
		"more often than the steps of boots": {heartbeat: 2 * time.Second, boot: 10 * time.Minute, settles: 6 * time.Second},
		"seldom":                             {heartbeat: time.Minute, boot: 10 * time.Minute, settles: 62 * time.Second},
		"seldom, with a short boot timeout":  {heartbeat: time.Minute, boot: 30 * time.Second, settles: 62 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			began, listed := w.env.Now(), time.Time{}
			w.listings = func(context.Context) (api.Listing, error) {
				if listed.IsZero() {
					listed = w.env.Now()
				}
				return api.Listing{}, nil
			}
			in := instanceInput()
			in.Spec.Intervals.Heartbeat, in.Spec.Timeouts.Boot = fleetspec.Duration(c.heartbeat), fleetspec.Duration(c.boot)
			in.Found = &api.Found{Name: in.Name, CloudID: "i-9", Type: in.Type.Name, Behavior: api.Run, CreatedAt: began}
			w.liveWith(in)
			assert.InDelta(t, c.settles.Seconds(), listed.Sub(began).Seconds(), 1)
		})
	}
}

// Orders may come in while it is found out why an instance did not boot.
func TestABootTimeoutDoesNotCountAnewWhileItIsExplained(t *testing.T) {
	w := newWorld(t)
	w.bootProbe = func() error { return errNotYet }
	copies := 0
	w.copies = func(context.Context) error {
		if copies++; copies > 1 {
			return errRefused
		}
		return activity.ErrResultPending
	}
	w.explains = func(ctx context.Context) error {
		token := activity.GetInfo(ctx).TaskToken
		w.after(time.Second, func() {
			w.env.SignalWorkflow(api.SignalOrders, api.Orders{Seq: 1, Resume: []api.Assignment{assignment("c-1")}})
		})
		w.after(2*time.Second, func() { require.NoError(t, w.env.CompleteActivity(token, "it says nothing", nil)) })
		return activity.ErrResultPending
	}
	in := instanceInput()
	in.Found = &api.Found{Name: in.Name, CloudID: "i-9", Type: in.Type.Name, Behavior: api.Run, CreatedAt: time.Now()}
	state := w.liveWith(in)
	assert.Contains(t, strings.Join(state.Notes, "\n"), "boot timeout 10m0s at boot probe of i-9")
}

func TestWhatIsSaidOfEachLostContainerIsShort(t *testing.T) {
	w := newWorld(t)
	w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	w.sees(10*time.Second, func() api.WatchResult { return api.WatchResult{Unreachable: strings.Repeat("no route ", 500)} })
	w.live()
	require.Len(t, w.ended(), 1)
	assert.Equal(t, 300, utf8.RuneCountInString(w.ended()[0].Detail), "a report has room for hundreds")
}
