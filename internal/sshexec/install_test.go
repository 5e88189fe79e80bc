package sshexec

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// program returns a file of n bytes that don't compress.
func program(path string, n int, seed uint64) File {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	sum := sha256.Sum256(b)
	return File{Path: path, Mode: 0o755, Content: b, SHA256: hex.EncodeToString(sum[:])}
}

// names lists a directory, hidden files included.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// requireInstalled checks content, mode and that nothing else is in the directory.
func requireInstalled(t *testing.T, f File) {
	t.Helper()
	got, err := os.ReadFile(f.Path)
	require.NoError(t, err)
	require.True(t, string(got) == string(f.Content), "the content differs")
	info, err := os.Lstat(f.Path)
	require.NoError(t, err)
	require.Equal(t, f.Mode, info.Mode())
	require.Equal(t, []string{filepath.Base(f.Path)}, names(t, filepath.Dir(f.Path)))
}

func TestInstall(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := newPool(t, s.login, Options{})
	f := program(filepath.Join(t.TempDir(), "a dir's", "sub", "$run ner"), 400_000, 1)

	copied, err := p.Install(t.Context(), s.target(), f)
	require.NoError(t, err)
	require.True(t, copied)
	requireInstalled(t, f)
	info, err := os.Stat(filepath.Dir(f.Path))
	require.NoError(t, err)
	require.Equal(t, os.ModeDir|0o700, info.Mode())

	before := s.commands.Load()
	copied, err = p.Install(t.Context(), s.target(), f)
	require.NoError(t, err)
	require.False(t, copied)
	require.EqualValues(t, 1, s.commands.Load()-before, "one check")

	require.NoError(t, os.Chmod(f.Path, 0o600))
	copied, err = p.Install(t.Context(), s.target(), f)
	require.NoError(t, err)
	require.False(t, copied)
	requireInstalled(t, f)

	other := program(f.Path, 100, 2)
	copied, err = p.Install(t.Context(), s.target(), other)
	require.NoError(t, err)
	require.True(t, copied)
	requireInstalled(t, other)
}

func TestInstallReplacesASymlinkAndARunningProgram(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := newPool(t, s.login, Options{})
	dir := t.TempDir()
	f := program(filepath.Join(t.TempDir(), "runner"), 1000, 3)
	elsewhere := filepath.Join(dir, "elsewhere")
	require.NoError(t, os.WriteFile(elsewhere, f.Content, 0o600))
	require.NoError(t, os.Symlink(elsewhere, f.Path))
	copied, err := p.Install(t.Context(), s.target(), f)
	require.NoError(t, err)
	require.True(t, copied, "a symbolic link is no file of ours")
	requireInstalled(t, f)

	sleep, err := exec.LookPath("sleep")
	require.NoError(t, err)
	binary, err := os.ReadFile(sleep)
	require.NoError(t, err)
	running := filepath.Join(t.TempDir(), "runner")
	require.NoError(t, os.WriteFile(running, binary, 0o700))
	cmd := exec.Command(running, "60")
	require.NoError(t, cmd.Start())
	f.Path = running
	_, err = p.Install(t.Context(), s.target(), f)
	require.NoError(t, err)
	requireInstalled(t, f)
	require.NoError(t, cmd.Process.Kill(), "it still runs")
	require.EqualError(t, cmd.Wait(), "signal: killed")
}

func TestTruncatedInstallLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old string }{
		{"nothing there", ""},
		{"an old file there", "the old one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, nil)
			via := startProxy(t, s.target().Address)
			p := newPool(t, s.login, Options{})
			f := program(filepath.Join(t.TempDir(), "runner"), 500_000, 4)
			if c.old != "" {
				require.NoError(t, os.WriteFile(f.Path, []byte(c.old), 0o700))
			}
			require.NoError(t, p.Run(t.Context(), via.through(s.target()), Command{Line: "true"}))
			via.cutAfter(250_000)
			copied, err := p.Install(t.Context(), via.through(s.target()), f)
			var unknown *UnknownOutcomeError
			require.ErrorAs(t, err, &unknown)
			require.False(t, copied)
			eventually(t, "the temporary file is gone", func() bool {
				for _, n := range names(t, filepath.Dir(f.Path)) {
					if n != "runner" {
						return false
					}
				}
				return true
			})
			got, err := os.ReadFile(f.Path)
			if c.old == "" {
				require.ErrorIs(t, err, os.ErrNotExist)
			} else {
				require.NoError(t, err)
				require.Equal(t, c.old, string(got))
			}
			via.cutAfter(0)
			copied, err = p.Install(t.Context(), via.through(s.target()), f)
			require.NoError(t, err)
			require.True(t, copied)
			requireInstalled(t, f)
		})
	}
}

// TestReceiveVerifies gives the script itself streams that end early or are damaged.
func TestReceiveVerifies(t *testing.T) {
	t.Parallel()
	f := program("", 100_000, 5)
	var cache packed
	gz, err := cache.get(f)
	require.NoError(t, err)
	damaged := append([]byte("x"), f.Content[1:]...)
	for _, c := range []struct {
		name, how string
		stdin     []byte
		ok        bool
	}{
		{"plain", "plain", f.Content, true},
		{"gzip", "gzip", gz, true},
		{"empty", "plain", nil, false},
		{"plain cut", "plain", f.Content[:len(f.Content)-1], false},
		{"gzip empty", "gzip", nil, false},
		{"gzip cut", "gzip", gz[:len(gz)-1], false},
		{"damaged", "plain", damaged, false},
		{"longer", "plain", append(f.Content[:len(f.Content):len(f.Content)], 'x'), false},
	} {
		for _, shell := range shells(t) {
			t.Run(c.name+" "+filepath.Base(shell[0]), func(t *testing.T) {
				t.Parallel()
				f := f
				f.Path = filepath.Join(t.TempDir(), "runner")
				args := append(shell[1:len(shell):len(shell)], "-c", receive, "sh", f.Path, "0755", f.SHA256, c.how)
				cmd := exec.Command(shell[0], args...)
				cmd.Stdin = strings.NewReader(string(c.stdin))
				out, err := cmd.CombinedOutput()
				if c.ok {
					require.NoError(t, err, "%s", out)
					requireInstalled(t, f)
					return
				}
				require.Error(t, err)
				require.Empty(t, names(t, filepath.Dir(f.Path)))
			})
		}
	}
}

// shells returns the POSIX shells of this machine.
func shells(t *testing.T) [][]string {
	t.Helper()
	all := [][]string{{"sh"}}
	for _, s := range [][]string{{"bash", "--posix"}, {"busybox", "sh"}} {
		if _, err := exec.LookPath(s[0]); err == nil {
			all = append(all, s)
		}
	}
	return all
}

func TestInstallCleansUpAfterThoseWhoDied(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := newPool(t, s.login, Options{})
	f := program(filepath.Join(t.TempDir(), "runner"), 1000, 6)
	dead := exec.Command("true")
	require.NoError(t, dead.Run())
	living := exec.Command("sleep", "60")
	require.NoError(t, living.Start())
	t.Cleanup(func() {
		require.NoError(t, living.Process.Kill())
		require.Error(t, living.Wait())
	})
	file := func(cmd *exec.Cmd) string {
		name := filepath.Join(filepath.Dir(f.Path), ".install-"+strconv.Itoa(cmd.Process.Pid))
		require.NoError(t, os.WriteFile(name, []byte("half"), 0o600))
		return name
	}
	left, busy := file(dead), file(living)
	_, err := p.Install(t.Context(), s.target(), f)
	require.NoError(t, err)
	require.NoFileExists(t, left)
	require.FileExists(t, busy, "another worker's copy in progress")
}

func TestInstallsAtOnce(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := newPool(t, s.login, Options{})
	f := program(filepath.Join(t.TempDir(), "runner"), 200_000, 7)
	errs := make(chan error)
	for range 6 {
		go func() {
			_, err := p.Install(t.Context(), s.target(), f)
			errs <- err
		}()
	}
	for range 6 {
		require.NoError(t, <-errs)
	}
	requireInstalled(t, f)
}

func TestInstallRefuses(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := newPool(t, s.login, Options{})
	for _, path := range []string{"", "/", "runner", "/a/../b", "/a/"} {
		_, err := p.Install(t.Context(), s.target(), program(path, 10, 8))
		require.ErrorContains(t, err, "not an absolute path", path)
	}
	f := program(filepath.Join(t.TempDir(), "runner"), 10, 9)
	f.SHA256 = strings.Repeat("0", 64)
	_, err := p.Install(t.Context(), s.target(), f)
	require.ErrorContains(t, err, "the content's SHA-256 is")
	require.NoFileExists(t, f.Path)
	require.NoError(t, os.Mkdir(f.Path, 0o700))
	_, err = p.Install(t.Context(), s.target(), program(f.Path, 10, 9))
	var exit *ExitError
	require.ErrorAs(t, err, &exit, "a directory is in the way")
	require.Equal(t, []string{"runner"}, names(t, filepath.Dir(f.Path)))
}

func TestInstallThroughSudo(t *testing.T) {
	t.Parallel()
	lines := make(chan string, 2)
	s := startServer(t, func(s *server) {
		s.exec = func(_ net.Conn, line string, ch ssh.Channel) {
			lines <- line
			_, _ = io.WriteString(ch, "plain\n")
			_, _ = io.Copy(io.Discard, ch)
			sendStatus(ch, 0)
		}
	})
	f := program("/opt/runner", 10, 11)
	f.Sudo = true
	copied, err := newPool(t, s.login, Options{}).Install(t.Context(), s.target(), f)
	require.NoError(t, err)
	require.True(t, copied)
	require.True(t, strings.HasPrefix(<-lines, "sudo -n sh -c "))
	require.True(t, strings.HasPrefix(<-lines, "sudo -n sh -c "))
}
