package main

import (
	"context"

	"github.com/spf13/cobra"

	"drover/internal/cli"
	"drover/internal/usage"
)

func (a *app) fleetCommand() *cobra.Command {
	c := group("fleet", "Create, change, show and delete fleets", `Creates, changes, shows and deletes fleets. A fleet is a set of instances with one spec,
one queue and one scheduler.`, `  drover fleet apply -f fleet.yaml --dry-run
  drover fleet apply -f fleet.yaml
  drover fleet status default
  drover fleet delete default --drain`)
	c.Aliases = []string{"fleets"}
	c.AddCommand(a.applyCommand(), a.fleetListCommand(), a.fleetStatusCommand(), a.fleetDeleteCommand())
	return c
}

func (a *app) applyCommand() *cobra.Command {
	var apply cli.Apply
	c := &cobra.Command{
		Use: "apply -f FILE", Short: "Create or change a fleet as a file says",
		Long: `Creates the fleet that a YAML file describes, or changes it to that. What changes is shown
first; on a terminal you are then asked. A bad spec is refused whole, with the line, the
key and what is allowed. Containers and instances that run are not touched, only that
instances of types that are no longer in the spec drain.`,
		Example: "  drover fleet apply -f fleet.yaml\n  drover fleet apply -f fleet.yaml --dry-run\n  sed s/64/128/ fleet.yaml | drover fleet apply -f -",
		Args:    usage.Arguments(usage.NoArguments),
		RunE: func(c *cobra.Command, _ []string) error {
			if apply.File == "" {
				return cli.Usagef("fleet apply: there is no file; say which: drover fleet apply -f FILE")
			}
			apply.Stdin = c.InOrStdin()
			return a.with(c, func(ctx context.Context, s *cli.Session) error { return s.ApplyFile(ctx, apply) })
		},
	}
	c.Flags().StringVarP(&apply.File, "file", "f", "", "the fleet's YAML; - is stdin")
	c.Flags().BoolVar(&apply.DryRun, "dry-run", false, "only show what would change")
	c.Flags().BoolVarP(&apply.Yes, "yes", "y", false, "don't ask")
	return c
}

func (a *app) fleetListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List fleets", Long: "Lists all fleets, with how many instances and containers they have.",
		Example: "  drover fleet list\n  drover fleet list -o json | jq '.[].totals'", Args: usage.Arguments(usage.NoArguments),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c, func(ctx context.Context, s *cli.Session) error { return s.ListFleets(ctx) })
		},
	}
}

func (a *app) fleetStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status [NAME]", Short: "Show a fleet",
		Long: `Shows a fleet: how many containers wait and run, its instances, and what keeps it from
working, if anything. With -o json also its spec. Without a name: the only fleet, or the
one named default.`,
		Example: "  drover fleet status\n  drover fleet status gpu -o json | jq .spec", Args: usage.Arguments(cobra.MaximumNArgs(1)), ValidArgsFunction: a.fleets(),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c, func(ctx context.Context, s *cli.Session) error { return s.ShowFleet(ctx, args...) })
		},
	}
}

func (a *app) fleetDeleteCommand() *cobra.Command {
	var drain bool
	c := &cobra.Command{
		Use: "delete NAME", Short: "Delete a fleet: its instances go",
		Long: `Deletes a fleet: all its instances go. One that has containers is refused, unless --drain
lets them end first; new ones are refused meanwhile.`,
		Example: "  drover fleet delete gpu\n  drover fleet delete default --drain", Args: usage.Arguments(cobra.ExactArgs(1)), ValidArgsFunction: a.fleets(),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c, func(ctx context.Context, s *cli.Session) error { return s.DeleteFleet(ctx, args[0], drain) })
		},
	}
	c.Flags().BoolVar(&drain, "drain", false, "let its containers end first")
	return c
}

// fleets completes names of fleets.
func (a *app) fleets() cobra.CompletionFunc {
	return a.names(func(ctx context.Context, s *cli.Session) ([]string, error) { return s.CompleteFleets(ctx) })
}
