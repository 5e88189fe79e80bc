package main

import (
	"context"

	"github.com/spf13/cobra"

	"drover/internal/api"
	"drover/internal/cli"
	"drover/internal/usage"
)

func (a *app) instanceCommand() *cobra.Command {
	c := group("instance", "List, show and steer instances", `Lists, shows and steers instances: the VMs that are paid for.

An instance is named by its name, by FLEET/NAME, or by its cloud ID.`, `  drover instance list
  drover instance show small-3
  drover instance hold small-3 --reason 'looking at a core dump'
  drover instance destroy small-3`)
	c.Aliases = []string{"instances"}
	c.AddCommand(a.instanceListCommand(), a.instanceShowCommand(),
		a.behaviorCommand(api.Hold, "Keep an instance, and place nothing new on it",
			`Keeps an instance whatever happens, and places nothing new on it: to debug it, for example.
What runs on it runs on. Only destroy, another idle behavior, or the cloud ends that.`),
		a.behaviorCommand(api.Drain, "Let an instance go when nothing runs on it any more",
			`Places nothing new on an instance, and lets it go as soon as nothing runs on it. One that
still boots goes at once. Going back with run works until it shuts down.`),
		a.behaviorCommand(api.Run, "Put an instance to work again",
			`Puts an instance to work again after hold or drain: it takes containers, and goes when it
was idle for its fleet's idle timeout.`),
		a.destroyCommand())
	return c
}

func (a *app) instanceListCommand() *cobra.Command {
	var l cli.InstanceListing
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List instances",
		Long: `Lists the instances of all fleets; with -a also the last ones that are gone, newest first.
One whose workflow does not answer is shown in state "?", and a line on stderr says why.`,
		Example: "  drover instance list\n  drover instance list -a --fleet gpu\n  drover instance list -o json | jq '[.[].price] | add'",
		Args:    usage.Arguments(usage.NoArguments),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkLimit(l.Limit); err != nil {
				return err
			}
			return a.with(c, func(ctx context.Context, s *cli.Session) error { return s.ListInstances(ctx, l) })
		},
	}
	c.Flags().BoolVarP(&l.All, "all", "a", false, "also those that are gone")
	c.Flags().IntVar(&l.Limit, "limit", 100, "how many of those that are gone; 0: all")
	a.fleetFlag(c, &l.Fleet, "only the instances of this fleet")
	return c
}

func (a *app) instanceShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show everything about an instance, also why it is stuck",
		Long: `Shows everything about an instance: its state and why it is in it, who set its idle
behavior, what runs on it, what it has cost, what went wrong; and what its workflow is busy
with now, how often that was tried, and how it failed last.`,
		Example: "  drover instance show small-3\n  drover instance show default/small-3 -o json | jq .doing",
		Args:    usage.Arguments(cobra.ExactArgs(1)), ValidArgsFunction: a.instances(),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c, func(ctx context.Context, s *cli.Session) error { return s.ShowInstance(ctx, args[0]) })
		},
	}
}

func (a *app) behaviorCommand(behavior api.Behavior, short, long string) *cobra.Command {
	var why string
	c := &cobra.Command{
		Use: string(behavior) + " NAME", Short: short, Long: long,
		Example: "  drover instance " + string(behavior) + " small-3 --reason 'kernel update'",
		Args:    usage.Arguments(cobra.ExactArgs(1)), ValidArgsFunction: a.instances(),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c, func(ctx context.Context, s *cli.Session) error { return s.SetBehavior(ctx, args[0], behavior, why) })
		},
	}
	c.Flags().StringVar(&why, "reason", "", "why, for those who look at it")
	return c
}

func (a *app) destroyCommand() *cobra.Command {
	var why string
	c := &cobra.Command{
		Use: "destroy NAME", Short: "Destroy an instance now, whatever runs on it",
		Long: `Destroys an instance now, also one on hold. Containers that run on it are tried again
elsewhere, as far as they have attempts left.`,
		Example: "  drover instance destroy small-3 --reason 'on fire'",
		Args:    usage.Arguments(cobra.ExactArgs(1)), ValidArgsFunction: a.instances(),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c, func(ctx context.Context, s *cli.Session) error { return s.Destroy(ctx, args[0], why) })
		},
	}
	c.Flags().StringVar(&why, "reason", "", "why, for those who look at it")
	return c
}

// instances completes names of instances.
func (a *app) instances() cobra.CompletionFunc {
	return a.names(func(ctx context.Context, s *cli.Session) ([]string, error) { return s.CompleteInstances(ctx) })
}
