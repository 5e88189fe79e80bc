package activities

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"

	"drover/internal/api"
	"drover/internal/fleetspec"
	"drover/internal/output"
	"drover/internal/sshexec"
)

// RunContainer starts a container, unless an earlier call has, and stays with it
// until it has ended and its output is stored. When it is cancelled, or its worker
// stops, it detaches: the container runs on.
func (a *Activities) RunContainer(ctx context.Context, in api.RunContainerInput) (api.RunContainerResult, error) {
	var doing atomic.Pointer[string]
	say := func(s string) { doing.Store(&s) }
	say("starting")
	ctx, stop := long(ctx, func() any { return *doing.Load() })
	defer stop()
	r, err := a.newRemote(in)
	if err != nil {
		return api.RunContainerResult{}, err
	}
	result, err := r.runWhileWanted(ctx, say)
	if interruption := interrupted(ctx); interruption != nil {
		return api.RunContainerResult{}, interruption
	}
	if err != nil {
		return result, again(time.Second, err)
	}
	return result, nil
}

// remote is a container on an instance.
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

// wantedInterval is how often it is looked whether anybody still waits for a container.
const wantedInterval = 30 * time.Second

// runWhileWanted runs the container, and kills it when its workflow has closed without
// it: somebody terminated it.
func (r *remote) runWhileWanted(ctx context.Context, say func(string)) (api.RunContainerResult, error) {
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workflowID atomic.Pointer[string]
	usual := api.WorkflowOf(r.in.Assignment.Container, r.in.Assignment.WorkflowID)
	workflowID.Store(&usual)
	go func() {
		for pause(running, wantedInterval) == nil {
			if runs, err := r.runs(running, *workflowID.Load()); err == nil && !runs {
				cancel(errUnwanted)
			}
		}
	}()
	result, err := r.run(running, say, func(found string) { workflowID.Store(&found) })
	if err != nil && errors.Is(context.Cause(running), errUnwanted) {
		return r.killUnwanted(ctx)
	}
	return result, err
}

var errUnwanted = errors.New("its workflow has closed")

// killUnwanted ends a container that nobody waits for.
func (r *remote) killUnwanted(ctx context.Context) (api.RunContainerResult, error) {
	for r.call(ctx, sshexec.Command{}, "kill", r.in.Assignment.OnInstance()) != nil {
		if err := pause(ctx, 5*time.Second); err != nil {
			return api.RunContainerResult{}, err
		}
	}
	return api.RunContainerResult{How: api.Unwanted, Detail: "no workflow waits for it: killed"}, nil
}

// run starts the container, follows its output and waits for its end. An error means
// that the outcome is not known yet.
func (r *remote) run(ctx context.Context, say, adopted func(string)) (api.RunContainerResult, error) {
	if err := r.forget(ctx); err != nil {
		return api.RunContainerResult{}, err
	}
	begin := r.start
	if r.in.Assignment.Adopted {
		begin = r.adopt
	}
	begun, err := begin(ctx)
	if err != nil || begun.How != "" {
		return begun, err
	}
	if begun.WorkflowID != "" {
		adopted(begun.WorkflowID)
	}
	say("running")
	tail, truncated, err := r.follow(ctx)
	if err != nil {
		return api.RunContainerResult{}, err
	}
	end, err := r.wait(ctx)
	var unknown *sshexec.ExitError
	if errors.As(err, &unknown) && unknown.Status == runnerUnknownID {
		return api.RunContainerResult{How: api.Lost, Detail: "the instance has lost its record"}, nil
	}
	if err != nil {
		return api.RunContainerResult{}, err
	}
	if end.ExitCode < 0 { // the runner does not know one: the machine failed it
		return api.RunContainerResult{How: api.Lost, Detail: end.Error}, nil
	}
	return api.RunContainerResult{
		How: api.Exited, WorkflowID: begun.WorkflowID, Detail: end.Error, ExitCode: end.ExitCode, StartedAt: end.StartedAt, FinishedAt: end.FinishedAt,
		Output: strings.ToValidUTF8(string(tail), "\uFFFD"), OutputTruncated: truncated,
	}, nil
}

// runnerUnknownID is the runner's exit status for an ID that it has no record of.
const runnerUnknownID = 4

// call runs the runner on the instance.
func (r *remote) call(ctx context.Context, command sshexec.Command, args ...string) error {
	line := sshexec.Quote(r.in.Machine.Runner)
	for _, arg := range args {
		line += " " + sshexec.Quote(arg)
	}
	command.Line = line
	return r.pool.Run(ctx, r.target, command)
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

// start has the runner start the container. The result has a How when it is not
// running then.
func (r *remote) start(ctx context.Context) (api.RunContainerResult, error) {
	spec, wanted, err := r.containerSpec(ctx, r.in.Assignment)
	if err != nil {
		return api.RunContainerResult{}, fmt.Errorf("read the spec of container %s: %w", r.in.Assignment.Container, err)
	}
	if !wanted {
		return api.RunContainerResult{How: api.Unwanted, Detail: "its workflow has closed"}, nil
	}
	input, err := json.Marshal(runnerSpec{
		Command: spec.Command, Env: spec.Env, Image: spec.Image, Engine: r.in.Engine,
		Memory: int64(spec.Memory), VCPUs: spec.VCPUs, GPUs: spec.GPUs, Fleet: r.in.Machine.Fleet, Timeout: spec.Timeout,
	})
	if err != nil {
		return api.RunContainerResult{}, err
	}
	var stderr bytes.Buffer
	err = r.call(ctx, sshexec.Command{Stdin: bytes.NewReader(input), Stderr: &stderr}, "start", r.in.Assignment.OnInstance())
	var exit *sshexec.ExitError
	if errors.As(err, &exit) {
		detail := cmp.Or(strings.TrimSpace(stderr.String()), strings.TrimSpace(exit.Stderr), err.Error())
		return api.RunContainerResult{How: api.StartFailed, Detail: detail}, nil
	}
	return api.RunContainerResult{}, err
}

// adopt finds the workflow of a container that was found on the instance. If nobody
// wants it, it is killed.
func (r *remote) adopt(ctx context.Context) (api.RunContainerResult, error) {
	id := r.in.Assignment.Container
	for _, workflowID := range []string{"", id} {
		runs, err := r.runs(ctx, api.WorkflowOf(id, workflowID))
		if err != nil || runs {
			return api.RunContainerResult{WorkflowID: workflowID}, err
		}
	}
	known, err := r.AskStatus(ctx, api.AskInput{Fleet: r.in.Machine.Fleet, Container: id})
	if err != nil || known.State != "" {
		return api.RunContainerResult{WorkflowID: known.WorkflowID}, err
	}
	return r.killUnwanted(ctx)
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

// follow stores the container's output as it is written, from where an earlier call
// got to, and returns its tail once it is whole.
func (r *remote) follow(ctx context.Context) (tail []byte, truncated bool, err error) {
	store, err := r.store(ctx, r.in.Output.Store)
	if err != nil {
		return nil, false, err
	}
	stream := output.Stream{Fleet: r.in.Machine.Fleet, Container: r.in.Assignment.Container, Attempt: r.in.Assignment.Attempt}
	writer, offset, err := store.Resume(ctx, stream)
	if err != nil {
		return nil, false, err
	}
	err = r.call(ctx, sshexec.Command{Stdout: writer}, "logs", r.in.Assignment.OnInstance(), "--follow", "--offset", fmt.Sprint(offset))
	var exit *sshexec.ExitError
	if errors.As(err, &exit) && exit.Status == runnerUnknownID {
		err = nil // wait will say so
	}
	if closeErr := writer.Close(ctx); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, false, err
	}
	return writer.Tail(ctx, int(r.in.Output.Tail))
}

// ending is what `runner wait` prints.
type ending struct {
	ExitCode   int       `json:"exit_code"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`
	Error      string    `json:"error"`
}

// wait returns how the container has ended.
func (r *remote) wait(ctx context.Context) (ending, error) {
	var (
		out bytes.Buffer
		end ending
	)
	if err := r.call(ctx, sshexec.Command{Stdout: &out}, "wait", r.in.Assignment.OnInstance()); err != nil {
		return end, err
	}
	if err := json.Unmarshal(out.Bytes(), &end); err != nil {
		return end, fmt.Errorf("runner wait %s printed %q: %w", r.in.Assignment.Container, out.String(), err)
	}
	return end, nil
}

// KillContainer sends SIGTERM to a container at an interval until it no longer runs,
// and returns true, or until the timeout has passed, and returns false.
func (a *Activities) KillContainer(ctx context.Context, in api.KillInput) (bool, error) {
	deadline := time.Now().Add(in.Timeout.D())
	if activity.HasHeartbeatDetails(ctx) { // an earlier worker's
		if err := activity.GetHeartbeatDetails(ctx, &deadline); err != nil {
			return false, err
		}
	}
	ctx, stop := long(ctx, func() any { return deadline })
	defer stop()
	r, err := a.newRemote(api.RunContainerInput{Machine: in.Machine})
	if err != nil {
		return false, err
	}
	for {
		err := r.call(ctx, sshexec.Command{}, "kill", in.Assignment.OnInstance())
		if err == nil {
			return true, nil
		}
		if interruption := interrupted(ctx); interruption != nil {
			return false, interruption
		}
		if time.Now().After(deadline) {
			return false, nil
		}
		if pause(ctx, in.Interval.D()) != nil {
			return false, interrupted(ctx)
		}
	}
}
