package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"drover/internal/api"
)

// TestOrdersInEveryState gives every order in every state in which one can be obeyed, by
// signal and by update.
func TestOrdersInEveryState(t *testing.T) {
	for _, state := range []string{api.StateUnknown, api.StateBooting, api.StateIdle, api.StateRunning} {
		for _, order := range []string{"run", "hold", "drain", "destroy"} {
			for _, by := range []string{"signal", "update"} {
				t.Run(fmt.Sprintf("%s by %s, %s", order, by, state), func(t *testing.T) { orderIn(t, state, order, by == "update") })
			}
		}
	}
}

// orderIn brings an instance into a state, gives the order and looks what it does.
func orderIn(t *testing.T, state, order string, update bool) {
	w := newWorld(t)
	in := instanceInput()
	switch state {
	case api.StateUnknown:
		in.Found = &api.Found{Name: in.Name, CloudID: "i-9", Type: in.Type.Name, Behavior: api.Run, CreatedAt: time.Now()}
		w.bootProbe = func() error { return errNotYet }
		w.lists = []string{"c-1"}
	case api.StateBooting:
		w.bootProbe = func() error { return errNotYet }
	case api.StateRunning:
		w.order(time.Second, 1, api.Orders{Run: []api.Assignment{assignment("c-1")}})
	}
	w.after(19*time.Second, func() { assert.Equal(t, state, query[api.InstanceState](w).State, "before") })
	given := map[string]string{"reason": "why", "by": "ann"}
	signal, name := api.SignalDestroy, api.UpdateDestroy
	if order != "destroy" {
		given["behavior"] = order
		signal, name = api.SignalSetIdleBehavior, api.UpdateIdleBehavior
	}
	w.after(20*time.Second, func() {
		if update {
			w.env.UpdateWorkflow(name, "order", &updates{reject: func(err error) { t.Errorf("refused: %v", err) }}, given)
			return
		}
		w.env.SignalWorkflow(signal, given)
	})
	goes := order == "destroy" || order == "drain" && state != api.StateRunning && state != api.StateUnknown
	w.after(25*time.Second, func() {
		now := query[api.InstanceState](w)
		if order == "destroy" {
			assert.Equal(t, "destroyed: why (by ann)", now.Reason)
		} else {
			assert.Equal(t, []string{order, "why", "ann"}, []string{string(now.IdleBehavior), now.BehaviorReason, now.BehaviorBy})
			assert.Contains(t, w.details(), fmt.Sprintf("idle behavior: %s: why (by ann)", order))
		}
		if goes {
			assert.Equal(t, api.StateGone, now.State)
		} else {
			assert.Equal(t, state, now.State)
		}
	})
	w.signal(30*time.Second, api.SignalDestroy, "the test is over")
	w.liveWith(in)
}
