package whole

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"drover/internal/api"
	"drover/internal/cloud/local"
	"drover/internal/connect"
	"drover/internal/fleetspec"
	"drover/internal/realparts"
)

func TestMain(m *testing.M) {
	local.RunIfInstance()
	runIfCrowd()
	os.Exit(m.Run())
}

// program returns the path of a program of `make build`, which is in $DROVER_BIN.
func program(t testing.TB, name string) string {
	bin := os.Getenv("DROVER_BIN")
	if bin == "" {
		realparts.Missing(t, "needs the programs in $DROVER_BIN: run `make test`")
	}
	path := filepath.Join(bin, name)
	_, err := os.Stat(path)
	require.NoError(t, err, "run `make build`")
	return path
}

// system is a drover of its own: a Temporal server, workers, and what they keep.
type system struct {
	testing.TB
	dir     string // its state directory
	address string
	ui      string
	client  client.Client
	server  *process
	workers []*process
}

// newSystem starts a server and a worker, and applies a fleet.
func newSystem(t testing.TB, change func(*fleetspec.Spec)) *system {
	s := newServer(t)
	s.startWorker()
	s.apply(change)
	return s
}

// newServer starts a Temporal server, which ends with the test, as does all else.
func newServer(t testing.TB) *system {
	s := &system{TB: t, dir: t.TempDir()}
	t.Cleanup(s.cleanUp)
	s.startServer(0, 0)
	c, _, err := connect.Dial(t.Context(), connect.Options{Address: s.address, Logger: quiet{}})
	require.NoError(t, err)
	s.client = c
	t.Cleanup(c.Close)
	return s
}

func (s *system) startServer(port, uiPort int) {
	s.server = s.start("server", program(s, "drover-devserver"), "--exit-with-parent",
		"--port", fmt.Sprint(port), "--ui-port", fmt.Sprint(uiPort), "--db-file", filepath.Join(s.dir, "temporal.db"))
	var serves struct{ Address, UI string }
	require.NoError(s, json.Unmarshal([]byte(s.server.line(s)), &serves))
	s.address, s.ui = serves.Address, serves.UI
}

// restartServer starts the server again, where it was.
func (s *system) restartServer() {
	port := func(address string) (n int) {
		_, err := fmt.Sscan(address[strings.LastIndex(address, ":")+1:], &n)
		require.NoError(s, err)
		return n
	}
	s.startServer(port(s.address), port(s.ui))
}

// startWorker starts one more worker and waits until it works.
func (s *system) startWorker(flags ...string) *process {
	p := s.start(fmt.Sprintf("worker%d", len(s.workers)), program(s, "drover-worker"),
		append([]string{"--exit-with-parent", "--address", s.address, "--state-dir", s.dir}, flags...)...)
	require.Equal(s, "ready", p.line(s))
	s.workers = append(s.workers, p)
	return p
}

// apply creates the fleet, or changes it.
func (s *system) apply(change func(*fleetspec.Spec)) {
	spec := fleetspec.Default("default")
	spec.Timeouts.Idle = fleetspec.Duration(5 * time.Second)
	if change != nil {
		change(&spec)
	}
	_, err := s.client.ExecuteWorkflow(s.Context(), client.StartWorkflowOptions{
		ID: api.FleetWorkflowID(spec.Name), TaskQueue: api.DefaultTaskQueue, Priority: api.FleetPriority,
	}, api.FleetWorkflow, api.FleetInput{Spec: spec})
	require.NoError(s, err)
}

// drover runs the command and returns what it printed and its exit code.
func (s *system) drover(args ...string) (stdout, stderr string, code int) {
	return s.droverIn(nil, args...)
}

func (s *system) droverIn(env []string, args ...string) (stdout, stderr string, code int) {
	ctx, cancel := context.WithTimeout(s.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, program(s, "drover"), args...)
	c.Env = append(append(os.Environ(), "TEMPORAL_ADDRESS="+s.address, "DROVER_STATE_DIR="+s.dir), env...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.Fatalf("drover %v: %v", args, err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

// must runs the command, which must succeed, and returns what it printed.
func (s *system) must(args ...string) string {
	s.Helper()
	stdout, stderr, code := s.drover(args...)
	require.Zero(s, code, "drover %v: %s", args, stderr)
	return stdout
}

// submit starts a Container workflow.
func (s *system) submit(id string, spec map[string]any) client.WorkflowRun {
	run, err := s.client.ExecuteWorkflow(s.Context(), client.StartWorkflowOptions{
		ID: api.ContainerWorkflowID(id), TaskQueue: api.DefaultTaskQueue,
	}, api.ContainerWorkflow, spec)
	require.NoError(s, err)
	return run
}

// result waits for the result of a container.
func (s *system) result(run client.WorkflowRun) (result api.ContainerResult, err error) {
	ctx, cancel := context.WithTimeout(s.Context(), 2*time.Minute)
	defer cancel()
	err = run.Get(ctx, &result)
	return result, err
}

// fleet asks the fleet for its state.
func (s *system) fleet() api.FleetState {
	var state api.FleetState
	s.query(api.FleetWorkflowID("default"), &state)
	return state
}

func (s *system) query(workflowID string, into any) {
	answer, err := s.client.QueryWorkflow(s.Context(), workflowID, "", api.QueryState)
	require.NoError(s, err)
	require.NoError(s, answer.Get(into))
}

// eventually waits until a condition holds.
func (s *system) eventually(within time.Duration, condition func() bool, what string, args ...any) {
	s.Helper()
	require.Eventually(s, condition, within, 50*time.Millisecond, fmt.Sprintf(what, args...))
}

// cleanUp ends everything, and shows the logs of a test that failed.
func (s *system) cleanUp() {
	for _, w := range s.workers {
		w.stop(syscall.SIGTERM)
	}
	if err := local.DestroyAll(context.Background(), filepath.Join(s.dir, "instances")); err != nil {
		s.Errorf("destroy all instances: %v", err)
	}
	if s.server != nil {
		s.server.stop(syscall.SIGTERM)
	}
	if s.Failed() {
		for _, w := range s.workers {
			s.Logf("log of %s:\n%s", w.name, w.tail())
		}
	}
}

// process is a program that runs beside the test.
type process struct {
	name  string
	cmd   *exec.Cmd
	out   *bufio.Reader
	log   string
	ended chan struct{}
	once  sync.Once
}

func (s *system) start(name, path string, args ...string) *process {
	log, err := os.OpenFile(filepath.Join(s.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(s, err)
	defer log.Close()
	p := &process{name: name, cmd: exec.Command(path, args...), log: log.Name(), ended: make(chan struct{})}
	read, write, err := os.Pipe()
	require.NoError(s, err)
	p.cmd.Stdout, p.cmd.Stderr = write, log
	require.NoError(s, p.cmd.Start())
	write.Close()
	p.out = bufio.NewReader(read)
	go func() {
		_ = p.cmd.Wait() // how it ended shows in its log
		close(p.ended)
	}()
	return p
}

// line returns the next line that the process prints.
func (p *process) line(t testing.TB) string {
	line, err := p.out.ReadString('\n')
	require.NoError(t, err, "%s ended; its log:\n%s", p.name, p.tail())
	return strings.TrimSpace(line)
}

// stop ends the process and waits until it has ended.
func (p *process) stop(signal syscall.Signal) {
	p.once.Do(func() {
		_ = p.cmd.Process.Signal(signal) // it may have ended
		select {
		case <-p.ended:
		case <-time.After(20 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
	})
}

// tail returns the end of the process's log.
func (p *process) tail() string {
	f, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > 8000 {
		if _, err := f.Seek(-8000, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// listRequest asks for a page of workflow executions.
func listRequest(query string, token []byte) *workflowservice.ListWorkflowExecutionsRequest {
	return &workflowservice.ListWorkflowExecutionsRequest{Namespace: client.DefaultNamespace, Query: query, NextPageToken: token, PageSize: 1000}
}

// countRequest counts workflow executions.
func countRequest(query string) *workflowservice.CountWorkflowExecutionsRequest {
	return &workflowservice.CountWorkflowExecutionsRequest{Namespace: client.DefaultNamespace, Query: query}
}

// quiet is a logger that drops everything.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
