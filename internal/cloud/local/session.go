package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// session is one command, or shell, and the SSH channel that it talks through.
//
// When the channel ends first, the command runs on: it finds its standard input at
// its end, and writes to its standard output and error fail. A command on a terminal
// gets SIGHUP. When the command ends first, its status is sent at once, and the
// channel is closed as soon as nothing holds its output open any more.
type session struct {
	machine *machine
	channel ssh.Channel
	tty     *terminal // nil: none was asked for
	pid     int       // 0: not started
	ours    []*os.File
	ended   <-chan syscall.WaitStatus
	pumps   sync.WaitGroup
}

// session serves one channel until it is closed.
func (s *server) session(offered ssh.NewChannel) {
	channel, requests, err := offered.Accept()
	if err != nil {
		return // the connection is gone
	}
	own := &session{machine: s.machine, channel: channel}
	for request := range requests {
		err := own.answer(request)
		if request.WantReply {
			// Fails only together with the channel, and then requests ends.
			_ = request.Reply(err == nil, nil)
		}
		switch starts := request.Type == "exec" || request.Type == "shell"; {
		case starts && err != nil:
			s.machine.say("%s: %v", request.Type, err)
			_ = channel.Close() // likewise
		case starts: // after the reply: the channel may be closed as soon as this begins
			own.pump()
			go own.finish()
		}
	}
	own.hangUp()
}

// answer does what a request asks for.
func (s *session) answer(request *ssh.Request) error {
	switch request.Type {
	case "exec":
		var payload struct{ Command string }
		if err := ssh.Unmarshal(request.Payload, &payload); err != nil {
			return err
		}
		return s.start([]string{"sh", "-c", payload.Command})
	case "shell":
		return s.start([]string{"-sh"})
	case "pty-req":
		if s.pid != 0 || s.tty != nil {
			return errors.New("too late for a terminal")
		}
		tty, err := openTerminal(request.Payload)
		if err != nil {
			return err
		}
		s.tty = tty
		s.ours = append(s.ours, tty.master)
		return nil
	case "window-change":
		if s.tty == nil {
			return errors.New("there is no terminal")
		}
		return s.tty.resize(request.Payload)
	case "signal":
		return s.signal(request.Payload)
	default: // env, x11-req, auth-agent-req, subsystem
		return fmt.Errorf("%s is not supported", request.Type)
	}
}

// start starts the command, with pipes or the terminal as its standard streams.
func (s *session) start(argv []string) error {
	if s.pid != 0 {
		return errors.New("a session runs one command")
	}
	attributes := &syscall.ProcAttr{
		Dir: s.machine.home(), Env: s.machine.environment(),
		Sys: &syscall.SysProcAttr{Setsid: true},
	}
	theirs, err := s.connect(attributes)
	if err == nil {
		s.pid, s.ended, err = s.machine.processes.start("/bin/sh", argv, attributes)
	}
	for _, f := range theirs {
		err = errors.Join(err, f.Close())
	}
	return err
}

// connect opens the command's streams: its ends, which are returned to be closed
// here, and in s.ours the others.
func (s *session) connect(attributes *syscall.ProcAttr) (theirs []*os.File, err error) {
	if s.tty != nil {
		slave, err := s.tty.openSlave()
		if err != nil {
			return nil, err
		}
		attributes.Files = []uintptr{slave.Fd(), slave.Fd(), slave.Fd()}
		attributes.Sys.Setctty = true
		attributes.Env = append(attributes.Env, "TERM="+s.tty.kind)
		return []*os.File{slave}, nil
	}
	for stream := range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			return theirs, err
		}
		if stream != 0 {
			r, w = w, r
		}
		theirs, s.ours = append(theirs, r), append(s.ours, w)
		attributes.Files = append(attributes.Files, r.Fd())
	}
	return theirs, nil
}

// pump copies between the channel and the command. An error of a copy is the end of
// one of its two sides, of which the other then hears.
func (s *session) pump() {
	stdin, stdout := s.ours[0], s.ours[0]
	if s.tty == nil {
		stdout = s.ours[1]
		s.pumps.Go(func() { drain(s.channel.Stderr(), s.ours[2]) })
	}
	s.pumps.Go(func() { drain(s.channel, stdout) })
	go func() {
		_, _ = io.Copy(stdin, s.channel)
		if s.tty == nil {
			_ = stdin.Close() // may be the second time
		}
	}()
}

// drain copies the command's output until its end. If the client is gone, the command
// hears of it by SIGPIPE.
func drain(to io.Writer, from *os.File) {
	_, _ = io.Copy(to, from)
	_ = from.Close() // may be the second time
}

// finish reports how the command ended, and closes the channel once all of its
// output is sent. The client may be gone by then: nothing in here can fail otherwise.
func (s *session) finish() {
	status := <-s.ended
	if status.Signaled() {
		_, _ = s.channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal          string
			CoreDumped      bool
			Error, Language string
		}{Signal: signalName(status.Signal()), CoreDumped: status.CoreDump()}))
	} else {
		_, _ = s.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status.ExitStatus())}))
	}
	s.pumps.Wait()
	_ = s.channel.CloseWrite()
	_ = s.channel.Close()
}

// hangUp lets go of the command.
func (s *session) hangUp() {
	for _, f := range s.ours {
		_ = f.Close() // may be the second time
	}
}

// signals are those that RFC 4254 has names for.
var signals = map[string]syscall.Signal{
	"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "FPE": syscall.SIGFPE,
	"HUP": syscall.SIGHUP, "ILL": syscall.SIGILL, "INT": syscall.SIGINT,
	"KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE, "QUIT": syscall.SIGQUIT,
	"SEGV": syscall.SIGSEGV, "TERM": syscall.SIGTERM,
	"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
}

func signalName(number syscall.Signal) string {
	for name, known := range signals {
		if known == number {
			return name
		}
	}
	return fmt.Sprintf("SIG%d@drover", int(number))
}

// signal sends a signal to the command's process group.
func (s *session) signal(payload []byte) error {
	var request struct{ Name string }
	if err := ssh.Unmarshal(payload, &request); err != nil {
		return err
	}
	number, known := signals[request.Name]
	if !known || s.pid == 0 {
		return fmt.Errorf("no command, or no signal %q", request.Name)
	}
	return s.machine.processes.signal(s.pid, number)
}
