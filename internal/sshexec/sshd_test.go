package sshexec

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"drover/internal/realparts"
)

// needs returns the path of a program, or skips the test: fails it where the real
// parts are required.
func needs(t testing.TB, program, part string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if p, err := exec.LookPath(dir + program); err == nil {
			return p
		}
	}
	realparts.Missing(t, "needs "+part)
	return ""
}

// sshd is an OpenSSH server with a configuration of its own.
type sshd struct {
	target Target
	dir    string
	login  ssh.Signer
	key    *Key
}

// startSSHD starts one. wrap are the words before sshd's command line; host is what it
// listens on.
func startSSHD(t testing.TB, host string, wrap []string, options ...string) *sshd {
	t.Helper()
	path := needs(t, "sshd", "openssh-server")
	if os.Geteuid() == 0 {
		require.NoError(t, os.MkdirAll("/run/sshd", 0o755))
	}
	d := &sshd{dir: t.TempDir()}
	var err error
	d.key, err = LoadOrCreateKey(filepath.Join(d.dir, "fleet"))
	require.NoError(t, err)
	d.login = d.key.Signer()
	private, public, err := d.key.HostKey("i-1")
	require.NoError(t, err)
	file := func(name, text string) string {
		f := filepath.Join(d.dir, name)
		require.NoError(t, os.WriteFile(f, []byte(text), 0o600))
		return f
	}
	me, err := user.Current()
	require.NoError(t, err)
	d.target = Target{User: me.Username, HostKeys: []ssh.PublicKey{public}}
	d.target.Address = net.JoinHostPort(host, strconv.Itoa(freePort(t)))
	_, port, err := net.SplitHostPort(d.target.Address)
	require.NoError(t, err)
	args := append(wrap[:len(wrap):len(wrap)], path, "-D", "-e", "-f", "/dev/null", "-p", port, "-h", file("host", private))
	for _, o := range append([]string{
		// Debian's bash reads .bashrc for every command that sshd starts, unless it is
		// nested: that of a developer may take half a second.
		"SetEnv=SHLVL=2",
		"ListenAddress=" + host, "StrictModes=no", "UsePAM=no", "PidFile=none",
		"AuthorizedKeysFile=" + file("authorized", string(ssh.MarshalAuthorizedKey(d.login.PublicKey()))),
	}, options...) {
		args = append(args, "-o", o)
	}
	d.start(t, args)
	return d
}

func (d *sshd) start(t testing.TB, args []string) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	var log bytes.Buffer
	cmd.Stderr = &log
	// A session that outlives sshd may hold its stderr.
	cmd.WaitDelay = 100 * time.Millisecond
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd: %s", log.String())
		}
	})
	eventually(t, "sshd listens", func() bool {
		c, err := net.DialTimeout("tcp", d.target.Address, time.Second)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestOpenSSH(t *testing.T) {
	t.Parallel()
	d := startSSHD(t, "127.0.0.1", nil)
	p := newPool(t, d.login, Options{})
	arch, err := p.Uname(t.Context(), d.target)
	require.NoError(t, err)
	require.Equal(t, runtime.GOARCH, arch)

	f := program(filepath.Join(d.dir, "made", "runner"), 400_000, 10)
	copied, err := p.Install(t.Context(), d.target, f)
	require.NoError(t, err)
	require.True(t, copied)
	requireInstalled(t, f)

	var exit *ExitError
	require.ErrorAs(t, p.Run(t.Context(), d.target, Command{Line: "echo no >&2; exit 7"}), &exit)
	require.Equal(t, 7, exit.Status)
	require.Equal(t, "no\n", exit.Stderr)
	require.ErrorAs(t, p.Run(t.Context(), d.target, Command{Line: "kill -TERM $$"}), &exit)
	require.Equal(t, "TERM", exit.Signal)

	stranger, _ := newKey(t)
	err = newPool(t, stranger, Options{}).Run(t.Context(), d.target, Command{Line: "true"})
	require.True(t, FailedAt(err, StepAuth), "%v", err)
	wrong := d.target
	wrong.HostKeys = []ssh.PublicKey{stranger.PublicKey()}
	require.True(t, FailedAt(p.Run(t.Context(), wrong, Command{Line: "true"}), StepHostKey))
}

func TestOpenSSHMany(t *testing.T) {
	t.Parallel()
	d := startSSHD(t, "127.0.0.1", nil)
	p := newPool(t, d.login, Options{})
	const n = 64
	errs := make(chan error, n)
	for i := range n {
		go func() {
			var out strings.Builder
			err := p.Run(t.Context(), d.target, Command{Line: fmt.Sprintf("echo %d", i), Stdout: &out})
			if err == nil && out.String() != fmt.Sprintln(i) {
				err = fmt.Errorf("output %q", out.String())
			}
			errs <- err
		}()
	}
	for range n {
		require.NoError(t, <-errs)
	}
	require.LessOrEqual(t, p.connections(), n/8)
}

// TestOpenSSHDetach cancels more commands than one connection takes sessions, and
// closes the pool: all of them go on, and the instance stays usable.
func TestOpenSSHDetach(t *testing.T) {
	t.Parallel()
	d := startSSHD(t, "127.0.0.1", nil)
	p := newPool(t, d.login, Options{})
	const n = 12
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs := make(chan error, n)
	line := "cd " + Quote(d.dir) + "; touch up.%[1]d; while [ ! -e go ]; do sleep 0.05; done; mv up.%[1]d done.%[1]d"
	for i := range n {
		go func() { errs <- p.Run(ctx, d.target, Command{Line: fmt.Sprintf(line, i)}) }()
	}
	count := func(pattern string) int {
		m, err := filepath.Glob(filepath.Join(d.dir, pattern))
		require.NoError(t, err)
		return len(m)
	}
	eventually(t, "all run", func() bool { return count("up.*") == n })
	cancel()
	for range n {
		require.ErrorIs(t, <-errs, context.Canceled)
	}
	// sshd counts the sessions until their processes end.
	for range 3 {
		require.NoError(t, p.Run(t.Context(), d.target, Command{Line: "true"}))
	}
	require.LessOrEqual(t, p.connections(), 2)
	p.Close()
	require.NoError(t, os.WriteFile(filepath.Join(d.dir, "go"), nil, 0o600))
	eventually(t, "all have gone on to their ends", func() bool { return count("done.*") == n })
}

func TestOpenSSHWithFewSessions(t *testing.T) {
	t.Parallel()
	d := startSSHD(t, "127.0.0.1", nil, "MaxSessions=2")
	p := newPool(t, d.login, Options{})
	const n = 11
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	errs := make(chan error, n)
	// All must run at once for any to end.
	line := fmt.Sprintf("cd %s; touch few.$$; until [ $(ls few.* | wc -l) = %d ]; do sleep 0.05; done", Quote(d.dir), n)
	for range n {
		go func() { errs <- p.Run(ctx, d.target, Command{Line: line}) }()
	}
	for range n {
		require.NoError(t, <-errs)
	}
}

func BenchmarkOpenSSH(b *testing.B) {
	d := startSSHD(b, "127.0.0.1", nil)
	benchmark(b, newPool(b, d.login, Options{}), d.target)
}

func BenchmarkInProcess(b *testing.B) {
	s := startServer(b, func(s *server) {
		s.exec = func(_ net.Conn, _ string, ch ssh.Channel) { sendStatus(ch, 0) }
	})
	benchmark(b, newPool(b, s.login, Options{}), s.target())
}

func benchmark(b *testing.B, p *Pool, t Target) {
	b.Run("kept", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, p.Run(b.Context(), t, Command{Line: "true"}))
		}
	})
	b.Run("fresh", func(b *testing.B) {
		for b.Loop() {
			p.Forget(t.Address)
			require.NoError(b, p.Run(b.Context(), t, Command{Line: "true"}))
		}
	})
}
