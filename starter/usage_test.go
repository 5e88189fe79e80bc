package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/cli"
)

const (
	noID   = "is not allowed: 1 to 100 letters, digits, dots, dashes and underscores, a letter or digit first"
	noSize = "is not a size; allowed: a number with B, KiB, MiB, GiB, TiB, KB, MB, GB or TB, as in 512MiB, or 0"
	noText = "is not text; allowed: UTF-8 without NUL bytes"
)

// running is the command line of a container.
func running(flags ...string) []string {
	return append(append([]string{"run"}, flags...), "--", "true")
}

func TestNonsenseOnTheCommandLineIsOneLineThatSaysWhatIsAllowed(t *testing.T) {
	t.Setenv("NOT_SET_ANYWHERE", "")
	require.NoError(t, os.Unsetenv("NOT_SET_ANYWHERE"))
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"fleet", "frob"}, `"frob" is no command of drover fleet; allowed: apply, delete, list, status`},
		{[]string{"completion", "xsh"}, `"xsh" is no command of drover completion; allowed: bash, fish, powershell, zsh`},
		{[]string{"help", "frob"}, `"frob" is no command of drover; allowed: cancel, completion, dev, fleet, instance, logs, ps, run, simulate, version, wait`},
		{[]string{"help", "instance", "frob"}, `"frob" is no command of drover instance; allowed: destroy, drain, hold, list, run, show`},
		{[]string{"help", "ps", "frob"}, `help: "drover ps" has no commands of its own; allowed: drover help ps`},
		{[]string{"--frob"}, `drover: there is no flag "--frob"; allowed: --address, --help, --namespace, --output, --profile, --task-queue, --version`},
		{[]string{"version", "-x"}, `version: there is no flag "-x"; allowed: --address, --help, --namespace, --output, --profile, --task-queue`},
		{[]string{"version", "---x"}, `version: bad flag syntax: ---x; allowed: --address, --help, --namespace, --output, --profile, --task-queue`},
		{[]string{"version", "x"}, `version: takes no arguments, not "x"; usage: drover version [flags]`},
		{[]string{"-o", "xml", "wait", "x"}, `-o: "xml" is not allowed: table or json`},
		{[]string{"dev", "-o", "xml"}, `-o: "xml" is not allowed: table or json`},
		{[]string{"dev", "--task-queue", ""}, "--task-queue: there is no name; allowed: that of the task queue of drover's workers, drover unless they were told otherwise"},
		{[]string{"ps", "--address", "localhost"}, `"localhost" is not Temporal's address (--address, TEMPORAL_ADDRESS); allowed: HOST:PORT, such as localhost:7233`},
		{[]string{"ps", "--namespace", "ü x"}, `"ü x" is not a namespace (--namespace, TEMPORAL_NAMESPACE); allowed: printable ASCII without spaces`},

		{running("--vcpus", "-1"), "run: vcpus: -1 is not allowed: a number above 0, and at most 1000000"},
		{running("--vcpus", "NaN"), "run: vcpus: NaN is not allowed: a number above 0, and at most 1000000"},
		{running("--vcpus", "Inf"), "run: vcpus: +Inf is not allowed: a number above 0, and at most 1000000"},
		{running("--vcpus", "1e300"), "run: vcpus: 1e+300 is not allowed: a number above 0, and at most 1000000"},
		{running("--vcpus", "two"), `run: --vcpus: "two" is not allowed: a number`},
		{running("--memory", "-1GiB"), `run: --memory: "-1GiB" ` + noSize},
		{running("--memory", "9999999TiB"), `run: --memory: "9999999TiB" is not a size; allowed: a whole number of bytes below 8388608TiB`},
		{running("--memory", "2097152TiB"), "run: memory: 2097152TiB is not allowed: a size of 0 or more, at most 1048576TiB"},
		{running("--scratch", "x"), `run: --scratch: "x" ` + noSize},
		{running("--scratch", "2097152TiB"), "run: scratch: 2097152TiB is not allowed: a size of 0 or more, at most 1048576TiB"},
		{running("--gpus", "-1"), "run: gpus: -1 is not allowed: 0 to 1000000"},
		{running("--gpus", "99999999999999999999"), `run: --gpus: "99999999999999999999" is not allowed: a whole number`},
		{running("--priority", "1.5"), `run: --priority: "1.5" is not allowed: a whole number`},
		{running("--preemptible=maybe"), `run: --preemptible: "maybe" is not allowed: true or false`},
		{running("--timeout", "-1h"), "run: timeout: -1h is not allowed: a duration such as 1h, at most 87600h, or 0 for no limit"},
		{running("--timeout", "5"), `run: --timeout: "5" is not a duration; allowed: a number with h, m, s or ms, as in 90s or 1h30m, or 0`},
		{running("--attempts", "0"), "run: attempts: 0 is not allowed: 1 to 100"},
		{running("--attempts", "101"), "run: attempts: 101 is not allowed: 1 to 100"},
		{running("--fleet", "ü"), `run: fleet: "ü" is not the name of a fleet; allowed: 1 to 40 lower-case letters, digits and dashes`},
		{running("--fleet", ""), `run: fleet: "" is not the name of a fleet; allowed: 1 to 40 lower-case letters, digits and dashes`},
		{running("--image", "-v"), `run: image: "-v" is not the name of an image; allowed: up to 500 printable ASCII characters without spaces, a letter or digit first`},
		{running("--name", "ü"), `--name: container ID "ü" ` + noID},
		{running("--name", "broken"), `--name: container ID "broken" is not allowed: it has a meaning in what the runner prints`},
		{running("--name", ""), "--name: there is no name; allowed: a container's ID, or no --name for a new one"},
		{running("--env", ""), `--env "": there is no name; allowed: NAME=VALUE or NAME`},
		{running("--env", "NOT_SET_ANYWHERE"), "--env NOT_SET_ANYWHERE: it is not set here; set it, or give a value: --env NOT_SET_ANYWHERE=…"},
		{running("--env", "A=\xff"), `run: env: the value of A, "\xff", ` + noText},
		{running("--env", "A="+strings.Repeat("x", 10<<20)), "run: command, image and env have 10485765 bytes together; allowed: at most 1MiB"},
		{[]string{"run", "--", ""}, "run: command: is empty; allowed: a list that begins with a program"},
		{[]string{"run", "--", "echo", "\xff"}, `run: command: argument 1, "\xff", ` + noText},
		{arraying("5-2"), `--array: "5-2" ends before it begins; allowed: the lower index first, such as 2-5`},
		{arraying("0-9999999"), "--array: 10000000 indices are too many; allowed: at most 10000"},
		{arraying("0-9:0"), `--array: "0-9:0" has a step of 0; allowed: 1 or more`},
		{arraying("0-9", "--name", ""), "--name: there is no name; allowed: a container's ID, or no --name for a new one"},

		{[]string{"ps", "--limit", "x"}, `ps: --limit: "x" is not allowed: a whole number`},
		{[]string{"instance", "list", "--limit", "-4"}, "--limit: -4 is not allowed: a number, or 0 for no limit"},
		{[]string{"instance", "hold", "a", "--reason"}, "hold: --reason needs a value: why, for those who look at it"},
		{[]string{"instance", "hold"}, "hold: accepts 1 arg(s), received 0; usage: drover instance hold NAME [flags]"},
		{[]string{"instance", "destroy", "a", "b"}, "destroy: accepts 1 arg(s), received 2; usage: drover instance destroy NAME [flags]"},
		{[]string{"fleet", "apply", "x", "-f", "y"}, `apply: takes no arguments, not "x"; usage: drover fleet apply -f FILE [flags]`},
		{[]string{"fleet", "delete"}, "delete: accepts 1 arg(s), received 0; usage: drover fleet delete NAME [flags]"},
		{[]string{"fleet", "status", "a", "b"}, "status: accepts at most 1 arg(s), received 2; usage: drover fleet status [NAME] [flags]"},
		{[]string{"cancel"}, "cancel: requires at least 1 arg(s), only received 0; usage: drover cancel ID… [flags]"},
		{[]string{"logs", "a", "--attempt", "-1"}, "--attempt: -1 is not allowed: 1 or more"},
		{[]string{"logs", "a", "--attempt", "0"}, "--attempt: 0 is not allowed: 1 or more"},
		{[]string{"dev", "--temporal-port", "-1"}, "--temporal-port: -1 is not allowed: 1 to 65535, or 0 for a free one"},
		{[]string{"dev", "--ui-port", "65536"}, "--ui-port: 65536 is not allowed: 1 to 65535, or 0 for a free one"},
		{[]string{"dev", "--ui-port", "9", "--temporal-port", "9"}, "--temporal-port and --ui-port are both 9: choose two different ports"},
		{simulating("--create", "-1s"), "--create: -1s is not allowed: 0 to 24h"},
		{simulating("--boot", "90s-45s"), `simulate: --boot: "90s-45s" is not a time to boot; allowed: a duration such as 60s, or two for what lies between them, such as 45s-90s`},
		{simulating("--capacity", "small"), `simulate: --capacity: "small" is not allowed: NAME=N, with a whole number N`},
		{simulating("--create-rate", "NaN"), "--create-rate: NaN is not allowed: create requests a minute, or 0 for no limit"},
		{simulating("--spot-interruptions", "-1"), "--spot-interruptions: -1 is not allowed: 0 to 1000 an hour"},
		{simulating("--seed", "-1"), `simulate: --seed: "-1" is not allowed: a whole number, 0 or more`},
	} {
		stdout, stderr, code := drover(c.args...)
		assert.Equal(t, "drover: "+c.says+"\n", stderr, "%.200q", c.args)
		assert.Equal(t, cli.ExitUsage, code, "%.200q", c.args)
		assert.Empty(t, stdout, "%.200q", c.args)
	}
}

// TestNoFlagTakesNonsense gives every flag of every command that is not text a value that
// makes no sense, and every command a flag that there is not.
func TestNoFlagTakesNonsense(t *testing.T) {
	for _, path := range commandPaths(rootCommand(), nil) {
		c, _, err := rootCommand().Find(path)
		require.NoError(t, err)
		_, stderr, code := drover(append(path, "--no-such-flag")...)
		assert.Regexp(t, `^drover: [^\n]+: there is no flag "--no-such-flag"; allowed: --[^\n]+\n$`, stderr, path)
		assert.Equal(t, cli.ExitUsage, code, path)
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() == "string" || f.Value.Type() == "stringArray" {
				return
			}
			_, stderr, code := drover(append(path, "--"+f.Name+"=non sense\n\x01")...)
			assert.Regexp(t, `^drover: [^\n]+: --`+f.Name+`: "non sense\\n\\x01" [^\n]*allowed: [^\n]+\n$`, stderr, "%v --%s", path, f.Name)
			assert.Equal(t, cli.ExitUsage, code, "%v --%s", path, f.Name)
		})
	}
}

// commandPaths returns the names of all commands that do something.
func commandPaths(c *cobra.Command, path []string) (paths [][]string) {
	for _, sub := range c.Commands() {
		own := append(append([]string{}, path...), sub.Name())
		if sub.HasSubCommands() {
			paths = append(paths, commandPaths(sub, own)...)
		} else if sub.Name() != "help" && c.Name() != "completion" {
			paths = append(paths, own)
		}
	}
	return paths
}

// Files that are not what they should be.
func TestABadFileIsOneLineThatNamesIt(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	const w = "../examples/workloads/burst.csv"
	binary, empty := file("binary", "\x7fELF\x02\x00\xff\xfe"), file("empty", "")
	bomb := file("bomb", "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n")
	twice := file("twice", "name: a\nname: b\n")
	locked := file("locked", "name: a\n")
	require.NoError(t, os.Chmod(locked, 0))
	const rootKeys = "name, driver, local, instance_types, limits, timeouts, intervals, boot_probe, init_command, ssh, runner, engine, output, faults"
	cases := map[string][]string{
		"-f: read " + dir + ": is a directory":                                       {"simulate", "-f", dir, w},
		"-f: open " + dir + "/none: no such file or directory":                       {"simulate", "-f", dir + "/none", w},
		binary + ":1: is not text; allowed: YAML in UTF-8":                           {"simulate", "-f", binary, w},
		empty + `:1: is empty; allowed: a fleet's spec, such as "name: default"`:     {"simulate", "-f", empty, w},
		bomb + `:1: unknown key "a"; allowed: ` + rootKeys:                           {"simulate", "-f", bomb, w},
		twice + ":2: name: is given twice, first in line 1; allowed: once":           {"simulate", "-f", twice, w},
		"workload: read " + dir + ": is a directory":                                 {"simulate", "-f", "../examples/fleets/general.yaml", dir},
		binary + ": is not text; allowed: CSV in UTF-8":                              {"simulate", "-f", "../examples/fleets/general.yaml", binary},
		"--fleet-file: read " + dir + ": is a directory":                             {"dev", "--fleet-file", dir},
		"--fleet-file: open " + dir + "/none: no such file or directory":             {"dev", "--fleet-file", dir + "/none"},
		twice + ":2: name: is given twice, first in line 1; allowed: once\x00of dev": {"dev", "--fleet-file", twice},
	}
	if os.Geteuid() != 0 { // root reads everything
		cases["-f: open "+locked+": permission denied"] = []string{"simulate", "-f", locked, w}
	}
	for says, args := range cases {
		says, _, _ = strings.Cut(says, "\x00")
		stdout, stderr, code := drover(args...)
		assert.Equal(t, "drover: "+says+"\n", stderr)
		assert.Equal(t, cli.ExitFailure, code, says)
		assert.Empty(t, stdout)
	}
}
