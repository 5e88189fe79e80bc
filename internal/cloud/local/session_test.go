package local

import (
	"io"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"drover/internal/cloud/cloudtest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// begin starts a command that says its process ID first, and returns that.
func begin(t *testing.T, client *ssh.Client, command string) (*ssh.Session, io.Reader, int) {
	t.Helper()
	session, err := client.NewSession()
	require.NoError(t, err)
	output, pid := beginIn(t, session, command)
	return session, output, pid
}

func beginIn(t *testing.T, session *ssh.Session, command string) (io.Reader, int) {
	t.Helper()
	output, err := session.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, session.Start("echo $$\n"+command))
	var line []byte
	for one := make([]byte, 1); one[0] != '\n'; line = append(line, one[0]) {
		_, err := io.ReadFull(output, one)
		require.NoError(t, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line)))
	require.NoError(t, err)
	return output, pid
}

func TestSessions(t *testing.T) {
	t.Parallel()
	n := newNode(t, newDriver(t, Config{}))
	client := n.dial(t)

	t.Run("environment and place are the instance's own", func(t *testing.T) {
		output := cloudtest.Output(t, client, "env | cut -d= -f1 | sort | xargs; pwd; echo $DROVER_ROOT")
		lines := strings.Split(strings.TrimSpace(output), "\n")
		require.Len(t, lines, 3)
		names := strings.Fields(strings.NewReplacer(" PWD", "", " OLDPWD", "", " _", "", " SHLVL", "").Replace(lines[0]))
		assert.ElementsMatch(t, []string{
			"DROVER_LOCAL_INSTANCE", "DROVER_ROOT", "HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TMPDIR", "USER",
		}, names)
		instance := n.awaitRunning(t)
		assert.Equal(t, []string{n.d.path(n.name) + "/home", instance.Root}, lines[1:])
		assert.DirExists(t, instance.Root)
	})

	t.Run("a signal that ends a command is reported", func(t *testing.T) {
		session, err := client.NewSession()
		require.NoError(t, err)
		var exit *ssh.ExitError
		require.ErrorAs(t, session.Run("kill -TERM $$"), &exit)
		assert.Equal(t, "TERM", exit.Signal())
	})

	t.Run("a signal that is sent arrives", func(t *testing.T) {
		session, _, _ := begin(t, client, "exec sleep 1003")
		require.NoError(t, session.Signal(ssh.SIGINT))
		var exit *ssh.ExitError
		require.ErrorAs(t, session.Wait(), &exit)
		assert.Equal(t, "INT", exit.Signal())
	})

	t.Run("a closed session leaves its command running", func(t *testing.T) {
		session, _, pid := begin(t, client, "exec sleep 1004")
		require.NoError(t, session.Close())
		assert.Equal(t, "still here\n", cloudtest.Output(t, client, "echo still here"))
		assert.True(t, runs(pid))
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		eventually(t, func() bool { return !runs(pid) })
	})

	t.Run("a closed session ends its command's streams", func(t *testing.T) {
		session, _, pid := begin(t, client, "cat >/dev/null; while :; do echo more || exit 9; done")
		require.NoError(t, session.Close())
		eventually(t, func() bool { return !runs(pid) })
	})

	t.Run("a lost connection leaves its commands running", func(t *testing.T) {
		other := n.dial(t)
		_, _, pid := begin(t, other, "exec sleep 1005")
		require.NoError(t, other.Close())
		assert.Equal(t, "still here\n", cloudtest.Output(t, n.dial(t), "echo still here"))
		assert.True(t, runs(pid))
	})

	t.Run("a session waits for who holds its output", func(t *testing.T) {
		session, output, _ := begin(t, client,
			"touch ~/hold; (while test -e ~/hold; do sleep 0.01; done; echo late) & echo early")
		early := make([]byte, len("early\n"))
		_, err := io.ReadFull(output, early)
		require.NoError(t, err)
		cloudtest.Output(t, client, "rm ~/hold")
		late, err := io.ReadAll(output)
		require.NoError(t, err)
		assert.Equal(t, "late\n", string(late))
		require.NoError(t, session.Wait())
	})

	t.Run("nothing is forwarded", func(t *testing.T) {
		_, err := client.Dial("tcp", n.awaitRunning(t).Address+":1")
		require.ErrorContains(t, err, "only sessions")
		_, err = client.Listen("tcp", "127.0.0.1:0")
		require.Error(t, err)
	})

	t.Run("a terminal works", func(t *testing.T) {
		session, err := client.NewSession()
		require.NoError(t, err)
		require.NoError(t, session.RequestPty("xterm", 33, 77, ssh.TerminalModes{}))
		output, err := session.Output("test -t 0 && test -t 1 && stty size && echo $TERM")
		require.NoError(t, err)
		assert.Equal(t, "33 77\r\nxterm\r\n", string(output))
	})

	t.Run("a closed terminal hangs up", func(t *testing.T) {
		session, err := client.NewSession()
		require.NoError(t, err)
		require.NoError(t, session.RequestPty("xterm", 24, 80, ssh.TerminalModes{}))
		_, pid := beginIn(t, session, "exec sleep 1006")
		require.NoError(t, session.Close())
		eventually(t, func() bool { return !runs(pid) })
	})

	t.Run("a shell reads its commands", func(t *testing.T) {
		session, err := client.NewSession()
		require.NoError(t, err)
		session.Stdin = strings.NewReader("echo from the shell\nexit 4\n")
		var output strings.Builder
		session.Stdout = &output
		require.NoError(t, session.Shell())
		var exit *ssh.ExitError
		require.ErrorAs(t, session.Wait(), &exit)
		assert.Equal(t, 4, exit.ExitStatus())
		assert.Equal(t, "from the shell\n", output.String())
	})
}

func TestAConnectionHasTenSessions(t *testing.T) {
	t.Parallel()
	client := newNode(t, newDriver(t, Config{})).dial(t)
	var last *ssh.Session
	for range maxSessions {
		last, _, _ = begin(t, client, "exec sleep 1007")
	}
	_, err := client.NewSession()
	var refused *ssh.OpenChannelError
	require.ErrorAs(t, err, &refused)
	require.NoError(t, last.Close())
	eventually(t, func() bool {
		session, err := client.NewSession()
		return err == nil && session.Close() == nil
	})
}
