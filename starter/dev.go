package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"drover/internal/dev"
	"drover/internal/usage"
)

func (a *app) devCommand() *cobra.Command {
	var o dev.Options
	c := &cobra.Command{
		Use:   "dev",
		Short: "Bring up everything on this machine, until Ctrl-C",
		Long: `Brings up everything on this machine: a Temporal server with its Web UI, a worker, and a
local fleet, whose instances are processes of this machine. Prints where everything is,
and then a line "ready".

Ctrl-C or SIGTERM takes it down; a second Ctrl-C doesn't wait. Without --state-dir the
instances go as well, and nothing is left. With --state-dir the server and the worker
stop, while instances and their containers run on as VMs would, and the next start with
the same directory finds them.

The server and the worker are restarted when they die: kill -9 one to see that nothing is
lost. --address uses a Temporal that runs already instead of a server of its own.`,
		Example: `  drover dev
  drover dev --state-dir ~/.local/state/drover --fleet-file fleet.yaml
  drover dev --temporal-port 0 --ui-port 0          # any free ports
  drover dev --address localhost:7233               # the Temporal that runs there`,
		Args: usage.Arguments(usage.NoArguments),
		RunE: func(c *cobra.Command, _ []string) error {
			o.Options, o.TaskQueue, o.Stdout, o.Stderr = a.Options, a.TaskQueue, c.OutOrStdout(), c.ErrOrStderr()
			return runDev(c.Context(), o)
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.StateDir, "state-dir", "", "keep everything in this directory (default: a temporary one, and nothing is left)")
	flags.IntVar(&o.TemporalPort, "temporal-port", 7233, "port of the Temporal server; 0: a free one")
	flags.IntVar(&o.UIPort, "ui-port", 8233, "port of the Web UI; 0: a free one")
	flags.StringVar(&o.FleetFile, "fleet-file", "", "a fleet's YAML, instead of the built-in fleet")
	flags.BoolVar(&o.NoWorker, "no-worker", false, "start no worker")
	return c
}

// runDev ends with the first signal in order, with the second by force.
func runDev(parent context.Context, o dev.Options) error {
	ctx, stop := context.WithCancel(parent)
	defer stop()
	force, kill := context.WithCancel(parent)
	defer kill()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	go func() {
		<-signals
		stop()
		<-signals
		kill()
	}()
	return dev.Run(ctx, force, o)
}
