package workflows

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// post collects messages to other workflows, with request IDs that make their
// delivery idempotent.
type post struct {
	run      string // of the sender
	seq      int64  // of the batch
	messages []api.Message
}

// signal adds a signal.
func (p *post) signal(workflowID, name string, payload any) { p.add(workflowID, name, payload) }

// startInstance adds the start of an Instance workflow.
func (p *post) startInstance(in api.InstanceInput) {
	p.add(api.InstanceWorkflowID(in.Spec.Fleet, in.Name), "", in)
}

func (p *post) add(workflowID, signal string, payload any) {
	data, err := json.Marshal(payload)
	if err != nil {
		panic(fmt.Sprintf("%T can't be encoded: %v", payload, err)) // a programming error: fails the workflow task
	}
	p.messages = append(p.messages, api.Message{
		WorkflowID: workflowID, Signal: signal, Payload: data, RequestID: requestID(p.run, p.seq, data),
	})
}

// requestID names a message by its content, too. A local activity may have sent what its
// workflow task, which then failed, does not say again: the next try of the task knows
// more, and what it says must not be taken for the same.
func requestID(run string, seq int64, content []byte) string {
	sum := fnv.New64a()
	_, _ = sum.Write(content) // a hash never fails
	return fmt.Sprintf("%s/%d/%x", run, seq, sum.Sum64())
}

// deliver sends the messages through an activity, which is tried until each one is either
// accepted or known to have no receiver. A few are sent by a local one: that costs the
// least, but it keeps the workflow task open, and the server ends one during which a
// hundred signals have come in.
func deliver(ctx workflow.Context, summary string, messages []api.Message) (api.Delivery, error) {
	var all api.Delivery
	ctx = workflow.WithLocalActivityOptions(ctx, localOptions(summary))
	ctx = workflow.WithActivityOptions(ctx, activityOptions(summary, 30*time.Second))
	execute := workflow.ExecuteActivity
	if len(messages) <= deliverInTask {
		execute = workflow.ExecuteLocalActivity
	}
	for from := 0; from < len(messages); {
		part := messages[from : from+inOneDelivery(messages[from:])]
		var delivery api.Delivery
		if err := execute(ctx, api.DeliverActivity, part).Get(ctx, &delivery); err != nil {
			return all, err
		}
		for _, k := range delivery.Missing {
			all.Missing = append(all.Missing, from+k)
		}
		for _, k := range delivery.Doubtful {
			all.Doubtful = append(all.Doubtful, from+k)
		}
		from += len(part)
	}
	return all, nil
}

// inOneDelivery returns how many of the first messages one activity sends.
func inOneDelivery(messages []api.Message) int {
	n, bytes := 0, 0
	for n < min(len(messages), deliverAtOnce) {
		if bytes += len(messages[n].Payload); n > 0 && bytes > deliverBytes {
			break
		}
		n++
	}
	return n
}

const (
	// deliverAtOnce is how many messages one activity sends: what a slow server takes in
	// well under the activity's timeout.
	deliverAtOnce = 300
	// deliverBytes is how many bytes of them, unless one alone has more: far from the 2 MB
	// that an activity's input may have.
	deliverBytes = 512 << 10
	// deliverInTask is how many are sent while the workflow task waits for it.
	deliverInTask = 30
)

// localOptions are those of calls to Temporal itself.
func localOptions(summary string) workflow.LocalActivityOptions {
	return workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: forever,
		StartToCloseTimeout:    30 * time.Second,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 5 * time.Second},
		Summary:                summary,
	}
}
