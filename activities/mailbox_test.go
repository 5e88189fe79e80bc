package activities

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"drover/internal/api"
)

// post is a server to which a mailbox sends: it answers when it is let.
type post struct {
	sent chan api.Message
	let  chan error
}

func newPost() (*post, *mailbox) {
	p := &post{sent: make(chan api.Message, 10), let: make(chan error, 10)}
	boxes := &mailboxes{fleets: map[string]*mailbox{}, send: func(_ context.Context, _ string, m api.Message) error {
		p.sent <- m
		return <-p.let
	}}
	return p, boxes.of("default", "fleet/f")
}

// tell has something told, and returns what tells whether it has been.
func tell(t *testing.T, b *mailbox, signal, payload string) <-chan error {
	b.mu.Lock()
	before := len(b.waiting)
	b.mu.Unlock()
	told := make(chan error, 1)
	go func() {
		told <- b.tell(t.Context(), api.Message{WorkflowID: b.workflowID, Signal: signal, Payload: []byte(payload), RequestID: payload})
	}()
	require.Eventually(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.waiting) == before+1 }, patience, time.Millisecond)
	return told
}

func TestWhatComesWhileAFleetIsToldGoesTogetherIntoTheNextSignal(t *testing.T) {
	p, box := newPost()
	first := make(chan error, 1)
	go func() {
		first <- box.tell(t.Context(), api.Message{Signal: api.SignalRequest, Payload: []byte(`{"id":"a"}`), RequestID: "r"})
	}()
	alone := <-p.sent
	assert.Equal(t, api.SignalRequest, alone.Signal)
	assert.Equal(t, "r", alone.RequestID, "so that it is delivered once, however often it is sent")
	second := tell(t, box, api.SignalRequest, `{"id":"b"}`)
	third := tell(t, box, api.SignalReport, `{"instance":"i"}`)
	p.let <- nil
	require.NoError(t, <-first)
	together := <-p.sent
	assert.Equal(t, api.SignalMail, together.Signal)
	var mail api.Mail
	require.NoError(t, json.Unmarshal(together.Payload, &mail))
	require.Len(t, mail.Requests, 1)
	require.Len(t, mail.Reports, 1)
	assert.Equal(t, "b", mail.Requests[0].ID)
	assert.Equal(t, "i", mail.Reports[0].Instance)
	p.let <- errors.New("unavailable")
	require.EqualError(t, <-second, "unavailable")
	require.EqualError(t, <-third, "unavailable", "each sender knows that it is not certain")
}

func TestOneMessageThatCanNotBeAcceptedKeepsNoOtherFromBeingSent(t *testing.T) {
	p, box := newPost()
	blocks := make(chan error, 1)
	go func() { blocks <- box.tell(t.Context(), api.Message{Signal: api.SignalReport, Payload: []byte(`{}`)}) }()
	<-p.sent
	good := tell(t, box, api.SignalReport, `{"seq":1}`)
	bad := tell(t, box, api.SignalReport, `{"seq":2}`)
	p.let <- nil
	invalid := serviceerror.NewInvalidArgument("too large")
	for _, answer := range []error{invalid, nil, invalid} { // to both, to the first, to the second
		p.let <- answer
	}
	require.NoError(t, <-blocks)
	require.NoError(t, <-good)
	require.ErrorIs(t, <-bad, invalid)
}

func TestABusyFleetIsLetWork(t *testing.T) {
	p, box := newPost()
	go func() { _ = box.tell(t.Context(), api.Message{Signal: api.SignalReport, Payload: []byte(`{}`)}) }() // how it ends is of no interest
	<-p.sent
	var all []<-chan error
	for range busyMail + 1 {
		all = append(all, tell(t, box, api.SignalReport, `{}`))
	}
	p.let <- nil
	<-p.sent
	last := tell(t, box, api.SignalReport, `{"seq":9}`)
	p.let <- nil
	for _, told := range all {
		require.NoError(t, <-told)
	}
	began := time.Now()
	<-p.sent
	assert.GreaterOrEqual(t, time.Since(began), mailPause*9/10)
	p.let <- nil
	require.NoError(t, <-last)
}
