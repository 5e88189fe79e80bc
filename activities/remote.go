package activities

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"drover/internal/api"
	"drover/internal/fleetspec"
	"drover/internal/output"
	"drover/internal/sshexec"
)

// remote is a container on an instance, seen through the runner there.
type remote struct {
	*Activities
	in     api.RunContainerInput
	pool   *sshexec.Pool
	target sshexec.Target
}

func (a *Activities) newRemote(in api.RunContainerInput) (*remote, error) {
	pool, target, err := a.target(in.Machine)
	if err != nil {
		return nil, err
	}
	return &remote{Activities: a, in: in, pool: pool, target: target}, nil
}

// Exit statuses of the runner.
const (
	runnerUsage     = 2 // it does not know the call, or refuses what it is given
	runnerUnknownID = 4 // it has no record of the ID
)

// exitedWith reports whether an error is that of a command that ended with a status.
func exitedWith(err error, status int) bool {
	var exit *sshexec.ExitError
	return errors.As(err, &exit) && exit.Status == status
}

// patience is how long a call of the runner may take that does not wait for a container.
// One that takes longer is tried again: all of them are idempotent.
const patience = time.Minute

// call runs the runner on the instance.
func (r *remote) call(ctx context.Context, command sshexec.Command, args ...string) error {
	line := sshexec.Quote(r.in.Machine.Runner)
	for _, arg := range args {
		line += " " + sshexec.Quote(arg)
	}
	command.Line = line
	switch args[0] {
	case "logs", "wait", "run":
		return r.pool.Run(ctx, r.target, command)
	}
	return r.runBriefly(ctx, r.pool, r.target, command)
}

// runBriefly runs a command that must end soon, and says so when it does not.
func (a *Activities) runBriefly(ctx context.Context, pool *sshexec.Pool, target sshexec.Target, command sshexec.Command) error {
	brief, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := pool.Run(brief, target, command)
	if err != nil && ctx.Err() == nil && errors.Is(brief.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%q has not ended after %s: %w", command.Line, patience, err)
	}
	return err
}

// forget drops the records of ended containers whose results are safe.
func (r *remote) forget(ctx context.Context) error {
	for _, id := range r.in.Forget {
		var exit *sshexec.ExitError
		if err := r.call(ctx, sshexec.Command{}, "forget", id); err != nil && !errors.As(err, &exit) {
			return err
		}
	}
	return nil
}

// runnerSpec is what `runner start` reads.
type runnerSpec struct {
	Command []string           `json:"command"`
	Env     map[string]string  `json:"env,omitempty"`
	Image   string             `json:"image,omitempty"`
	Engine  string             `json:"engine"`
	Memory  int64              `json:"memory"`
	VCPUs   float64            `json:"vcpus"`
	GPUs    int                `json:"gpus,omitempty"`
	Fleet   string             `json:"fleet"`
	Timeout fleetspec.Duration `json:"timeout,omitempty"`
}

// startError says that the instance could not start a container, and why.
type startError struct{ text string }

func (e *startError) Error() string { return e.text }

// callStart calls `runner start`.
func (r *remote) callStart(ctx context.Context, spec []byte) error {
	var text bytes.Buffer
	err := r.call(ctx, sshexec.Command{Stdin: bytes.NewReader(spec), Stderr: &text}, "start", r.in.Assignment.OnInstance())
	return notStarted(err, text.String())
}

// shellFailed is the first exit status that a shell gives to a program that it could not
// run, or that a signal has ended.
const shellFailed = 126

// notStarted makes a startError of the end of a call that has said why it could not
// start the container. Other errors it returns as they are: that of a runner which could
// not be run or was killed leaves open what has become of the container.
func notStarted(err error, said string) error {
	var exit *sshexec.ExitError
	if errors.As(err, &exit) && exit.Status > 0 && exit.Status < shellFailed {
		return &startError{cmp.Or(strings.TrimSpace(said), strings.TrimSpace(exit.Stderr), err.Error())}
	}
	return err
}

// resume opens the store for the container's output, from where an earlier call got to.
func (r *remote) resume(ctx context.Context) (*output.Writer, int64, error) {
	store, err := r.store(ctx, r.in.Output.Store)
	if err != nil {
		return nil, 0, err
	}
	return store.Resume(ctx, output.Stream{
		Fleet: r.in.Machine.Fleet, Container: r.in.Assignment.Container, Attempt: r.in.Assignment.Attempt, Instance: r.in.Machine.Name,
	})
}

// tail closes the store for the output, and returns the end of it if err is nil.
func (r *remote) tail(ctx context.Context, writer *output.Writer, err error) ([]byte, bool, error) {
	if closeErr := writer.Close(ctx); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, false, err
	}
	return writer.Tail(ctx, int(r.in.Output.Tail))
}

// follow stores the container's output as it is written, and returns its tail once it
// is whole.
func (r *remote) follow(ctx context.Context) (tail []byte, truncated bool, err error) {
	writer, offset, err := r.resume(ctx)
	if err != nil {
		return nil, false, err
	}
	args := []string{"logs", r.in.Assignment.OnInstance(), "--offset", fmt.Sprint(offset)}
	if !r.in.Unlisted {
		args = slices.Insert(args, 2, "--follow")
	}
	err = r.call(ctx, sshexec.Command{Stdout: writer}, args...)
	if exitedWith(err, runnerUnknownID) {
		err = nil // wait will say so
	}
	return r.tail(ctx, writer, err)
}

// ending is what `runner wait` prints.
type ending struct {
	ExitCode   int       `json:"exit_code"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`
	Error      string    `json:"error"`
	Revoked    bool      `json:"revoked"` // it has never begun
}

// errNoResult is the end of a container that the instance no longer lists, and of which
// it does not say how it ended.
var errNoResult = errors.New("the instance no longer lists it, and does not say how it ended")

// wait returns how the container has ended.
func (r *remote) wait(ctx context.Context) (ending, error) {
	var (
		out bytes.Buffer
		end ending
	)
	waiting := ctx
	if r.in.Unlisted {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, patience/2)
		defer cancel()
	}
	err := r.call(waiting, sshexec.Command{Stdout: &out}, "wait", r.in.Assignment.OnInstance())
	switch {
	case err != nil && waiting.Err() != nil && ctx.Err() == nil:
		return end, r.unlistedStill(ctx)
	case err != nil:
		return end, err
	}
	return endingOf(r.in.Assignment.Container, out.String())
}

// unlistedStill returns errNoResult, or another error if the instance does list the
// container, or does not say.
func (r *remote) unlistedStill(ctx context.Context) error {
	listing, err := r.list(ctx, r.in.Machine)
	if err != nil {
		return err
	}
	if slices.Contains(listing.Containers, r.in.Assignment.OnInstance()) {
		return errors.New("the instance lists it again")
	}
	return errNoResult
}
