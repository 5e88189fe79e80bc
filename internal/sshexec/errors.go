package sshexec

import (
	"errors"
	"fmt"
	"strings"
)

// ErrClosed is wrapped by what Run returns on a pool that was closed.
var ErrClosed = errors.New("the connection pool is closed")

// ErrForgotten is wrapped by the errors of calls whose connection Forget closed.
var ErrForgotten = errors.New("the address was forgotten")

// Step says how far a connection came before it failed.
type Step string

// The steps of a connection, in their order.
const (
	StepTarget    Step = "target"    // the Target is incomplete: nothing was tried
	StepDial      Step = "dial"      // waiting for, or making, a TCP connection
	StepHandshake Step = "handshake" // the peer is silent, hung up, or no SSH server
	StepHostKey   Step = "host key"  // the peer has none of the target's host keys: it is somebody else
	StepAuth      Step = "auth"      // the peer is the right one and refused our key or user
	StepSession   Step = "session"   // logged in, but no session or no command could be started
)

// ConnectError says that a command was surely not started, so that it may be tried
// again, elsewhere too. After StepAuth wait at least 5 s before the next try:
// OpenSSH 9.8 and later lock out an address that fails a few times in a row.
type ConnectError struct {
	Address string
	Step    Step
	Err     error
}

// Error returns the address, the step and the cause.
func (e *ConnectError) Error() string {
	return fmt.Sprintf("ssh to %s: %s: %v", e.Address, e.Step, e.Err)
}

// Unwrap returns the cause.
func (e *ConnectError) Unwrap() error { return e.Err }

// FailedAt reports whether err says that a connection failed at that step.
func FailedAt(err error, step Step) bool {
	var e *ConnectError
	return errors.As(err, &e) && e.Step == step
}

// UnknownOutcomeError says that a command may have been started and that nothing is
// known of its end: the connection was lost, or the call was cancelled (then it
// wraps the context's error), or the local end of one of its streams failed. The
// command may be running still. It has not failed.
type UnknownOutcomeError struct {
	Address string
	Line    string
	Err     error
}

// Error returns the address, the command and what was lost.
func (e *UnknownOutcomeError) Error() string {
	return fmt.Sprintf("ssh to %s: outcome of %s unknown: %v", e.Address, brief(e.Line), e.Err)
}

// Unwrap returns what kept the outcome from being known.
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// ExitError says that a command ended with a status other than 0, or by a signal.
type ExitError struct {
	Line string
	// Status is the exit status, -1 when a signal ended the command.
	Status int
	// Signal is the signal's name without SIG, such as TERM. Empty: none. A shell
	// reports the death of its child as status 128+n instead.
	Signal string
	// Stderr is the end, at most 4 KiB, of what the command wrote to stderr.
	Stderr string
}

// Error returns the command, how it ended, and the end of its stderr.
func (e *ExitError) Error() string {
	end := fmt.Sprintf("exit status %d", e.Status)
	if e.Signal != "" {
		end = "signal " + e.Signal
	}
	if said := strings.TrimSpace(e.Stderr); said != "" {
		end += ": " + said
	}
	return fmt.Sprintf("%s: %s", brief(e.Line), end)
}

// brief returns a command for an error message.
func brief(line string) string {
	const most = 200
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "…"
	}
	return fmt.Sprintf("%q", line)
}
