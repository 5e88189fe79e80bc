package main

import (
	"bytes"
	"context"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/cli"
)

// drover runs a command that needs no Temporal.
func drover(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&errs)
	code = cli.Report(&errs, root.ExecuteContext(context.Background()))
	return out.String(), errs.String(), code
}

func TestWrongUsageIsOneLineAndStatus2(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"frob"}, "drover: \"frob\" is no command of drover; see `drover --help`\n"},
		{[]string{"instance", "lst"}, "drover: \"lst\" is no command of drover instance; did you mean list?; see `drover instance --help`\n"},
		{[]string{"run"}, "drover: run: there is no command; say which: drover run -- echo hello\n"},
		{[]string{"run", "--vcpus", "0", "--", "true"}, "drover: run: vcpus: 0 is not allowed: a number above 0, and at most 1000000\n"},
		{[]string{"run", "--name", "a/b", "--", "true"}, "drover: --name: container ID \"a/b\" is not allowed: 1 to 100 letters, digits, dots, dashes and underscores, a letter or digit first\n"},
		{[]string{"run", "--env", "=x", "--", "true"}, "drover: --env \"=x\": there is no name; allowed: NAME=VALUE or NAME\n"},
		{[]string{"wait"}, "drover: wait: accepts 1 arg(s), received 0; usage: drover wait ID [flags]\n"},
		{[]string{"ps", "--nonsense"}, "drover: ps: unknown flag: --nonsense; see `drover ps --help`\n"},
		{[]string{"version", "-o", "xml"}, "drover: -o: \"xml\" is not allowed: table or json\n"},
		{[]string{"logs", "-f", "c-1", "-o", "json"}, "drover: logs: -f and -o json exclude each other: output that comes is shown as it is\n"},
		{[]string{"fleet", "apply"}, "drover: fleet apply: there is no file; say which: drover fleet apply -f FILE\n"},
	} {
		_, stderr, code := drover(c.args...)
		assert.Equal(t, c.says, stderr, "%v", c.args)
		assert.Equal(t, cli.ExitUsage, code, "%v", c.args)
	}
	_, stderr, code := drover("run", "--memory", "4XB", "--", "true")
	assert.Equal(t, cli.ExitUsage, code)
	assert.Contains(t, stderr, `"4XB" is not a size`)
}

func TestWithoutTemporalItSaysWhatToDo(t *testing.T) {
	_, stderr, code := drover("ps", "--address", "127.0.0.1:1")
	assert.Equal(t, cli.ExitFailure, code)
	assert.Contains(t, stderr, "drover: no Temporal at 127.0.0.1:1")
	assert.Contains(t, stderr, "start one with `drover dev`")
}

func TestABadFleetFileIsRefusedBeforeAnythingStarts(t *testing.T) {
	_, stderr, code := drover("dev", "--fleet-file", "/does/not/exist")
	assert.Equal(t, cli.ExitFailure, code)
	assert.Contains(t, stderr, "--fleet-file: open /does/not/exist")
}

func TestEveryCommandTeaches(t *testing.T) {
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		if c.Name() == "help" || c.Name() == "completion" {
			return
		}
		assert.NotEmpty(t, c.Short, c.CommandPath())
		assert.NotEmpty(t, c.Long, c.CommandPath())
		assert.NotEmpty(t, c.Example, c.CommandPath())
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	check(rootCommand())
}

func TestTheEnvironmentIsGivenOrInherited(t *testing.T) {
	here := func(name string) (string, bool) { return "from here", name == "HERE" }
	env, err := environment([]string{"A=b=c", "EMPTY=", "HERE"}, here)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"A": "b=c", "EMPTY": "", "HERE": "from here"}, env)
	_, err = environment([]string{"AWAY"}, here)
	assert.ErrorContains(t, err, "--env AWAY: it is not set here")
}

func TestVersion(t *testing.T) {
	stdout, _, code := drover("version", "-o", "json")
	assert.Zero(t, code)
	assert.Contains(t, stdout, `"version": "dev"`)
}
