package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"

	"drover/activities"
	"drover/internal/api"
	"drover/internal/connect"
	"drover/internal/usage"
	"drover/workflows"
)

// settings are the worker's flags.
type settings struct {
	connect.Options
	taskQueue      string
	stateDir       string
	metrics        string
	logLevel       string
	grace          time.Duration
	exitWithParent bool
	deployment     string
	build          string
}

func command() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "drover-worker",
		Short: "Carries out drover's workflows and activities",
		Long: `Carries out drover's workflows and activities for all fleets of a Temporal namespace.

Temporal is found as Temporal's own tools find it: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE,
TEMPORAL_API_KEY, TEMPORAL_TLS_* and the CLI's configuration file.

Any number of workers may run, and any of them may die at any time: containers run on,
and another worker takes over. On SIGTERM a worker hands over within about a second.`,
		Args: usage.Arguments(usage.NoArguments), SilenceUsage: true, SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error { return s.run(c.Context()) },
	}
	c.SetFlagErrorFunc(usage.Flag)
	flags := c.Flags()
	flags.StringVar(&s.Address, "address", "", "Temporal's frontend, host:port (TEMPORAL_ADDRESS)")
	flags.StringVar(&s.Namespace, "namespace", "", "Temporal's namespace (TEMPORAL_NAMESPACE)")
	flags.StringVar(&s.Profile, "profile", "", "profile of the Temporal CLI's configuration file (TEMPORAL_PROFILE)")
	flags.StringVar(&s.taskQueue, "task-queue", cmp.Or(os.Getenv("DROVER_TASK_QUEUE"), api.DefaultTaskQueue), "task queue (DROVER_TASK_QUEUE)")
	flags.StringVar(&s.stateDir, "state-dir", "", "where a generated SSH key, local instances and output without a store are kept (DROVER_STATE_DIR; default ~/.local/state/drover)")
	flags.StringVar(&s.metrics, "metrics", os.Getenv("DROVER_METRICS"), "serve Prometheus metrics on this host:port (DROVER_METRICS; default: none)")
	flags.StringVar(&s.logLevel, "log-level", cmp.Or(os.Getenv("DROVER_LOG_LEVEL"), "info"), "debug, info, warn or error (DROVER_LOG_LEVEL)")
	flags.DurationVar(&s.grace, "grace", 5*time.Second, "how long a stopping worker waits for activities to hand over")
	flags.StringVar(&s.deployment, "deployment", os.Getenv("TEMPORAL_DEPLOYMENT_NAME"), "deployment, for Worker Versioning (TEMPORAL_DEPLOYMENT_NAME; default: not versioned)")
	flags.StringVar(&s.build, "build-id", os.Getenv("TEMPORAL_WORKER_BUILD_ID"), "build ID, for Worker Versioning (TEMPORAL_WORKER_BUILD_ID)")
	flags.BoolVar(&s.exitWithParent, "exit-with-parent", false, "stop when the parent process ends")
	return c
}

// run works until the context ends.
func (s settings) run(ctx context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	logger, err := newLogger(s.logLevel)
	if err != nil {
		return err
	}
	defer func() { _ = logger.Sync() }() // stderr can't be synced everywhere, and nothing is lost
	if s.exitWithParent {
		var cancel context.CancelFunc
		ctx, cancel = exitWithParent(ctx)
		defer cancel()
	}
	stateDir, err := openStateDir(s.stateDir)
	if err != nil {
		return err
	}
	metrics, err := serveMetrics(s.metrics)
	if err != nil {
		return err
	}
	s.Logger = log.NewStructuredLogger(slog.New(zapslog.NewHandler(logger.Core(), zapslog.WithCaller(true))))
	s.Metrics = metrics
	c, connection, err := connect.Dial(ctx, s.Options)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := connect.RegisterSearchAttributes(ctx, c, connection.Namespace); errors.As(err, new(*connect.NamespaceError)) {
		return err
	} else if err != nil {
		logger.Error("workflows may be blocked", zap.Error(err))
	}
	acts := activities.New(c, stateDir)
	fatal := make(chan error, 1)
	options := s.workerOptions()
	options.OnFatalError = func(err error) { fatal <- fmt.Errorf("the worker can't go on: %w", err) }
	w := worker.New(c, s.taskQueue, options)
	register(w, acts)
	if err := w.Start(); err != nil {
		return fmt.Errorf("start working on task queue %s: %w", s.taskQueue, err)
	}
	logger.Info("working", zap.String("address", connection.HostPort), zap.String("namespace", connection.Namespace),
		zap.String("task_queue", s.taskQueue), zap.String("state_dir", stateDir))
	fmt.Println("ready")
	select {
	case <-ctx.Done():
		logger.Info("stopping")
		w.Stop()
	case err = <-fatal: // the SDK has stopped it
	}
	return errors.Join(err, acts.Close())
}

// check finds what is wrong with the flags, before anything is started.
func (s settings) check() error {
	switch {
	case (s.deployment == "") != (s.build == ""):
		return usage.Errorf("--deployment and --build-id go together: set both, or none")
	case s.taskQueue == "":
		return usage.Errorf("--task-queue: there is no name; allowed: any, such as %s", api.DefaultTaskQueue)
	case s.grace < 0:
		return usage.Errorf("--grace: %v is not allowed: a duration such as 5s, or 0", s.grace)
	}
	return nil
}

// openStateDir returns the state directory, which exists then.
func openStateDir(given string) (string, error) {
	dir, err := connect.StateDir(given)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("--state-dir: %w; allowed: a directory that can be written to", err)
	}
	return dir, nil
}

// register registers everything that drover's workers do.
func register(w worker.Worker, acts *activities.Activities) {
	workflows.Register(w)
	acts.Register(w)
}

// workerOptions are sized for thousands of long activities that mostly wait.
func (s settings) workerOptions() worker.Options {
	options := worker.Options{
		MaxConcurrentActivityExecutionSize:      20000,
		MaxConcurrentLocalActivityExecutionSize: 2000,
		MaxConcurrentActivityTaskPollers:        8,
		MaxConcurrentWorkflowTaskPollers:        8,
		// Each may send signals: a server that is asked for more at once than it can do keeps
		// all of them waiting, until they time out and are sent again.
		MaxConcurrentWorkflowTaskExecutionSize: 100,
		// The largest fleets pack and unpack megabytes, on a busy machine for longer than the
		// second after which the SDK takes a workflow for stuck.
		DeadlockDetectionTimeout:     8 * time.Second,
		MaxHeartbeatThrottleInterval: activities.MaxHeartbeatThrottleInterval,
		WorkerStopTimeout:            s.grace,
	}
	if s.deployment != "" {
		options.DeploymentOptions = worker.DeploymentOptions{
			UseVersioning: true,
			Version:       worker.WorkerDeploymentVersion{DeploymentName: s.deployment, BuildID: s.build},
		}
	}
	return options
}

// newLogger returns the worker's logger: JSON lines on stderr.
func newLogger(level string) (*zap.Logger, error) {
	parsed, err := zap.ParseAtomicLevel(level)
	if err != nil {
		return nil, usage.Errorf("--log-level: %q is not allowed: debug, info, warn or error", level)
	}
	config := zap.NewProductionConfig()
	config.Level, config.DisableStacktrace = parsed, true // errors say what they are about
	config.EncoderConfig.EncodeTime = timeEncoder
	return config.Build()
}
