package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"drover/internal/api"
	"drover/internal/cli"
)

func (a *app) runCommand() *cobra.Command {
	job := cli.Job{Spec: api.DefaultContainerSpec()}
	var env []string
	c := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGUMENT…]",
		Short: "Run a container: wait, show its output, exit with its exit code",
		Long: `Submits a container to a fleet, says on stderr what it waits for, shows its output (stdout
and stderr, as written) on stdout, and exits with its exit code: 128+n when signal n ended
it, 127 when the command is not found on the instance. When drover itself fails, or the
machines fail the container too often, the exit status is 1, and a line on stderr says why.

The command is run without a shell and without standard input; without --image as a plain
process on the instance, in a directory of its own.

Ctrl-C asks whether to cancel the container or to detach from it. Where there is nobody to
ask it is cancelled, as with SIGTERM. --detach prints the container's ID and leaves.

The same --name submitted twice is the same container: the second run shows the first.`,
		Example: `  drover run -- echo hello
  drover run --vcpus 8 --memory 32GiB --preemptible -- ./align sample42
  drover run --image alpine --env TOKEN --env MODE=fast -- sh -c 'echo $MODE'
  id=$(drover run --detach -- ./train) && drover wait $id`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("run: there is no command; say which: drover run -- echo hello")
			}
			return a.run(c, job, args, env)
		},
	}
	flags := c.Flags()
	flags.SetInterspersed(false)
	flags.StringVar(&job.ID, "name", "", "the container's ID (default: a new one)")
	flags.StringVar(&job.Spec.Fleet, "fleet", job.Spec.Fleet, "fleet that runs it")
	flags.BoolVarP(&job.Detach, "detach", "d", false, "print the container's ID and leave")
	flags.Float64Var(&job.Spec.VCPUs, "vcpus", job.Spec.VCPUs, "vCPUs it needs; may be a fraction")
	flags.TextVar(&job.Spec.Memory, "memory", job.Spec.Memory, "memory it needs, such as 4GiB")
	flags.TextVar(&job.Spec.Scratch, "scratch", job.Spec.Scratch, "disk space it needs, such as 50GB")
	flags.IntVar(&job.Spec.GPUs, "gpus", 0, "GPUs it needs")
	flags.StringVar(&job.Spec.Image, "image", "", "image to run under the fleet's engine (default: a plain process)")
	flags.StringArrayVarP(&env, "env", "e", nil, "environment: NAME=VALUE, or NAME for the value here; repeatable")
	flags.IntVar(&job.Spec.Priority, "priority", 0, "highest first; below 0: on hold")
	flags.BoolVar(&job.Spec.Preemptible, "preemptible", false, "allow instances that the provider may take away")
	flags.TextVar(&job.Spec.Timeout, "timeout", job.Spec.Timeout, "end an attempt that runs longer, such as 1h; 0: never")
	flags.IntVar(&job.Spec.Attempts, "attempts", job.Spec.Attempts, "how often to try when the machine fails it")
	complete(c, "fleet", func(ctx context.Context, s *cli.Session) ([]string, error) { return s.CompleteFleets(ctx) }, a)
	return c
}

// run checks the flags and runs the container.
func (a *app) run(c *cobra.Command, job cli.Job, command, env []string) error {
	var err error
	if job.Spec.Env, err = environment(env, os.LookupEnv); err != nil {
		return err
	}
	job.Spec.Command = command
	if err := job.Spec.Validate(); err != nil {
		return cli.Usagef("run: %w", err)
	}
	if job.ID != "" {
		if err := api.CheckContainerID(job.ID); err != nil {
			return cli.Usagef("--name: %w", err)
		}
	}
	if cli.IsTerminal(os.Stdin) && cli.IsTerminal(os.Stderr) {
		job.Stdin = os.Stdin
	}
	signals := make(chan os.Signal, 2)
	signal.Ignore(syscall.SIGPIPE) // writing fails instead, and the container is cancelled
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	job.Signals = signals
	return a.with(c, func(ctx context.Context, s *cli.Session) error { return s.Run(ctx, job) })
}

// environment makes a container's environment of --env flags. A name alone has the
// value that lookup finds.
func environment(flags []string, lookup func(string) (string, bool)) (map[string]string, error) {
	env := map[string]string{}
	for _, flag := range flags {
		name, value, given := strings.Cut(flag, "=")
		if name == "" {
			return nil, cli.Usagef("--env %q: there is no name; allowed: NAME=VALUE or NAME", flag)
		}
		if !given {
			var set bool
			if value, set = lookup(name); !set {
				return nil, cli.Usagef("--env %s: it is not set here; set it, or give a value: --env %s=…", name, name)
			}
		}
		env[name] = value
	}
	return env, nil
}
