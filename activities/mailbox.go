package activities

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"

	"drover/internal/api"
	"drover/internal/pause"
)

// mailboxes are what this worker has to tell fleets.
type mailboxes struct {
	send func(ctx context.Context, namespace string, m api.Message) error

	mu     sync.Mutex
	fleets map[string]*mailbox // by workflow ID
}

// of returns the mailbox of a fleet, by the ID of its workflow.
func (b *mailboxes) of(namespace, workflowID string) *mailbox {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fleets[workflowID] == nil {
		b.fleets[workflowID] = &mailbox{send: b.send, namespace: namespace, workflowID: workflowID}
	}
	return b.fleets[workflowID]
}

const (
	// mailAtOnce and mailBytes are how many messages, and how many bytes of them, go into
	// one signal: far from the server's limit of 2 MB.
	mailAtOnce = 200
	mailBytes  = 512 << 10
	// busyMail is how many messages in one signal show that a fleet is busy, and mailPause
	// for how long it is let work then before it gets the next.
	busyMail  = 4
	mailPause = 50 * time.Millisecond
)

// mailbox tells one fleet what its containers ask and its instances report. Every signal
// costs the fleet's workflow events and, often, a task; and one that gets a signal while
// it continues as new has to begin that again. So what is to be told while a signal is
// under way goes into the next one.
type mailbox struct {
	send                  func(ctx context.Context, namespace string, m api.Message) error
	namespace, workflowID string
	gathering[letter]
}

// letter is one message and who waits for its delivery.
type letter struct {
	api.Message
	sent chan<- error
}

// tell returns when the fleet has the message, or with an error if that is not certain.
func (b *mailbox) tell(ctx context.Context, m api.Message) error {
	sent := make(chan error, 1)
	b.add(letter{m, sent}, b.work)
	select {
	case err := <-sent:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// work sends until there is nothing more.
func (b *mailbox) work() {
	for {
		letters := b.round(inOneSignal)
		if len(letters) == 0 {
			return
		}
		b.sendAll(letters)
		if len(letters) > busyMail {
			_ = pause.For(context.Background(), mailPause) // a context that never ends
		}
	}
}

// inOneSignal returns how many of the first go into one signal.
func inOneSignal(waiting []letter) int {
	n, bytes := 0, 0
	for n < min(len(waiting), mailAtOnce) && (n == 0 || bytes+len(waiting[n].Payload) <= mailBytes) {
		bytes += len(waiting[n].Payload)
		n++
	}
	return n
}

// sendAll sends several messages in one signal. If that can't be accepted, one of them
// is at fault, and each is sent by itself.
func (b *mailbox) sendAll(letters []letter) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	together, err := b.together(letters)
	if err == nil {
		err = b.send(ctx, b.namespace, together)
	}
	var invalid *serviceerror.InvalidArgument
	for _, l := range letters {
		if len(letters) > 1 && errors.As(err, &invalid) && undeliverable(err) {
			l.sent <- b.send(ctx, b.namespace, l.Message)
			continue
		}
		l.sent <- err
	}
}

// together makes one message of several. Which they are is a matter of chance, so that no
// two are the same: what is sent again, the fleet gets again.
func (b *mailbox) together(letters []letter) (api.Message, error) {
	if len(letters) == 1 {
		return letters[0].Message, nil
	}
	var mail struct {
		Requests []json.RawMessage `json:"requests,omitempty"`
		Reports  []json.RawMessage `json:"reports,omitempty"`
	}
	for _, l := range letters {
		if l.Signal == api.SignalRequest {
			mail.Requests = append(mail.Requests, l.Payload)
		} else {
			mail.Reports = append(mail.Reports, l.Payload)
		}
	}
	payload, err := json.Marshal(mail)
	return api.Message{WorkflowID: b.workflowID, Signal: api.SignalMail, Payload: payload, RequestID: rand.Text()}, err
}
