package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/cli"
	"drover/internal/simulate"
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
	long := strings.Repeat("n", 98)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"frob"}, "drover: \"frob\" is no command of drover; allowed: cancel, completion, dev, fleet, instance, logs, ps, run, simulate, version, wait\n"},
		{[]string{"instance", "lst"}, "drover: \"lst\" is no command of drover instance; did you mean list?; allowed: destroy, drain, hold, list, run, show\n"},
		{[]string{"run"}, "drover: run: there is no command; say which: drover run -- echo hello\n"},
		{[]string{"run", "--vcpus", "0", "--", "true"}, "drover: run: vcpus: 0 is not allowed: a number above 0, and at most 1000000\n"},
		{[]string{"run", "--name", "a/b", "--", "true"}, "drover: --name: container ID \"a/b\" is not allowed: 1 to 100 letters, digits, dots, dashes and underscores, a letter or digit first\n"},
		{[]string{"run", "--env", "=x", "--", "true"}, "drover: --env \"=x\": there is no name; allowed: NAME=VALUE or NAME\n"},
		{arraying("9-3"), "drover: --array: \"9-3\" ends before it begins; allowed: the lower index first, such as 3-9\n"},
		{arraying(""), "drover: --array: \"\" is not allowed: indices, ranges and steps, such as 0-99, 1,3,7-9 or 0-100:10, with numbers from 0 to 999999999 without leading zeros\n"},
		{arraying("0-9%5"), "drover: --array: \"0-9%5\" is not allowed: indices, ranges and steps, such as 0-99, 1,3,7-9 or 0-100:10, with numbers from 0 to 999999999 without leading zeros\n"},
		{arraying("0-10000"), "drover: --array: 10001 indices are too many; allowed: at most 10000\n"},
		{arraying("0-9", "--env", "DROVER_ARRAY_INDEX=7"), "drover: --env DROVER_ARRAY_INDEX: it is not allowed with --array, which sets it for each element\n"},
		{arraying("0-9", "--env", "DROVER_ARRAY_ID"), "drover: --env DROVER_ARRAY_ID: it is not allowed with --array, which sets it for each element\n"},
		{arraying("0-9", "--name", "a/b"), "drover: --name: container ID \"a/b\" is not allowed: 1 to 100 letters, digits, dots, dashes and underscores, a letter or digit first\n"},
		{arraying("8-10", "--name", long), "drover: --name: the last element's container ID \"" + long + ".10\" is not allowed: 1 to 100 letters, digits, dots, dashes and underscores, a letter or digit first\n"},
		{[]string{"run", "--array", "0-9"}, "drover: run: there is no command; say which: drover run -- echo hello\n"},
		{[]string{"ps", "--limit", "-1"}, "drover: --limit: -1 is not allowed: a number, or 0 for no limit\n"},
		{[]string{"ps", "a", "b"}, "drover: ps: accepts at most 1 arg(s), received 2; usage: drover ps [ID] [flags]\n"},
		{[]string{"wait"}, "drover: wait: accepts 1 arg(s), received 0; usage: drover wait ID [flags]\n"},
		{[]string{"ps", "--nonsense"}, "drover: ps: there is no flag \"--nonsense\"; allowed: --address, --all, --expand, --fleet, --help, --limit, --namespace, --output, --profile, --task-queue\n"},
		{[]string{"version", "-o", "xml"}, "drover: -o: \"xml\" is not allowed: table or json\n"},
		{[]string{"logs", "-f", "c-1", "-o", "json"}, "drover: logs: -f and -o json exclude each other: output that comes is shown as it is\n"},
		{[]string{"fleet", "apply"}, "drover: fleet apply: there is no file; say which: drover fleet apply -f FILE\n"},
		{[]string{"simulate", "-f", "fleet.yaml"}, "drover: simulate: accepts 1 arg(s), received 0; usage: drover simulate -f FILE WORKLOAD.csv [flags]\n"},
		{[]string{"simulate", "w.csv"}, "drover: simulate: there is no fleet; say which: drover simulate -f FILE WORKLOAD.csv\n"},
		{[]string{"simulate", "-f", "-", "-"}, "drover: simulate: the fleet and the workload can't both be stdin\n"},
		{simulating("--quota", "-1"), "drover: --quota: -1 is not allowed: a number of instances, or 0 for no limit\n"},
		{simulating("--capacity", "huge=3"), "drover: --capacity: \"huge\" is no instance type of fleet general; allowed: small, small-spot, medium, medium-spot, large, large-spot, memory\n"},
		{simulating("--every", "-1s"), "drover: --every: -1s is not allowed: a duration such as 1h\n"},
		{simulating("--every", "1ms"), "drover: --every: 1ms is not allowed: it would give 1944000 rows, more than 100000\n"},
		{simulating("-o", "xml"), "drover: -o: \"xml\" is not allowed: table or json\n"},
	} {
		_, stderr, code := drover(c.args...)
		assert.Equal(t, c.says, stderr, "%v", c.args)
		assert.Equal(t, cli.ExitUsage, code, "%v", c.args)
	}
	_, stderr, code := drover("run", "--memory", "4XB", "--", "true")
	assert.Equal(t, cli.ExitUsage, code)
	assert.Contains(t, stderr, `"4XB" is not a size`)
}

// arraying is the command line of an array.
func arraying(array string, flags ...string) []string {
	return append(append([]string{"run", "--array", array}, flags...), "--", "true")
}

// simulating is the command line of a simulation of the burst.
func simulating(flags ...string) []string {
	return append([]string{"simulate", "-f", "../examples/fleets/general.yaml", "../examples/workloads/burst.csv"}, flags...)
}

func TestASimulationIsShownToAPerson(t *testing.T) {
	stdout, stderr, code := drover(simulating("--every", "10m", "--quota", "32")...)
	assert.Zero(t, code)
	assert.Empty(t, stderr)
	assert.Equal(t, `fleet general: 256 containers, 256 finished, in 1h1m
the cloud refused 8 create requests

WAIT  STARTED  MIN   MEDIAN  P95    MAX
all   256      1m2s  16m8s   46m6s  46m8s

TYPE   CREATED  PEAK  HOURS  PAID  BUSY        IDLE         BOOTING      SHUTDOWN
small  32       32    33.2   2.82  2.72 (97%)  0.0453 (2%)  0.0453 (2%)  0.0076 (0%)

utilization: 97% of the 66.3 vCPU hours that are paid for

FROM   INSTANCES  RUNNING  WAITING  PAID    VCPUS  USED  █ USED  ░ PAID FOR AND NOT USED
00:00  31.8       57.1     256      0.4501  64     90%   ███████████████████████████████████▊░░░░
00:10  32.0       64.0     192      0.4533  64     100%  ████████████████████████████████████████
00:20  32.0       64.0     128      0.4533  64     100%  ████████████████████████████████████████
00:30  32.0       64.0     128      0.4533  64     100%  ████████████████████████████████████████
00:40  32.0       64.0     64       0.4533  64     100%  ████████████████████████████████████████
00:50  32.0       64.0     0        0.4533  64     100%  ████████████████████████████████████████
01:00  31.1       29.8     0        0.1014  62     48%   ██████████████████▋░░░░░░░░░░░░░░░░░░░░
`, stdout)
	guide, err := os.ReadFile("../docs/sizing.md")
	require.NoError(t, err)
	assert.Contains(t, string(guide), stdout, "docs/sizing.md shows what drover simulate prints")
}

func TestASimulationIsJSONAndAPicture(t *testing.T) {
	file := filepath.Join(t.TempDir(), "burst.svg")
	stdout, _, code := drover(simulating("-o", "json", "--chart", file)...)
	assert.Zero(t, code)
	var result simulate.Result
	require.NoError(t, json.Unmarshal([]byte(stdout), &result))
	assert.Equal(t, 256, result.Containers.Finished)
	assert.InDelta(t, 1874, result.Makespan, 1e-6)
	assert.NotEmpty(t, result.Timeline)
	svg, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Contains(t, string(svg), "<svg ")
}

func TestWhatASimulationCantReadIsOneLineAndStatus1(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.csv")
	require.NoError(t, os.WriteFile(bad, []byte("submit,run_time\n1,soon\n"), 0o600))
	_, stderr, code := drover("simulate", "-f", "../examples/fleets/general.yaml", bad)
	assert.Equal(t, cli.ExitFailure, code)
	assert.Equal(t, "drover: "+bad+":2: run_time: \"soon\" is not how long it runs; allowed: seconds or a duration, such as 90 or 1h30m\n", stderr)
	_, stderr, code = drover("simulate", "-f", "../examples/fleets/general.yaml", "/does/not/exist.csv")
	assert.Equal(t, cli.ExitFailure, code)
	assert.Equal(t, "drover: workload: open /does/not/exist.csv: no such file or directory\n", stderr)
	_, stderr, code = drover(simulating("--chart", "/does/not/exist/burst.svg")...)
	assert.Equal(t, cli.ExitFailure, code)
	assert.Contains(t, stderr, "drover: --chart: open /does/not/exist/burst.svg")
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
