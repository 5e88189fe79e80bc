package cloudtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"strconv"
	"testing"
	"time"

	"drover/internal/cloud"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

const dialTimeout = 10 * time.Second

// Keys are a host key and a login key, with their other halves.
type Keys struct {
	// Host and Authorized are what CreateRequest wants.
	Host, Authorized string

	hostKey ssh.PublicKey
	login   ssh.Signer
}

// NewKeys makes keys.
func NewKeys(t testing.TB) Keys {
	t.Helper()
	_, hostPrivate, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	block, err := ssh.MarshalPrivateKey(hostPrivate, "")
	require.NoError(t, err)
	host, err := ssh.NewSignerFromKey(hostPrivate)
	require.NoError(t, err)
	_, loginPrivate, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	login, err := ssh.NewSignerFromKey(loginPrivate)
	require.NoError(t, err)
	return Keys{
		Host:       string(pem.EncodeToMemory(block)),
		Authorized: string(ssh.MarshalAuthorizedKey(login.PublicKey())),
		hostKey:    host.PublicKey(),
		login:      login,
	}
}

// Dial logs in to an instance as that user, and accepts no host key but this one.
// The connection is closed when the test ends. Port is for when the instance says
// none.
func (k Keys) Dial(t *testing.T, instance cloud.Instance, user string, port int) (*ssh.Client, error) {
	t.Helper()
	if instance.Port != 0 {
		port = instance.Port
	}
	address := net.JoinHostPort(instance.Address, strconv.Itoa(port))
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() }) // may be closed already
	if err := conn.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return nil, err
	}
	sshConn, channels, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		User:              user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(k.login)},
		HostKeyCallback:   ssh.FixedHostKey(k.hostKey),
		HostKeyAlgorithms: []string{k.hostKey.Type()},
	})
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return ssh.NewClient(sshConn, channels, requests), nil
}

// Output runs a command and returns what it wrote to its standard output.
func Output(t *testing.T, client *ssh.Client, command string) string {
	t.Helper()
	session, err := client.NewSession()
	require.NoError(t, err)
	defer func() { _ = session.Close() }() // the command has ended, and closed it
	output, err := session.Output(command)
	require.NoError(t, err, command)
	return string(output)
}
