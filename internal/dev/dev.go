// Package dev is `drover dev`: a Temporal server, a worker and a local fleet on this
// machine, kept running until they are told to stop.
package dev

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"go.temporal.io/sdk/client"

	"drover/internal/cli"
	"drover/internal/connect"
	"drover/internal/fleetspec"
)

// Options are the flags of `drover dev`.
type Options struct {
	connect.Options
	TaskQueue string
	// StateDir is kept. Empty: a temporary directory, and nothing is left at the end.
	StateDir             string
	TemporalPort, UIPort int // 0: a free one
	// FleetFile is a fleet's YAML. Empty: the built-in fleet.
	FleetFile string
	NoWorker  bool
	Stdout    io.Writer
	Stderr    io.Writer
}

// stage is everything that drover dev has brought up.
type stage struct {
	Options
	spec    fleetspec.Spec
	dir     *directory
	forks   *forks
	server  *child
	worker  *child
	address string
	ui      string
	session *cli.Session
	created bool // we have started the fleet: it was not there
}

// Run brings everything up, says so, and takes it down when ctx ends. When force
// ends, it no longer waits for anything.
func Run(ctx, force context.Context, o Options) (err error) {
	s := &stage{Options: o, forks: newForks()}
	if s.spec, err = s.readSpec(); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	sweep(ctx, s.Stderr)
	if s.dir, err = openDirectory(ctx, s.StateDir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.takeDown(force)) }()
	if err := s.checkPorts(); err != nil {
		return err
	}
	err = s.bringUp(ctx)
	if ctx.Err() != nil {
		return nil // asked to stop before everything was up
	}
	if err != nil {
		return err
	}
	s.announce()
	<-ctx.Done()
	return nil
}

// readSpec returns the fleet to apply, validated.
func (s *stage) readSpec() (fleetspec.Spec, error) {
	if s.FleetFile == "" {
		return fleetspec.Default(fleetspec.DefaultName), nil
	}
	data, err := os.ReadFile(s.FleetFile)
	if err != nil {
		return fleetspec.Spec{}, fmt.Errorf("--fleet-file: %w", err)
	}
	return fleetspec.Parse(s.FleetFile, data)
}

// check finds what would keep it from working, before anything is started.
func (s *stage) check() error {
	if err := s.checkPortNumbers(); err != nil {
		return err
	}
	if !s.NoWorker {
		if _, err := program("drover-worker"); err != nil {
			return err
		}
	}
	if s.Address != "" {
		return nil
	}
	_, err := program("drover-devserver")
	return err
}

// checkPortNumbers finds what is wrong with the flags of the server's ports.
func (s *stage) checkPortNumbers() error {
	for _, port := range []struct {
		flag   string
		number int
	}{{"--temporal-port", s.TemporalPort}, {"--ui-port", s.UIPort}} {
		if port.number < 0 || port.number > 65535 {
			return cli.Usagef("%s: %d is not allowed: 1 to 65535, or 0 for a free one", port.flag, port.number)
		}
	}
	if s.TemporalPort == s.UIPort && s.UIPort != 0 {
		return cli.Usagef("--temporal-port and --ui-port are both %d: choose two different ports", s.UIPort)
	}
	return nil
}

// checkPorts says, in one line, when the server could not listen. A drover dev that
// was killed has left them by now.
func (s *stage) checkPorts() error {
	if s.Address != "" {
		return nil
	}
	if err := checkPort("--temporal-port", s.TemporalPort, " (or --address to use the Temporal that runs there)"); err != nil {
		return err
	}
	return checkPort("--ui-port", s.UIPort, "")
}

// bringUp starts everything, in order.
func (s *stage) bringUp(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(s.dir.path, "log"), 0o700); err != nil {
		return err
	}
	if s.Address == "" {
		if err := s.startServer(ctx); err != nil {
			return err
		}
	}
	c, options, err := connect.Dial(ctx, connect.Options{
		Address: cmp.Or(s.address, s.Address), Namespace: s.Namespace, Profile: s.Profile, Logger: cli.Quiet(),
	})
	if err != nil {
		return err
	}
	s.address, s.Namespace = options.HostPort, options.Namespace
	s.session = &cli.Session{Client: c, Namespace: options.Namespace, TaskQueue: s.TaskQueue}
	if err := registerAttributes(ctx, c, options.Namespace); err != nil {
		return err
	}
	if !s.NoWorker {
		if err := s.startWorker(ctx); err != nil {
			return err
		}
	}
	return s.applyFleet(ctx)
}

// registerAttributes registers the search attributes, which a server that has just
// started may refuse for a moment.
func registerAttributes(ctx context.Context, c client.Client, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := connect.RegisterSearchAttributes(ctx, c, namespace)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-ticker.C:
		}
	}
}

// applyFleet creates the fleet, or changes it to what --fleet-file says.
func (s *stage) applyFleet(ctx context.Context) error {
	if s.FleetFile == "" {
		running, err := s.session.FleetRuns(ctx, s.spec.Name)
		if err != nil {
			return err
		}
		if running {
			return s.awaitFleet(ctx)
		}
	}
	var err error
	if s.created, err = s.session.Apply(ctx, s.spec); err != nil {
		return err
	}
	return s.awaitFleet(ctx)
}

// awaitFleet waits until a worker has prepared the fleet, or says why it can't.
func (s *stage) awaitFleet(ctx context.Context) error {
	if s.NoWorker {
		return nil
	}
	state, err := s.session.AwaitFleet(ctx, s.spec.Name, time.Minute)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		s.say("fleet %s: %v; the worker's log is %s", s.spec.Name, err, s.log("worker"))
	case state.Problem != "":
		s.say("fleet %s can't work: %s", s.spec.Name, state.Problem)
	}
	return nil
}

// say writes a notice to stderr.
func (s *stage) say(format string, values ...any) {
	fmt.Fprintf(s.Stderr, "drover: %s\n", cli.OneLine(fmt.Sprintf(format, values...)))
}

func (s *stage) log(name string) string { return filepath.Join(s.dir.path, "log", name+".log") }

// program finds one of drover's other programs: next to this one, else on PATH.
func program(name string) (string, error) {
	self, err := os.Executable()
	if err == nil {
		if beside := filepath.Join(filepath.Dir(self), name); isFile(beside) {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is neither next to drover nor on PATH: build it with `make build`", name)
	}
	return path, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
