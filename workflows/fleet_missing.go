package workflows

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// undelivered takes in what has found no receiver: orders, by the index of their message,
// and starts of instances.
func (f *fleet) undelivered(ctx workflow.Context, messages []api.Message, delivery api.Delivery, receivers map[int]*machine) {
	anew := false
	for _, k := range delivery.Missing {
		doubtful := slices.Contains(delivery.Doubtful, k)
		switch m := receivers[k]; {
		case m != nil:
			f.missing(m, messages[k], doubtful)
			anew = true
		case messages[k].Signal == "" && !doubtful:
			anew = f.neverWas(messages[k]) || anew
		}
	}
	if anew && f.news {
		f.awaitArrivals(ctx)
	}
}

// awaitArrivals ends the workflow task, so that the next decision sees what has come in
// while the messages were sent.
func (f *fleet) awaitArrivals(ctx workflow.Context) {
	options := workflow.TimerOptions{Summary: "until what came in meanwhile is taken in"}
	if err := workflow.NewTimerWithOptions(ctx, time.Millisecond, options).Get(ctx, nil); err != nil {
		f.log.Error("timer failed", "error", err)
	}
}

// missing sees to orders to an instance whose workflow no longer runs. If that has come to
// its end, its machine is gone, and what it was to start runs nowhere: that is queued again.
// If it is in doubt, the workflow was terminated, and the machine may live and run what an
// earlier try of the same delivery has told it: that stays there until the machine is found
// in the cloud's list, or known to be gone. So does, in either case, what it was given
// before: its last report is on its way.
func (f *fleet) missing(m *machine, message api.Message, doubtful bool) {
	f.log.Warn("the instance's workflow does not run", "instance", m.Name)
	m.Leaving, f.news = true, true
	if doubtful {
		return
	}
	var orders api.Orders
	f.decode(message, &orders)
	for _, a := range orders.Run {
		f.takeBack(m, a.Container, a.Attempt)
	}
}

// neverWas forgets an instance whose workflow was started, by a workflow task that failed,
// and has come to its end since: its machine is gone. It reports whether there was one to
// forget.
func (f *fleet) neverWas(message api.Message) bool {
	var in api.InstanceInput
	f.decode(message, &in)
	m := f.byName[in.Name]
	if m == nil {
		return false
	}
	f.log.Warn("the instance has come and gone", "instance", m.Name)
	f.removeInstance(m)
	f.news = true
	return true
}

// decode reads a message of the fleet's own.
func (f *fleet) decode(message api.Message, into any) {
	if err := json.Unmarshal(message.Payload, into); err != nil {
		panic(fmt.Sprintf("a message of our own can't be decoded: %v", err)) // a programming error: fails the workflow task
	}
}
