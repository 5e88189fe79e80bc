package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/usage"
)

// refused returns the error of a worker that does not start.
func refused(t *testing.T, args ...string) error {
	t.Helper()
	c := command()
	c.SetArgs(args)
	err := c.ExecuteContext(t.Context())
	require.Error(t, err, "%v", args)
	assert.NotContains(t, err.Error(), "\n", "%v", args)
	return err
}

func TestAWorkerRefusesNonsenseInOneLine(t *testing.T) {
	for _, name := range []string{"TEMPORAL_ADDRESS", "TEMPORAL_DEPLOYMENT_NAME", "TEMPORAL_WORKER_BUILD_ID"} {
		t.Setenv(name, "")
	}
	t.Setenv("DROVER_STATE_DIR", t.TempDir())
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--nonsense"}, `drover-worker: there is no flag "--nonsense"; allowed: --address, --build-id, --deployment, --exit-with-parent, --grace, --help, --log-level, --metrics, --namespace, --profile, --state-dir, --task-queue`},
		{[]string{"x"}, `drover-worker: takes no arguments, not "x"; usage: drover-worker [flags]`},
		{[]string{"--grace", "x"}, `drover-worker: --grace: "x" is not allowed: a duration such as 90s or 1h30m`},
		{[]string{"--grace", "-5s"}, "--grace: -5s is not allowed: a duration such as 5s, or 0"},
		{[]string{"--exit-with-parent=maybe"}, `drover-worker: --exit-with-parent: "maybe" is not allowed: true or false`},
		{[]string{"--address"}, "drover-worker: --address needs a value: Temporal's frontend, host:port (TEMPORAL_ADDRESS)"},
		{[]string{"--log-level", "loud"}, `--log-level: "loud" is not allowed: debug, info, warn or error`},
		{[]string{"--deployment", "x"}, "--deployment and --build-id go together: set both, or none"},
		{[]string{"--build-id", "x"}, "--deployment and --build-id go together: set both, or none"},
		{[]string{"--task-queue", ""}, "--task-queue: there is no name; allowed: any, such as drover"},
		{[]string{"--address", "nonsense"}, `"nonsense" is not Temporal's address (--address, TEMPORAL_ADDRESS); allowed: HOST:PORT, such as localhost:7233`},
		{[]string{"--address", "127.0.0.1:1", "--namespace", "ü"}, `"ü" is not a namespace (--namespace, TEMPORAL_NAMESPACE); allowed: printable ASCII without spaces`},
	} {
		err := refused(t, c.args...)
		assert.EqualError(t, err, c.says)
		assert.ErrorAs(t, err, new(*usage.Error), "%v is exit status 2", c.args)
	}
}

func TestAWorkerThatCannotStartSaysWhy(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	used := taken.Addr().String()
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--state-dir", file}, "--state-dir: mkdir " + file + ": not a directory; allowed: a directory that can be written to"},
		{[]string{"--state-dir", file + "/x"}, "--state-dir: mkdir " + file + ": not a directory; allowed: a directory that can be written to"},
		{[]string{"--state-dir", dir, "--metrics", "nonsense"}, "--metrics: listen tcp: address nonsense: missing port in address; allowed: HOST:PORT of this machine, such as 127.0.0.1:9090"},
		{[]string{"--state-dir", dir, "--metrics", "127.0.0.1:99999"}, "--metrics: listen tcp: address 99999: invalid port; allowed: HOST:PORT of this machine, such as 127.0.0.1:9090"},
		{[]string{"--state-dir", dir, "--metrics", used}, "--metrics: listen tcp " + used + ": bind: address already in use; allowed: HOST:PORT of this machine, such as 127.0.0.1:9090"},
		{[]string{"--state-dir", dir}, "no Temporal at 127.0.0.1:1: transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused; start one with `drover dev`, or set TEMPORAL_ADDRESS"},
		{[]string{"--state-dir", dir, "--profile", "nobody"}, "the configuration of Temporal's client: unable to find profile nobody in config data; allowed: the files and variables of Temporal's CLI, such as TEMPORAL_CONFIG_FILE and TEMPORAL_PROFILE"},
	} {
		err := refused(t, c.args...)
		assert.EqualError(t, err, c.says)
		assert.NotErrorAs(t, err, new(*usage.Error), "%v is exit status 1", c.args)
	}
}

func TestEveryFlagOfAWorkerSaysWhatItIs(t *testing.T) {
	command().Flags().VisitAll(func(f *pflag.Flag) { assert.NotEmpty(t, f.Usage, f.Name) })
}
