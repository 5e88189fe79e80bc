package cli

import (
	"bufio"
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
)

// Job is what `drover run` is told to do.
type Job struct {
	Spec api.ContainerSpec
	// ID is the container's. Empty: a new one.
	ID string
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

// Run submits a container and, unless it is detached, follows it to its end, with
// which it returns.
func (s *Session) Run(ctx context.Context, job Job) error {
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
	e, err := s.attend(ctx, job, &Follower{Session: s, Container: c, Screen: NewScreen(out, s.Print.Err)})
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
	id := api.ContainerWorkflowID(job.ID)
	c := Container{ID: job.ID, Fleet: job.Spec.Fleet, WorkflowID: id, Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING}
	run, err := s.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: s.TaskQueue, StaticSummary: job.Spec.Label(200),
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		// Set here, they cost the workflow no event.
		TypedSearchAttributes: temporal.NewSearchAttributes(
			api.AttributeFleet.ValueSet(job.Spec.Fleet), api.AttributeState.ValueSet(api.ContainerQueued)),
	}, api.ContainerWorkflow, job.Spec)
	var exists *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &exists) {
		return s.attach(ctx, job)
	}
	if err != nil {
		return c, fmt.Errorf("container %s: %s", job.ID, reason(err))
	}
	c.RunID = run.GetRunID()
	return c, nil
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

// attend follows the container, and does what the user wants with it on a signal.
func (s *Session) attend(ctx context.Context, job Job, f *Follower) (Ending, error) {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	type end struct {
		Ending
		error
	}
	ended := make(chan end, 1)
	go func() {
		e, err := f.Follow(ctx)
		ended <- end{e, err}
	}()
	c := f.Container
	code := 0 // that to exit with, once the user has wanted it cancelled
	for {
		select {
		case e := <-ended:
			if errors.Is(e.error, errUnwritable) {
				return s.unread(ctx, c, e.error)
			}
			if e.error == nil && e.Cancelled && code != 0 {
				return Ending{}, &ExitError{Code: code, Err: fmt.Errorf("container %s was cancelled", c.ID)}
			}
			return e.Ending, e.error
		case received := <-job.Signals:
			if code != 0 {
				return Ending{}, &ExitError{Code: code, Err: fmt.Errorf("container %s is being cancelled and may run still: `drover wait %s`", c.ID, c.ID)}
			}
			if received == syscall.SIGINT && job.Stdin != nil && s.wantsDetach(job, f) {
				return Ending{}, &ExitError{Code: 0, Err: nil}
			}
			if err := s.Client.CancelWorkflow(ctx, c.WorkflowID, c.RunID); err != nil && !isNotFound(err) {
				return Ending{}, fmt.Errorf("cancel container %s: %s", c.ID, reason(err))
			}
			code = exitOf(received)
			f.Screen.Status(c.ID + ": is being cancelled")
		}
	}
}

// unread cancels a container whose output nobody reads any more, as a process that
// writes into a broken pipe would end.
func (s *Session) unread(ctx context.Context, c Container, why error) (Ending, error) {
	err := s.Client.CancelWorkflow(ctx, c.WorkflowID, c.RunID)
	if err != nil && !isNotFound(err) {
		return Ending{}, fmt.Errorf("cancel container %s: %s", c.ID, reason(err))
	}
	if errors.Is(why, syscall.EPIPE) {
		return Ending{}, &ExitError{Code: 128 + int(syscall.SIGPIPE)}
	}
	return Ending{}, fmt.Errorf("container %s is cancelled: %w", c.ID, why)
}

// wantsDetach asks whether to cancel or to detach. A second Ctrl-C is an answer, too.
func (s *Session) wantsDetach(job Job, f *Follower) bool {
	answers := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(job.Stdin).ReadString('\n')
		if err != nil {
			line = "c"
		}
		answers <- strings.ToLower(strings.TrimSpace(line))
	}()
	defer f.Screen.Answered()
	f.Screen.Ask(fmt.Sprintf("\n%s: cancel or detach? [c/d] ", f.Container.ID))
	select {
	case answer := <-answers:
		if !strings.HasPrefix(answer, "d") {
			return false
		}
	case <-job.Signals:
		return false
	}
	f.Screen.Note(fmt.Sprintf("%s runs on: `drover logs -f %s` shows its output, `drover wait %s` its end", f.Container.ID, f.Container.ID, f.Container.ID))
	return true
}

func exitOf(received os.Signal) int {
	if number, ok := received.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return ExitFailure
}
