package cli

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"drover/internal/api"
	"drover/internal/indices"
)

// Job is what `drover run` is told to do.
type Job struct {
	Spec api.ContainerSpec
	// ID is the container's. Empty: a new one.
	ID string
	// Array are the indices of an array's elements, of which ID is the name. Nil: it is one
	// container.
	Array indices.Set
	// Detach returns once the container is submitted.
	Detach bool
	// Stdin answers questions. Nil: there is nobody to ask.
	Stdin io.Reader
	// Signals are SIGINT and SIGTERM.
	Signals <-chan os.Signal
}

// Submitted is what `drover run --detach -o json` prints.
type Submitted struct {
	ID         string `json:"id"`
	WorkflowID string `json:"workflow_id"`
	RunID      string `json:"run_id"`
}

// NewContainerID returns an ID that nobody has: short, and easy to read out.
func NewContainerID() string {
	var random [5]byte
	_, _ = rand.Read(random[:]) // it never fails
	return "c-" + base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").EncodeToString(random[:])
}

// Run submits a container or an array and, unless it is detached, follows it to its
// end, with which it returns.
func (s *Session) Run(ctx context.Context, job Job) error {
	if job.Array != nil {
		return s.runArray(ctx, job)
	}
	if job.ID == "" {
		job.ID = NewContainerID()
	}
	c, err := s.submit(ctx, job)
	if err != nil {
		return err
	}
	if job.Detach {
		if s.Print.JSON {
			return s.Print.Encode(Submitted{ID: c.ID, WorkflowID: c.WorkflowID, RunID: c.RunID})
		}
		s.Print.Linef("%s", c.ID)
		return nil
	}
	out := s.Print.Out
	if s.Print.JSON {
		out = io.Discard
	}
	e, err := s.attendContainer(ctx, job, c, NewScreen(out, s.Print.Err))
	if err != nil {
		return err
	}
	if s.Print.JSON && e.Result != nil {
		if err := s.Print.Encode(e.Result); err != nil {
			return err
		}
	}
	return e.Exit(c.ID)
}

// submit starts the Container workflow. An ID that exists is the same container.
func (s *Session) submit(ctx context.Context, job Job) (Container, error) {
	c, exists, err := s.begin(ctx, job.ID, job.Spec, nil)
	if exists {
		return s.attach(ctx, job)
	}
	return c, err
}

// begin starts the Container workflow, unless one of the ID exists.
func (s *Session) begin(ctx context.Context, id string, spec api.ContainerSpec, memo map[string]any) (c Container, exists bool, err error) {
	workflowID := api.ContainerWorkflowID(id)
	c = Container{ID: id, Fleet: spec.Fleet, WorkflowID: workflowID, Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING}
	run, err := s.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: s.TaskQueue, StaticSummary: spec.Label(200), Memo: memo,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		// Set here, they cost the workflow no event.
		TypedSearchAttributes: temporal.NewSearchAttributes(
			api.AttributeFleet.ValueSet(spec.Fleet), api.AttributeState.ValueSet(api.ContainerQueued)),
	}, api.ContainerWorkflow, spec)
	var known *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &known) {
		return c, true, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("container %s: %s", id, reason(err))
	}
	c.RunID = run.GetRunID()
	return c, false, nil
}

// attach finds the container that has the ID already, and says so.
func (s *Session) attach(ctx context.Context, job Job) (Container, error) {
	c, err := s.FindContainer(ctx, job.ID)
	if err != nil {
		return c, err
	}
	what := "it runs"
	if !c.Running() {
		what = "it has ended"
	}
	spec, _, err := s.submitted(ctx, c)
	if err != nil {
		return c, fmt.Errorf("container %s: %s", job.ID, reason(err))
	}
	note := fmt.Sprintf("container %s exists already (%s), this is about that one", c.ID, what)
	if strings.Join(spec.Command, "\x00") != strings.Join(job.Spec.Command, "\x00") {
		note += ", whose command is another: " + spec.Label(60)
	}
	s.Print.Notef("%s", note)
	return c, nil
}

// attendContainer follows a container to its end, or to what the user wants instead.
func (s *Session) attendContainer(ctx context.Context, job Job, c Container, screen *Screen) (Ending, error) {
	f := &Follower{Session: s, Container: c, Screen: screen}
	var ending Ending
	cancelled, err := s.attend(ctx, job, attended{
		kind: "container", id: c.ID, screen: screen,
		later: fmt.Sprintf("`drover logs -f %s` shows its output, `drover wait %s` its end", c.ID, c.ID),
		follow: func(ctx context.Context) (err error) {
			ending, err = f.Follow(ctx)
			return err
		},
		cancel: func(ctx context.Context) error { return s.cancelContainer(ctx, c) },
	})
	switch {
	case errors.Is(err, errUnwritable):
		return s.unread(ctx, c, err)
	case err != nil:
		return Ending{}, err
	case ending.Cancelled && cancelled != 0:
		return Ending{}, &ExitError{Code: cancelled, Err: fmt.Errorf("container %s was cancelled", c.ID)}
	}
	return ending, nil
}

// cancelContainer asks that a container ends. One that has is no error.
func (s *Session) cancelContainer(ctx context.Context, c Container) error {
	if err := s.Client.CancelWorkflow(ctx, c.WorkflowID, c.RunID); err != nil && !isNotFound(err) {
		return fmt.Errorf("cancel container %s: %s", c.ID, reason(err))
	}
	return nil
}

// unread cancels a container whose output nobody reads any more, as a process that
// writes into a broken pipe would end.
func (s *Session) unread(ctx context.Context, c Container, why error) (Ending, error) {
	if err := s.cancelContainer(ctx, c); err != nil {
		return Ending{}, err
	}
	if errors.Is(why, syscall.EPIPE) {
		return Ending{}, &ExitError{Code: 128 + int(syscall.SIGPIPE)}
	}
	return Ending{}, fmt.Errorf("container %s is cancelled: %w", c.ID, why)
}
