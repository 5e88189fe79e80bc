package main

import (
	"context"

	"github.com/spf13/cobra"

	"drover/internal/cli"
	"drover/internal/simulate"
	"drover/internal/usage"
)

func (a *app) simulateCommand() *cobra.Command {
	s := cli.Simulation{Options: simulate.DefaultOptions()}
	c := &cobra.Command{
		Use: "simulate -f FILE WORKLOAD.csv", Short: "Say what a fleet would do with a workload, and what it would cost",
		Long: `Plays a workload through a fleet that does not exist, with the scheduler that decides for
real ones, and says how long it takes, how long containers wait, what is paid, and what of
it for nothing. Needs no Temporal and no cloud, and takes seconds for a month of work.

The workload is CSV. Its first row names the columns: submit (seconds, a duration, or a
time) and run_time are required; id, vcpus, memory, scratch, gpus, priority, preemptible
and attempts have the defaults of drover run. How the cloud behaves is said by flags.

docs/sizing.md shows how to find the right size of a fleet.`,
		Example: `  drover simulate -f fleet.yaml night.csv
  drover simulate -f fleet.yaml night.csv --quota 20 --boot 45s-90s --chart night.svg
  drover simulate -f fleet.yaml night.csv --spot-interruptions 0.05 -o json | jq .money`,
		Args: usage.Arguments(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if s.File == "" {
				return cli.Usagef("simulate: there is no fleet; say which: drover simulate -f FILE WORKLOAD.csv")
			}
			printer, err := cli.NewPrinter(a.Format, c.OutOrStdout(), c.ErrOrStderr())
			if err != nil {
				return err
			}
			s.Workload, s.Stdin = args[0], c.InOrStdin()
			return interruptible(c.Context(), func(ctx context.Context) error { return s.Run(ctx, printer) })
		},
	}
	flags, o := c.Flags(), &s.Options
	flags.StringVarP(&s.File, "file", "f", "", "the fleet's YAML; - is stdin")
	flags.TextVar(&o.Boot, "boot", o.Boot, "how long an instance takes to boot; a range: 45s-90s")
	flags.DurationVar(&o.Create, "create", o.Create, "how long the cloud takes to accept an instance")
	flags.DurationVar(&o.Shutdown, "shutdown", o.Shutdown, "how long an instance that shuts down is paid for")
	flags.IntVar(&o.Quota, "quota", 0, "how many instances the cloud allows; 0: no limit")
	flags.StringToIntVar(&o.Capacity, "capacity", nil, "how many instances of a type the cloud has: TYPE=N; repeatable")
	flags.Float64Var(&o.CreateRate, "create-rate", 0, "how many create requests a minute the cloud accepts; 0: no limit")
	flags.Float64Var(&o.SpotInterruptions, "spot-interruptions", 0, "how often an hour the cloud takes a preemptible instance back, on average")
	flags.Uint64Var(&o.Seed, "seed", o.Seed, "chooses what is random: times to boot, interruptions")
	flags.DurationVar(&s.Every, "every", 0, "length of a row of the timeline (default: one that gives a screenful)")
	flags.StringVar(&s.Chart, "chart", "", "also draw it, as SVG, into this file")
	return c
}
