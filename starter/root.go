package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/api"
	"drover/internal/cli"
	"drover/internal/usage"
)

// version is set when drover is built for a release.
var version = "dev"

// app is what all commands share: the global flags.
type app struct{ cli.Settings }

func rootCommand() *cobra.Command {
	a := &app{}
	root := group("drover", "Runs batch containers on cloud VMs that come and go", `Runs batch containers on cloud VMs that come and go.

A fleet is a set of instances (VMs) with one spec and one queue. drover run gives a
container to a fleet, which finds or creates the cheapest instance that fits, runs it,
and stops paying when nothing is left to do. Every fleet, instance and container is a
durable Temporal workflow: what happened to it is in the Web UI, and nothing that is
being paid for is forgotten.

Temporal is found as Temporal's own tools find it: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE,
TEMPORAL_API_KEY, TEMPORAL_TLS_*, and the CLI's configuration file and profiles.
"drover dev" brings up everything on this machine.`, `  drover dev                                   # in one terminal: everything
  drover run -- echo hello                     # in another: a container
  drover run --vcpus 8 --memory 32GiB -- ./align sample42
  drover ps                                    # what waits and runs, and why
  drover instance list                         # what is paid for`)
	root.Version = version
	root.SetVersionTemplate("drover {{.Version}}\n")
	root.SetFlagErrorFunc(usage.Flag)
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return a.check() }
	flags := root.PersistentFlags()
	flags.StringVar(&a.Address, "address", "", "Temporal's frontend, host:port (TEMPORAL_ADDRESS)")
	flags.StringVar(&a.Namespace, "namespace", "", "Temporal's namespace (TEMPORAL_NAMESPACE)")
	flags.StringVar(&a.Profile, "profile", "", "profile of the Temporal CLI's configuration file (TEMPORAL_PROFILE)")
	flags.StringVar(&a.TaskQueue, "task-queue", cmp.Or(os.Getenv("DROVER_TASK_QUEUE"), api.DefaultTaskQueue), "task queue of drover's workers (DROVER_TASK_QUEUE)")
	flags.StringVarP(&a.Format, "output", "o", cli.FormatTable, "how to show things: table or json")
	root.AddCommand(a.devCommand(), a.runCommand(), a.psCommand(), a.waitCommand(), a.logsCommand(), a.cancelCommand(),
		a.instanceCommand(), a.fleetCommand(), a.simulateCommand(), a.versionCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.RunE = help
		case "completion":
			c.Args, c.RunE = cobra.ArbitraryArgs, runGroup
		}
	}
	complete(root, "output", func(context.Context, *cli.Session) ([]string, error) { return nil, nil }, a)
	return root
}

// group returns a command that only has commands of its own.
func group(use, short, long, example string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, SilenceUsage: true, SilenceErrors: true,
		Args: cobra.ArbitraryArgs, SuggestionsMinimumDistance: 2, RunE: runGroup,
	}
}

// runGroup shows what commands a command has, unless one was meant.
func runGroup(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	hint := ""
	if like := c.SuggestionsFor(args[0]); len(like) > 0 {
		hint = "; did you mean " + strings.Join(like, " or ") + "?"
	}
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return cli.Usagef("%q is no command of %s%s; allowed: %s", args[0], c.CommandPath(), hint, strings.Join(names, ", "))
}

// help shows the help of a command.
func help(c *cobra.Command, args []string) error {
	found, rest, err := c.Root().Find(args)
	switch {
	case err != nil:
		return &cli.UsageError{Err: err}
	case len(rest) > 0 && found.HasSubCommands():
		return runGroup(found, rest)
	case len(rest) > 0:
		return cli.Usagef("help: %q has no commands of its own; allowed: %s help %s", found.CommandPath(), c.Root().Name(), found.Name())
	}
	return found.Help()
}

// check finds what is wrong with the global flags.
func (a *app) check() error {
	if a.TaskQueue == "" {
		return cli.Usagef("--task-queue: there is no name; allowed: that of the task queue of drover's workers, %s unless they were told otherwise", api.DefaultTaskQueue)
	}
	_, err := cli.NewPrinter(a.Format, io.Discard, io.Discard)
	return err
}

// with connects to Temporal for as long as do takes.
func (a *app) with(c *cobra.Command, do func(context.Context, *cli.Session) error) error {
	s, err := cli.Open(c.Context(), a.Settings, c.OutOrStdout(), c.ErrOrStderr())
	if err != nil {
		return err
	}
	defer s.Close()
	return do(c.Context(), s)
}

// interruptible ends the context with the first signal, and the process as usual with
// the second.
func interruptible(parent context.Context, do func(context.Context) error) error {
	ctx, stop := signal.NotifyContext(parent, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := do(ctx)
	if ctx.Err() != nil && parent.Err() == nil {
		return &cli.ExitError{Code: cli.ExitInterrupted}
	}
	return err
}

// completionTimeout is how long somebody who has pressed Tab waits.
const completionTimeout = time.Second

// names returns a completion of arguments with what find finds.
func (a *app) names(find func(context.Context, *cli.Session) ([]string, error)) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
		defer cancel()
		s, err := cli.Open(ctx, a.Settings, c.OutOrStdout(), c.ErrOrStderr())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		defer s.Close()
		found, err := find(ctx, s)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var fitting []string
		for _, name := range found {
			if strings.HasPrefix(name, prefix) {
				fitting = append(fitting, name)
			}
		}
		return fitting, cobra.ShellCompDirectiveNoFileComp
	}
}

// complete registers the completion of a flag's value.
func complete(c *cobra.Command, flag string, find func(context.Context, *cli.Session) ([]string, error), a *app) {
	completion := a.names(find)
	if flag == "output" {
		completion = cobra.FixedCompletions([]string{cli.FormatTable, cli.FormatJSON}, cobra.ShellCompDirectiveNoFileComp)
	}
	if err := c.RegisterFlagCompletionFunc(flag, completion); err != nil {
		panic(errors.Join(fmt.Errorf("flag --%s of %s", flag, c.Name()), err)) // it is not a flag: a mistake of ours
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which drover this is", Long: "Says which drover this is, and what it was built with.",
		Example: "  drover version -o json", Args: usage.Arguments(usage.NoArguments),
		RunE: func(c *cobra.Command, _ []string) error {
			printer, err := cli.NewPrinter(a.Format, c.OutOrStdout(), c.ErrOrStderr())
			if err != nil {
				return err
			}
			if printer.JSON {
				return printer.Encode(map[string]string{"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
			}
			printer.Linef("drover %s (%s, %s/%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}
