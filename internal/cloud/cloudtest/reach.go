package cloudtest

import (
	"io"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// login creates an instance and logs in to it.
func (s *suite) login(init string) (name string, client *ssh.Client) {
	s.t.Helper()
	if s.Unreachable { // an API alone, as of a provider that tests only imitate; the local driver's can
		s.t.Skip("this provider's instances can't be reached")
	}
	req := s.request()
	req.InitCommand = init
	s.create(s.Driver, req)
	s.awaitRunning(req.Name)
	// A provider may say running, or give the address, before SSH answers.
	s.eventually("SSH answers", func() bool {
		instance, err := s.Driver.Get(s.t.Context(), req.Name)
		if err != nil {
			return false
		}
		client, err = s.keys.Dial(s.t, instance, s.User, s.Port)
		return err == nil
	})
	return req.Name, client
}

func answersSSH(s *suite) {
	_, client := s.login("")
	// Dial accepts the delivered host key only.
	assert.Equal(s.t, "hello\n", Output(s.t, client, "echo hello"))
	session, err := client.NewSession()
	require.NoError(s.t, err)
	session.Stdin = strings.NewReader("in")
	var stdout, stderr strings.Builder
	session.Stdout, session.Stderr = &stdout, &stderr
	err = session.Run("cat; echo out; echo err >&2; exit 7")
	var exit *ssh.ExitError
	require.ErrorAs(s.t, err, &exit)
	assert.Equal(s.t, 7, exit.ExitStatus())
	assert.Equal(s.t, "inout\n", stdout.String())
	assert.Equal(s.t, "err\n", stderr.String())
}

func letsNobodyElseIn(s *suite) {
	name, _ := s.login("")
	instance, err := s.Driver.Get(s.t.Context(), name)
	require.NoError(s.t, err)
	stranger := NewKeys(s.t)
	_, err = stranger.Dial(s.t, instance, s.User, s.Port)
	require.ErrorContains(s.t, err, "host key mismatch")
	stranger.hostKey = s.keys.hostKey
	_, err = stranger.Dial(s.t, instance, s.User, s.Port)
	require.ErrorContains(s.t, err, "unable to authenticate")
	_, err = s.keys.Dial(s.t, instance, "nobody", s.Port)
	require.ErrorContains(s.t, err, "unable to authenticate")
}

func initCommand(s *suite) {
	_, client := s.login(`echo once >> "${HOME:-/root}/init-ran"; exit 3`)
	assert.Equal(s.t, "once\n", Output(s.t, client, "cat ~/init-ran"))
}

func destroyEndsSSH(s *suite) {
	name, client := s.login("")
	session, err := client.NewSession()
	require.NoError(s.t, err)
	output, err := session.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, session.Start("echo up; sleep 1000"))
	up := make([]byte, 3)
	_, err = io.ReadFull(output, up)
	require.NoError(s.t, err)
	require.NoError(s.t, s.Driver.Destroy(s.t.Context(), name))
	s.awaitEnd(s.Driver, name)
	require.Error(s.t, session.Wait())
	instance, err := s.Driver.Get(s.t.Context(), name)
	if err == nil {
		assert.Empty(s.t, instance.Address)
	}
}
