package connect_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/connect"
)

const (
	configAllowed = "; allowed: the files and variables of Temporal's CLI, such as TEMPORAL_CONFIG_FILE and TEMPORAL_PROFILE"
	filesAllowed  = "; allowed: files in PEM, named by TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH, or TEMPORAL_TLS_SERVER_CA_CERT_PATH"
	badConfig     = "the configuration of Temporal's client: "
)

func TestWhatIsWrongWithTheConnectionIsOneLine(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.pem")
	require.NoError(t, os.WriteFile(garbage, []byte("garbage\n"), 0o600))
	none := filepath.Join(dir, "none")
	address := func(text string) string {
		return text + " is not Temporal's address (--address, TEMPORAL_ADDRESS); allowed: HOST:PORT, such as localhost:7233"
	}
	for _, c := range []struct{ variable, value, says string }{
		{"TEMPORAL_ADDRESS", "localhost", address(`"localhost"`)},
		{"TEMPORAL_ADDRESS", "not an address", address(`"not an address"`)},
		{"TEMPORAL_ADDRESS", "ü:7233", address(`"ü:7233"`)},
		{"TEMPORAL_ADDRESS", "::1", address(`"::1"`)},
		{"TEMPORAL_ADDRESS", "127.0.0.1:x", address(`"127.0.0.1:x"`)},
		{"TEMPORAL_ADDRESS", "127.0.0.1:70000", address(`"127.0.0.1:70000"`)},
		{"TEMPORAL_ADDRESS", "http://127.0.0.1:7233", address(`"http://127.0.0.1:7233"`)},
		{"TEMPORAL_ADDRESS", "a:1\nb:2", address(`"a:1\nb:2"`)},
		{"TEMPORAL_NAMESPACE", "a b", `"a b" is not a namespace (--namespace, TEMPORAL_NAMESPACE); allowed: printable ASCII without spaces`},
		{"TEMPORAL_PROFILE", "nobody", badConfig + "unable to find profile nobody in config data" + configAllowed},
		{"TEMPORAL_CONFIG_FILE", dir, badConfig + "failed reading file at " + dir + ": read " + dir + ": is a directory" + configAllowed},
		{"TEMPORAL_CONFIG_FILE", garbage, badConfig + `failed parsing config: toml: line 2: expected '.' or '=', but got '\n' instead` + configAllowed},
		{"TEMPORAL_TLS_SERVER_CA_CERT_PATH", none, badConfig + "invalid TLS config: failed reading server CA cert path: open " + none + ": no such file or directory" + filesAllowed},
		{"TEMPORAL_TLS_SERVER_CA_CERT_PATH", dir, badConfig + "invalid TLS config: failed reading server CA cert path: read " + dir + ": is a directory" + filesAllowed},
		{"TEMPORAL_TLS_SERVER_CA_CERT_PATH", garbage, badConfig + "invalid TLS config: failed adding server CA to CA pool" + filesAllowed},
		{"TEMPORAL_TLS_CLIENT_CERT_PATH", garbage, badConfig + "invalid TLS config: if either client cert or key path is present, other must be present too" + filesAllowed},
	} {
		t.Run(c.variable+"="+c.value, func(t *testing.T) {
			t.Setenv(c.variable, c.value)
			_, _, err := connect.Dial(t.Context(), connect.Options{})
			assert.EqualError(t, err, c.says)
		})
	}
	t.Setenv("TEMPORAL_TLS_CLIENT_CERT_PATH", garbage)
	t.Setenv("TEMPORAL_TLS_CLIENT_KEY_PATH", garbage)
	_, _, err := connect.Dial(t.Context(), connect.Options{})
	assert.EqualError(t, err, badConfig+"invalid TLS config: failed loading client cert/key path: tls: failed to find any PEM data in certificate input"+filesAllowed)
}

func TestATemporalThatIsNotThereIsSaidWithWhatToDo(t *testing.T) {
	for _, c := range []struct{ address, says string }{
		{"127.0.0.1:1", "no Temporal at 127.0.0.1:1: transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused; start one with `drover dev`, or set TEMPORAL_ADDRESS"},
		{"passthrough:///127.0.0.1:1", "no Temporal at passthrough:///127.0.0.1:1: transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused; start one with `drover dev`, or set TEMPORAL_ADDRESS"},
	} {
		_, _, err := connect.Dial(t.Context(), connect.Options{Address: c.address})
		assert.EqualError(t, err, c.says)
	}
	_, _, err := connect.Dial(t.Context(), connect.Options{Address: "no-such-host.invalid:7233"})
	assert.ErrorContains(t, err, "no Temporal at no-such-host.invalid:7233: lookup no-such-host.invalid")
}

func TestTheStateDirectoryIsGivenOrFound(t *testing.T) {
	t.Setenv("DROVER_STATE_DIR", "")
	t.Setenv("XDG_STATE_HOME", "/state")
	found, err := connect.StateDir("")
	require.NoError(t, err)
	assert.Equal(t, "/state/drover", found)
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "")
	_, err = connect.StateDir("")
	assert.EqualError(t, err, "no state directory: set DROVER_STATE_DIR: $HOME is not defined")
	given, err := connect.StateDir("/x/../y")
	require.NoError(t, err)
	assert.Equal(t, "/y", given)
}
