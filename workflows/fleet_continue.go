package workflows

import (
	"encoding/json"
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// handover is what a fleet has got ready for its next run.
type handover struct {
	carried *api.FleetCarried // nil: it is packed
	packed  []byte
	mail    []api.Mail // that has come in since, and is for the next run to take in
	amount  int        // of requests and reports in it
	room    int        // in bytes, for more of it
}

const (
	// freshEvents is how long the history may have grown, at most, for a workflow task to
	// be sure to be a short one.
	freshEvents = 12
	// handoverMail is how many requests and reports are left to the next run, at most.
	handoverMail = 2000
	// inputAtMost is how many bytes the next run's input has: the server terminates a
	// workflow that continues as new with more than 2 MB.
	inputAtMost = 2<<20 - 16<<10
	// mailBytes is how many bytes of it are kept free for mail, at least.
	mailBytes = 128 << 10
	// effortAtMost bounds what it takes to replay a run's history, in containers and
	// instances that were looked at by all its decisions together: a second or two.
	effortAtMost = 2_500_000
)

// mustContinue reports whether this run has grown so long that the next must take
// over, and can.
func (f *fleet) mustContinue(ctx workflow.Context) bool {
	isStuck := len(f.containers) >= f.tooMany && workflow.Now(ctx).Before(f.fitsAfter)
	return (isLong(ctx, f.received) || f.effort > effortAtMost) && !isStuck && workflow.AllHandlersFinished(ctx)
}

// isLaden reports whether there is more to be sent than the next run should have to carry.
func (f *fleet) isLaden() bool {
	bytes := 0
	for _, m := range f.outbox {
		bytes += len(m.Payload)
	}
	return bytes > deliverBytes
}

// continueAsNew returns what starts this workflow's next run, which carries on where this
// one is. Nil: something has happened meanwhile that this run must see to.
func (f *fleet) continueAsNew(ctx workflow.Context) error {
	carried := f.pack()
	h := f.prepareHandover(&carried)
	if h.room < mailBytes && len(carried.Stories) > 0 {
		f.log.Error("the fleet is too large: what went wrong with containers so far is forgotten", "containers", len(carried.Queue))
		carried.Stories = nil
		h = f.prepareHandover(&carried)
	}
	if h.room < mailBytes {
		f.log.Error("the fleet is too large: what its containers are called is forgotten", "containers", len(carried.Queue))
		for k := range carried.Queue {
			carried.Queue[k].Label = ""
		}
		h = f.prepareHandover(&carried)
	}
	if h.room < 0 {
		f.log.Error("the fleet is too large to continue as new", "containers", len(carried.Queue), "bytes", -h.room)
		f.tooMany, f.fitsAfter = len(f.containers), workflow.Now(ctx).Add(time.Minute)
		return nil
	}
	f.handover = h
	return f.handOver(ctx)
}

// prepareHandover packs what the next run must know, and says how much room it leaves in
// that one's input.
func (f *fleet) prepareHandover(carried *api.FleetCarried) *handover {
	spec, err := json.Marshal(f.spec)
	var packed []byte
	if err == nil {
		packed, err = carried.Pack()
	}
	if err != nil {
		panic(fmt.Sprintf("the fleet's state can't be encoded: %v", err)) // a programming error: fails the workflow task
	}
	if packed == nil {
		return &handover{carried: carried, room: inputAtMost - len(spec) - api.PlainBytes}
	}
	return &handover{packed: packed, room: inputAtMost - len(spec) - len(packed)}
}

// add keeps mail for the next run.
func (h *handover) add(mail api.Mail) {
	data, err := json.Marshal(mail)
	if err != nil {
		panic(fmt.Sprintf("mail can't be encoded: %v", err)) // a programming error: it has been decoded
	}
	h.mail = append(h.mail, mail)
	h.amount += len(mail.Requests) + len(mail.Reports)
	h.room -= len(data)
}

// isFull reports whether there is more mail than is left to the next run.
func (h *handover) isFull() bool { return h.amount > handoverMail || h.room < 0 }

// handOver continues as new in a workflow task in which there is nothing else to do. The
// server refuses that when a signal has come in since the task began, and packing the
// state takes longer than the pause between two signals. After a refusal the history is
// replayed, and that task is a long one, too: its end is waited for.
func (f *fleet) handOver(ctx workflow.Context) error {
	info := workflow.GetInfo(ctx)
	for f.handover != nil {
		length := info.GetCurrentHistoryLength()
		options := workflow.AwaitOptions{Timeout: time.Second, TimerOptions: workflow.TimerOptions{Summary: "until the next run takes over"}}
		_, err := workflow.AwaitWithOptions(ctx, options, func() bool { return f.handover == nil || info.GetCurrentHistoryLength() > length })
		if err != nil {
			f.log.Debug("waiting to hand over ended", "error", err)
		}
		letOthersRun(ctx)
		switch h := f.handover; {
		case h == nil:
		case !workflow.AllHandlersFinished(ctx) || h.isFull():
			f.stay(ctx)
		case info.GetCurrentHistoryLength()-length <= freshEvents:
			return workflow.NewContinueAsNewError(ctx, api.FleetWorkflow, api.FleetInput{Spec: f.spec, Carried: h.carried, Mail: h.mail}, h.packed)
		}
	}
	return nil
}

// stay has this run go on, in which something changes that the next one would not know
// of. Whatever is no mail calls it before it changes the fleet.
func (f *fleet) stay(ctx workflow.Context) {
	h := f.handover
	if h == nil {
		return
	}
	f.handover = nil
	for _, mail := range h.mail {
		f.take(ctx, mail)
	}
}
