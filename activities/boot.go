package activities

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	workflowpb "go.temporal.io/api/workflow/v1"
	"golang.org/x/crypto/ssh"

	"drover/internal/api"
	"drover/internal/cloud"
	"drover/internal/fleetspec"
	"drover/internal/pause"
	"drover/internal/runner/embedded"
	"drover/internal/sshexec"
)

// access is how this worker logs in to the instances of fleets that share a key.
type access struct {
	key  *sshexec.Key
	pool *sshexec.Pool
}

// access returns the access with a key file of the fleet's spec; empty: a key of our
// own, made when it is first needed.
func (a *Activities) access(configured string) (*access, error) {
	file := a.keyFile(configured)
	a.mu.Lock()
	defer a.mu.Unlock()
	if k := a.keys[file]; k != nil {
		return k, nil
	}
	if _, err := os.Stat(file); err != nil && configured != "" {
		return nil, fmt.Errorf("ssh.key_file: %w", err)
	}
	key, err := sshexec.LoadOrCreateKey(file)
	if err != nil {
		return nil, err
	}
	k := &access{key: key, pool: sshexec.New(key.Signer(), sshexec.Options{})}
	a.keys[file] = k
	return k, nil
}

// target returns where to log in to a machine, and which host key it must have.
func (a *Activities) target(m api.Machine) (*sshexec.Pool, sshexec.Target, error) {
	access, err := a.access(m.SSH.KeyFile)
	if err != nil {
		return nil, sshexec.Target{}, err
	}
	_, host, err := access.key.HostKey(m.Name)
	if err != nil {
		return nil, sshexec.Target{}, err
	}
	return access.pool, sshexec.Target{Address: m.Address, User: m.SSH.User, HostKeys: []ssh.PublicKey{host}}, nil
}

// BootProbe returns once the instance answers SSH, proves that it is the right one,
// and the boot probe command exits 0. One attempt tries to connect for an interval.
func (a *Activities) BootProbe(ctx context.Context, in api.BootProbeInput) error {
	pool, target, err := a.target(in.Machine)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(in.Interval.D())
	for {
		err := a.runBriefly(ctx, pool, target, sshexec.Command{Line: in.Command})
		if err == nil {
			return nil
		}
		if err := a.checkAlive(ctx, in.Machine); err != nil {
			return err
		}
		var exit *sshexec.ExitError
		switch {
		case errors.As(err, &exit):
			return again(in.Interval.D(), fmt.Errorf("boot probe: %w", err))
		case sshexec.FailedAt(err, sshexec.StepAuth):
			return again(max(in.Interval.D(), 5*time.Second), err)
		case time.Now().After(deadline):
			return again(time.Millisecond, err)
		}
		if err := pause.For(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// CopyRunner puts the runner onto the instance, unless it is there, and returns its
// path.
func (a *Activities) CopyRunner(ctx context.Context, in api.CopyRunnerInput) (string, error) {
	directory := path.Join(in.Machine.Root, in.Runner.Directory)
	if in.Machine.Root != "" {
		directory = in.Machine.Root + in.Runner.Directory
	}
	if in.Runner.Source == "" {
		return path.Join(directory, "runner"), nil
	}
	pool, target, err := a.target(in.Machine)
	if err != nil {
		return "", err
	}
	arch, err := pool.Uname(ctx, target)
	if err != nil {
		return "", a.sshFailed(ctx, in.Machine, err)
	}
	program, err := runnerProgram(in.Runner, arch)
	switch {
	case err != nil && in.Runner.Source != "embedded":
		return "", again(5*time.Second, err) // another worker may have the file
	case err != nil:
		return "", final(api.ErrorInvalid, err)
	}
	sum := sha256.Sum256(program)
	file := path.Join(directory, "runner-"+hex.EncodeToString(sum[:]))
	_, err = pool.Install(ctx, target, sshexec.File{Path: file, Mode: 0o700, Content: program, SHA256: hex.EncodeToString(sum[:])})
	if err != nil {
		return "", a.sshFailed(ctx, in.Machine, err)
	}
	return file, nil
}

// runnerProgram returns the program that the spec asks for.
func runnerProgram(r fleetspec.Runner, arch string) ([]byte, error) {
	if r.Source == "embedded" {
		return embedded.Binary(arch)
	}
	program, err := os.ReadFile(r.Source)
	if err != nil {
		return nil, fmt.Errorf("runner.source: %w", err)
	}
	return program, nil
}

// checkRunner says what is wrong with the spec's runner on this worker, if anything.
func checkRunner(r fleetspec.Runner) error {
	if r.Source == "" {
		return nil
	}
	_, err := runnerProgram(r, "amd64")
	return err
}

// sshFailed makes of a failure over SSH one that is retried, or that says that the
// instance is gone.
func (a *Activities) sshFailed(ctx context.Context, m api.Machine, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if gone := a.checkAlive(ctx, m); gone != nil {
		return gone
	}
	var delay time.Duration // that of the step
	if sshexec.FailedAt(err, sshexec.StepAuth) {
		delay = 5 * time.Second
	}
	return again(delay, err)
}

// bootActivities are the steps of a boot.
var bootActivities = []string{
	api.CreateInstanceActivity, api.AwaitAddressActivity, api.BootProbeActivity, api.CopyRunnerActivity, api.RunProbeActivity,
}

// ExplainBoot says what a person needs to know about a boot that failed: how often
// the step was tried, its last error, and what the console says.
func (a *Activities) ExplainBoot(ctx context.Context, in api.ExplainInput) (string, error) {
	described, err := a.client.DescribeWorkflowExecution(ctx, in.WorkflowID, in.RunID)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	text.WriteString(lastErrors(described.GetPendingActivities()))
	driver, err := a.driverOf(ctx, in.Machine)
	if err != nil {
		return "", err
	}
	if consoler, ok := driver.(cloud.Consoler); ok {
		console, err := consoler.ConsoleOutput(ctx, in.Machine.Name)
		switch {
		case err != nil:
			fmt.Fprintf(&text, "; no console output: %v", err)
		case strings.TrimSpace(console) != "":
			fmt.Fprintf(&text, "; console output: %s", lastLines(console, 20))
		}
	}
	return cmp.Or(text.String(), "no attempt has failed: it did not answer in time"), nil
}

// lastErrors says how often the steps of a boot that are under way were tried, and their last
// errors; of several, which is which.
func lastErrors(pending []*workflowpb.PendingActivityInfo) string {
	var names, errs []string
	for _, p := range pending {
		if name := p.GetActivityType().GetName(); slices.Contains(bootActivities, name) && p.GetLastFailure() != nil {
			names = append(names, name)
			errs = append(errs, fmt.Sprintf("tried %d times; last error: %s", p.GetAttempt(), p.GetLastFailure().GetMessage()))
		}
	}
	for k := range errs {
		if len(errs) > 1 {
			errs[k] = names[k] + " " + errs[k]
		}
	}
	return strings.Join(errs, "; ")
}

// lastLines returns the last n lines of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
