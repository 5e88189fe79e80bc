package local

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	handshakeTimeout = 30 * time.Second
	// maxSessions is how many sessions a connection has at a time, sshd's default.
	maxSessions = 10
)

// server is an instance's SSH server: one key may log in as one user, to run
// commands. It keeps sshd's limits, and its rules of what happens to a command whose
// session or connection is gone. That is why it is made from x/crypto/ssh and not
// from a ready-made server, which would hide the end of a session, have no timeout
// for the handshake and no exit signals.
type server struct {
	machine  *machine
	config   *ssh.ServerConfig
	listener net.Listener
}

func newServer(m *machine) (*server, error) {
	private, err := os.ReadFile(filepath.Join(m.directory, hostKeyFile))
	if err != nil {
		return nil, err
	}
	hostKey, err := ssh.ParsePrivateKey(private)
	if err != nil {
		return nil, err
	}
	authorized, _, _, _, err := ssh.ParseAuthorizedKey([]byte(m.record.AuthorizedKey))
	if err != nil {
		return nil, err
	}
	config := &ssh.ServerConfig{
		MaxAuthTries: 6,
		PublicKeyCallback: func(who ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if who.User() != m.record.User || !bytes.Equal(key.Marshal(), authorized.Marshal()) {
				return nil, errors.New("not authorized")
			}
			return nil, nil
		},
	}
	config.AddHostKey(hostKey)
	return &server{machine: m, config: config}, nil
}

// listen makes the server reachable, and returns its address.
func (s *server) listen() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s.listener = listener
	return listener.Addr().String(), nil
}

// serve answers until there is an error that does not pass.
func (s *server) serve() error {
	for {
		conn, err := s.listener.Accept()
		if err == nil {
			go s.handle(conn)
			continue
		}
		var passing interface{ Temporary() bool } // such as too many open files
		if !errors.As(err, &passing) || !passing.Temporary() {
			return err
		}
		s.machine.say("accept: %v", err)
		<-time.After(100 * time.Millisecond)
	}
}

// handle serves one connection.
func (s *server) handle(conn net.Conn) {
	// Without a deadline, who connects and says nothing would stay for ever.
	err := conn.SetDeadline(time.Now().Add(handshakeTimeout))
	var channels <-chan ssh.NewChannel
	var requests <-chan *ssh.Request
	if err == nil {
		_, channels, requests, err = ssh.NewServerConn(conn, s.config)
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		// Port scans and wrong keys: the client has been told, and there is no log.
		_ = conn.Close()
		return
	}
	go ssh.DiscardRequests(requests) // keepalives are answered, port forwarding is refused
	var sessions atomic.Int32
	for channel := range channels {
		if channel.ChannelType() != "session" {
			s.refuse(channel, ssh.UnknownChannelType, "only sessions")
			continue
		}
		if sessions.Add(1) > maxSessions {
			sessions.Add(-1)
			s.refuse(channel, ssh.ConnectionFailed, "open failed")
			continue
		}
		go func() {
			defer sessions.Add(-1)
			s.session(channel)
		}()
	}
}

func (s *server) refuse(channel ssh.NewChannel, reason ssh.RejectionReason, message string) {
	if err := channel.Reject(reason, message); err != nil {
		s.machine.say("refuse a channel: %v", err)
	}
}
