package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"drover/internal/api"
	"drover/internal/cli"
	"drover/internal/indices"
)

const runLong = `Submits a container to a fleet, says on stderr what it waits for, shows its output (stdout
and stderr, as written) on stdout, and exits with its exit code: 128+n when signal n ended
it, 127 when the command is not found on the instance. When drover itself fails, or the
machines fail the container too often, the exit status is 1, and a line on stderr says why.

The command is run without a shell and without standard input; without --image as a plain
process on the instance, in a directory of its own.

Ctrl-C asks whether to cancel the container or to detach from it. Where there is nobody to
ask it is cancelled, as with SIGTERM. --detach prints the container's ID and leaves.

The same --name submitted twice is the same container: the second run shows the first.

--array runs the command once for each of up to 10,000 indices: --array 0-99, also lists
and steps such as 1,3,7-9 or 0-100:10. Each element is a container of its own, NAME.INDEX,
which has DROVER_ARRAY_INDEX, DROVER_ARRAY_COUNT and DROVER_ARRAY_ID, the array's name, in
its environment. How many are queued, running and done is said on stderr; the output of
the elements is not shown: drover logs NAME.7 does. The exit status is 0 when all exited
with 0, and otherwise the highest exit code of any element, of which one without, because
the machines failed it for example, counts as 1; a line on stderr says which have failed.`

func (a *app) runCommand() *cobra.Command {
	job := cli.Job{Spec: api.DefaultContainerSpec()}
	var env []string
	var array string
	c := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGUMENT…]",
		Short: "Run a container: wait, show its output, exit with its exit code",
		Long:  runLong,
		Example: `  drover run -- echo hello
  drover run --vcpus 8 --memory 32GiB --preemptible -- ./align sample42
  drover run --image alpine --env TOKEN --env MODE=fast -- sh -c 'echo $MODE'
  id=$(drover run --detach -- ./train) && drover wait $id
  drover run --array 0-99 --name night -- sh -c './align sample$DROVER_ARRAY_INDEX'`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("run: there is no command; say which: drover run -- echo hello")
			}
			var err error
			if job.Array, err = arrayOf(c, array, env); err != nil {
				return err
			}
			return a.run(c, job, args, env)
		},
	}
	flags := c.Flags()
	flags.SetInterspersed(false)
	flags.StringVar(&job.ID, "name", "", "the container's ID, or the array's (default: a new one)")
	flags.StringVar(&array, "array", "", "run it once for each index: 0-99, 1,3,7-9 or 0-100:10")
	a.fleetFlag(c, &job.Spec.Fleet, "fleet that runs it")
	flags.BoolVarP(&job.Detach, "detach", "d", false, "print the ID and leave")
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
	if err := checkName(job, c.Flags().Changed("name")); err != nil {
		return cli.Usagef("--name: %w", err)
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

// checkName says what is wrong with a job's ID, if it was given one.
func checkName(job cli.Job, given bool) error {
	switch {
	case job.ID == "" && given:
		return errors.New("there is no name; allowed: a container's ID, or no --name for a new one")
	case job.ID == "":
		return nil
	case job.Array != nil:
		return cli.CheckArray(job.ID, job.Array)
	}
	return api.CheckContainerID(job.ID)
}

// arrayOf reads --array. Nil: it is not given.
func arrayOf(c *cobra.Command, text string, env []string) (indices.Set, error) {
	if !c.Flags().Changed("array") {
		return nil, nil
	}
	set, err := indices.Parse(text)
	if err != nil {
		return nil, cli.Usagef("--array: %w", err)
	}
	for _, flag := range env {
		switch name, _, _ := strings.Cut(flag, "="); name {
		case api.EnvArrayID, api.EnvArrayIndex, api.EnvArrayCount:
			return nil, cli.Usagef("--env %s: it is not allowed with --array, which sets it for each element", name)
		}
	}
	return set, nil
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
