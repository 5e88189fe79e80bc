package sshexec

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"drover/internal/realparts"
)

func TestUserTimeoutIsSet(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := newPool(t, s.login, Options{})
	c, err := p.acquire(t.Context(), s.target())
	require.NoError(t, err)
	defer c.leave()
	defer c.vacate() // first, as a session does
	raw, err := c.wire.Conn.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	option := func(level, name int) (v int) {
		var optErr error
		require.NoError(t, raw.Control(func(fd uintptr) { v, optErr = unix.GetsockoptInt(int(fd), level, name) }))
		require.NoError(t, optErr)
		return v
	}
	require.Equal(t, 10_000, option(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT))
	require.NotZero(t, option(unix.IPPROTO_TCP, unix.TCP_NODELAY))
}

// namespace is a machine of its own on the network, as far as one can reach it.
type namespace struct{ name, address string }

func (n namespace) ip(t *testing.T, words ...string) {
	t.Helper()
	out, err := exec.Command("ip", words...).CombinedOutput()
	require.NoError(t, err, "ip %v: %s", words, out)
}

func newNamespace(t *testing.T) namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		realparts.Missing(t, "needs root, for a network namespace")
	}
	needs(t, "ip", "iproute2")
	needs(t, "nsenter", "util-linux")
	needs(t, "iptables", "iptables")
	id := os.Getpid() % 16000
	n := namespace{name: fmt.Sprintf("sshexec%d", id)}
	subnet := fmt.Sprintf("10.98.%d.%%d/30", id/64)
	ours, theirs := fmt.Sprintf(subnet, id%64*4+1), fmt.Sprintf(subnet, id%64*4+2)
	n.address = theirs[:len(theirs)-len("/30")]
	n.ip(t, "netns", "add", n.name)
	t.Cleanup(func() { n.ip(t, "netns", "del", n.name) })
	link := fmt.Sprintf("dsx%d", id)
	n.ip(t, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", n.name)
	// The namespace itself stays as long as an sshd is in it.
	t.Cleanup(func() { n.ip(t, "link", "del", link) })
	n.ip(t, "addr", "add", ours, "dev", link)
	n.ip(t, "link", "set", link, "up")
	n.ip(t, "-n", n.name, "addr", "add", theirs, "dev", "eth0")
	n.ip(t, "-n", n.name, "link", "set", "eth0", "up")
	n.ip(t, "-n", n.name, "link", "set", "lo", "up")
	return n
}

// inside returns the words that run a command in the namespace.
func (n namespace) inside() []string { return []string{"nsenter", "--net=/run/netns/" + n.name, "--"} }

// TestUnacknowledgedDataEndsTheConnection has a peer that is really gone: no packet
// comes back. The keepalive, at its 1 h, has no part in it.
func TestUnacknowledgedDataEndsTheConnection(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	d := startSSHD(t, n.address, n.inside(),
		"ClientAliveInterval=2", "ClientAliveCountMax=1") // so that it, too, ends
	p := newPool(t, d.login, Options{Keepalive: time.Hour, DialTimeout: 2 * time.Second})
	require.NoError(t, p.Run(t.Context(), d.target, Command{Line: "true"}))
	drop := append(n.inside(), "iptables", "-A", "INPUT", "-i", "eth0", "-j", "DROP")
	out, err := exec.Command(drop[0], drop[1:]...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	began := time.Now()
	err = p.Run(t.Context(), d.target, Command{Line: "true"})
	require.True(t, FailedAt(err, StepDial), "given up, and then nobody was there: %v", err)
	require.Greater(t, time.Since(began), 9*time.Second)
	require.Less(t, time.Since(began), 30*time.Second)
	t.Logf("noticed after %v", time.Since(began))
}
