package main

import (
	"context"

	"github.com/spf13/cobra"

	"drover/internal/cli"
	"drover/internal/usage"
)

func (a *app) psCommand() *cobra.Command {
	var l cli.Listing
	c := &cobra.Command{
		Use: "ps [ID]", Short: "List containers, and why they are where they are",
		Long: `Lists the containers of all fleets that have not ended, in the order in which they are
scheduled, each with a sentence that says what it waits for. With -a also the last ones
that have ended, newest first.

An array is one line, which says how many of its elements are where; done are all that
have ended, and drover wait says with which exit codes. --expand shows the elements
instead, as -o json always does; with an ID only that container or the elements of that
array are shown, ended or not.`,
		Example: "  drover ps\n  drover ps -a --limit 1000\n  drover ps night\n  drover ps -o json | jq -r '.[] | select(.state == \"queued\") | .id'",
		Args:    usage.Arguments(cobra.MaximumNArgs(1)), ValidArgsFunction: a.containers(true),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkLimit(l.Limit); err != nil {
				return err
			}
			if len(args) > 0 {
				l.One, l.ID = true, args[0]
			}
			return a.with(c, func(ctx context.Context, s *cli.Session) error { return s.ListContainers(ctx, l) })
		},
	}
	c.Flags().BoolVarP(&l.All, "all", "a", false, "also those that have ended")
	c.Flags().BoolVar(&l.Expand, "expand", false, "show arrays as their elements")
	c.Flags().IntVar(&l.Limit, "limit", 100, "how many of those that have ended; 0: all")
	a.fleetFlag(c, &l.Fleet, "only the containers of this fleet")
	return c
}

// checkLimit says what is wrong with --limit, if anything.
func checkLimit(limit int) error {
	if limit < 0 {
		return cli.Usagef("--limit: %d is not allowed: a number, or 0 for no limit", limit)
	}
	return nil
}

// fleetFlag adds a flag that names a fleet.
func (a *app) fleetFlag(c *cobra.Command, name *string, what string) {
	c.Flags().StringVar(name, "fleet", *name, what)
	complete(c, "fleet", func(ctx context.Context, s *cli.Session) ([]string, error) { return s.CompleteFleets(ctx) }, a)
}

func (a *app) waitCommand() *cobra.Command {
	return &cobra.Command{
		Use: "wait ID", Short: "Wait for a container or an array to end, and exit with its exit code",
		Long: `Waits until a container has ended, says how (with -o json: its whole result), and exits
with its exit code. The exit status is 1, with a line on stderr, when there is no exit
code: the container does not exist, was refused, or the machines failed it too often.

An array has ended when all its elements have. The exit status is 0 when all exited with
0, and otherwise the highest exit code of any element, of which one without counts as 1;
a line on stderr says which have failed. NAME[0-9] waits for some of the elements.`,
		Example: "  drover wait c-7k3m9x2a\n  drover wait nightly -o json | jq .cost\n  drover wait 'night[0-9]' -o json | jq '.containers[] | select(.exit_code != 0)'",
		Args:    usage.Arguments(cobra.ExactArgs(1)), ValidArgsFunction: a.containers(true),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c, func(ctx context.Context, s *cli.Session) error {
				return interruptible(ctx, func(ctx context.Context) error { return s.Wait(ctx, args[0]) })
			})
		},
	}
}

func (a *app) logsCommand() *cobra.Command {
	var l cli.Logs
	c := &cobra.Command{
		Use: "logs ID", Short: "Show the output of a container, also after its instance is gone",
		Long: `Shows the output of a container, stdout and stderr as it wrote them, also when it has
ended and its instance is gone. -f shows what comes until the container ends. When the
machine has failed a container it has more than one attempt: the last is shown, or the
one that --attempt says. The ID of an array's element is NAME.INDEX.`,
		Example: "  drover logs c-7k3m9x2a\n  drover logs night.7\n  drover logs -f nightly\n  drover logs nightly --attempt 1",
		Args:    usage.Arguments(cobra.ExactArgs(1)), ValidArgsFunction: a.containers(false),
		RunE: func(c *cobra.Command, args []string) error {
			if l.Follow && a.Format == cli.FormatJSON {
				return cli.Usagef("logs: -f and -o json exclude each other: output that comes is shown as it is")
			}
			if l.Attempt < 0 || l.Attempt == 0 && c.Flags().Changed("attempt") {
				return cli.Usagef("--attempt: %d is not allowed: 1 or more", l.Attempt)
			}
			l.ID = args[0]
			return a.with(c, func(ctx context.Context, s *cli.Session) error {
				return interruptible(ctx, func(ctx context.Context) error { return s.Logs(ctx, l) })
			})
		},
	}
	c.Flags().BoolVarP(&l.Follow, "follow", "f", false, "show what comes, until the container ends")
	c.Flags().IntVar(&l.Attempt, "attempt", 0, "which attempt (default: the last)")
	return c
}

func (a *app) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use: "cancel ID…", Short: "Cancel containers and arrays",
		Long: `Cancels containers: one that waits ends at once, one that runs gets SIGTERM until it is
gone. drover wait says when that is. Of an array all elements are cancelled that have not
ended; NAME[0-9] are some of them.`,
		Example: "  drover cancel c-7k3m9x2a\n  drover cancel 'night[50-99]'\n  drover cancel nightly && drover wait nightly",
		Args:    usage.Arguments(cobra.MinimumNArgs(1)), ValidArgsFunction: a.containers(true),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c, func(ctx context.Context, s *cli.Session) error { return s.Cancel(ctx, args) })
		},
	}
}

// containers completes IDs of containers.
func (a *app) containers(running bool) cobra.CompletionFunc {
	return a.names(func(ctx context.Context, s *cli.Session) ([]string, error) { return s.CompleteContainers(ctx, running) })
}
