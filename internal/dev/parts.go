package dev

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"drover/internal/cloud/local"
)

// Temporal's defaults, without which a client must be told where it is.
const defaultAddress = "127.0.0.1:7233"

// startServer starts the Temporal server. A restart has the ports of the first start.
func (s *stage) startServer(ctx context.Context) error {
	path, err := program("drover-devserver")
	if err != nil {
		return err
	}
	s.isolate()
	namespace := cmp.Or(s.Namespace, "default")
	port, uiPort, known := s.TemporalPort, s.UIPort, false
	s.server = &child{
		name: "Temporal server", path: path, logFile: s.log("server"), env: os.Environ(),
		files: []*os.File{s.dir.lock}, forks: s.forks, say: s.say, grace: 10 * time.Second,
		args: func() []string {
			return []string{
				"--port", strconv.Itoa(port), "--ui-port", strconv.Itoa(uiPort), "--namespace", namespace,
				"--db-file", filepath.Join(s.dir.path, "temporal.db"), fmt.Sprintf("--exit-with-parent=%d", os.Getpid()),
			}
		},
		ready: func(line string) error {
			var serves struct{ Address, UI string }
			if err := json.Unmarshal([]byte(line), &serves); err != nil {
				return fmt.Errorf("printed %q instead of where it is: %w", line, err)
			}
			if known { // a restart, which serves where the first start did
				return nil
			}
			s.address, s.ui, known = serves.Address, serves.UI, true
			port, uiPort = portOf(serves.Address, port), portOf(strings.TrimPrefix(serves.UI, "http://"), uiPort)
			return nil
		},
	}
	s.Namespace = namespace
	return s.server.start(ctx)
}

// isolate keeps what the environment and the user's files say about other Temporals
// from our own server, its client and its worker.
func (s *stage) isolate() {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "TEMPORAL_") {
			s.setenv(name, "")
		}
	}
	s.setenv("TEMPORAL_CONFIG_FILE", os.DevNull)
	s.Profile = ""
}

// setenv sets a variable, or unsets it when the value is empty.
func (s *stage) setenv(name, value string) {
	var err error
	if value == "" {
		err = os.Unsetenv(name)
	} else {
		err = os.Setenv(name, value)
	}
	if err != nil {
		s.say("environment variable %s: %v", name, err)
	}
}

func portOf(address string, otherwise int) int {
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return otherwise
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return otherwise
	}
	return port
}

// startWorker starts the worker.
func (s *stage) startWorker(ctx context.Context) error {
	path, err := program("drover-worker")
	if err != nil {
		return err
	}
	s.worker = &child{
		name: "worker", path: path, logFile: s.log("worker"), env: os.Environ(),
		files: []*os.File{s.dir.lock}, forks: s.forks, say: s.say, grace: 15 * time.Second,
		args: func() []string { return append(s.workerArgs(), "--exit-with-parent") },
		ready: func(line string) error {
			if line != "ready" {
				return fmt.Errorf("printed %q instead of ready", line)
			}
			return nil
		},
	}
	return s.worker.start(ctx)
}

func (s *stage) workerArgs() []string {
	args := []string{"--address", s.address, "--namespace", s.Namespace, "--task-queue", s.TaskQueue, "--state-dir", s.dir.path}
	if s.Profile != "" {
		args = append(args, "--profile", s.Profile)
	}
	return args
}

// checkPort says when a port is in use.
func checkPort(flag string, port int, hint string) error {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: %s is in use already: stop what listens there, or choose another port with %s%s", flag, address, flag, hint)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return l.Close()
}

// announce says where everything is, and then that it is ready.
func (s *stage) announce() {
	line := func(name, value string) { fmt.Fprintf(s.Stdout, "%-10s %s\n", name, value) }
	line("Temporal:", s.address)
	if s.ui != "" {
		line("Web UI:", s.ui)
	}
	kept := "kept: instances and containers run on when this ends"
	if s.dir.temporary {
		kept = "goes with everything in it when this ends"
	}
	line("State:", fmt.Sprintf("%s (%s)", s.dir.path, kept))
	line("Logs:", filepath.Join(s.dir.path, "log"))
	if s.NoWorker {
		line("Worker:", "none; start one with: drover-worker "+strings.Join(s.workerArgs(), " "))
	}
	prefix := ""
	if s.address != defaultAddress {
		prefix = "TEMPORAL_ADDRESS=" + s.address + " "
	}
	fleet := ""
	if s.spec.Name != "default" {
		fleet = "--fleet " + s.spec.Name + " "
	}
	line("Try:", prefix+"drover run "+fleet+"-- echo hello")
	line("", prefix+"drover instance list")
	line("Stop:", "Ctrl-C")
	fmt.Fprintln(s.Stdout, "ready")
}

// takeDown stops everything, in the order that loses nothing: the worker, then, with
// a temporary directory, the instances, then the server.
func (s *stage) takeDown(force context.Context) error {
	release := context.AfterFunc(force, func() {
		for _, c := range []*child{s.worker, s.server} {
			if c != nil {
				c.kill()
			}
		}
	})
	defer release()
	if s.dir.temporary && s.worker != nil {
		s.say("stopping: worker, instances, server")
	}
	var errs []error
	if s.worker != nil {
		errs = append(errs, s.worker.stop())
	}
	if s.dir.temporary {
		errs = append(errs, s.destroy(force))
	}
	if s.session != nil {
		s.session.Close()
	}
	if s.server != nil {
		errs = append(errs, s.server.stop())
	}
	if force.Err() != nil {
		return fmt.Errorf("ended by force: what is left of %s is removed when drover dev is next started", s.dir.path)
	}
	return errors.Join(append(errs, s.dir.close())...)
}

// destroy destroys the instances, and ends the workflows that would wait for them on
// a server that is not ours.
func (s *stage) destroy(ctx context.Context) error {
	var errs []error
	if s.Address != "" && s.created && s.session != nil {
		errs = append(errs, s.session.TerminateFleet(ctx, s.spec.Name, "drover dev has ended"))
	}
	errs = append(errs, local.DestroyAll(ctx, s.dir.instances()))
	if s.spec.Local == nil || s.spec.Local.Directory == "" {
		return errors.Join(errs...)
	}
	driver, err := local.New(local.Config{Fleet: s.spec.Name, Directory: s.spec.Local.Directory})
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	instances, err := driver.List(ctx)
	errs = append(errs, err)
	for _, i := range instances {
		errs = append(errs, driver.Destroy(ctx, i.Name))
	}
	return errors.Join(errs...)
}
