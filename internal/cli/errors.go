package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"drover/internal/connect"
	"drover/internal/usage"
)

// The exit statuses of drover itself.
const (
	ExitFailure     = 1
	ExitUsage       = usage.ExitStatus
	ExitInterrupted = 130 // 128 + SIGINT
)

// UsageError is a wrong command line: exit status 2.
type UsageError = usage.Error

// Usagef returns a UsageError.
func Usagef(format string, values ...any) error { return usage.Errorf(format, values...) }

// ExitError ends drover with a certain exit status, that of a container for example.
type ExitError struct {
	Code int
	// Err is said on stderr. Nil: nothing is.
	Err error
}

// Error is the cause's text.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap gives the cause.
func (e *ExitError) Unwrap() error { return e.Err }

// Report says an error on w in one line, and returns the exit status for it: 0 for
// nil.
func Report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	code := ExitFailure
	var wrong *UsageError
	var exit *ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.Code
		if exit.Err == nil {
			return code
		}
	case errors.As(err, &wrong):
		code = ExitUsage
	}
	fmt.Fprintf(w, "drover: %s\n", OneLine(err.Error()))
	return code
}

// OneLine makes one line of any text.
func OneLine(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	kept := lines[:0]
	for _, line := range lines {
		if line = strings.TrimSpace(line); line != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "; ")
}

// reason returns what an error of Temporal's client says to a person, without the
// layers around it.
func reason(err error) string {
	var application *temporal.ApplicationError
	var cancelled *temporal.CanceledError
	var terminated *temporal.TerminatedError
	var timeout *temporal.TimeoutError
	var precondition *serviceerror.FailedPrecondition
	var unavailable *serviceerror.Unavailable
	var late *serviceerror.DeadlineExceeded
	var namespace *serviceerror.NamespaceNotFound
	switch {
	case errors.As(err, &application):
		return OneLine(application.Message())
	case errors.As(err, &cancelled):
		return "was cancelled"
	case errors.As(err, &terminated):
		return "its workflow was terminated"
	case errors.As(err, &timeout):
		return "its workflow timed out"
	case errors.As(err, &namespace):
		return (&connect.NamespaceError{Name: namespace.Namespace}).Error()
	case errors.As(err, &precondition) && strings.Contains(err.Error(), "poller"):
		return "no worker answers: start one with `drover-worker`, and see that it uses the same task queue and namespace"
	case errors.As(err, &late), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time: is a worker running?"
	case errors.As(err, &unavailable):
		return "Temporal does not answer: " + OneLine(err.Error())
	}
	return OneLine(err.Error())
}

// isNotFound reports whether Temporal knows no such workflow, or none that runs.
func isNotFound(err error) bool {
	var missing *serviceerror.NotFound
	return errors.As(err, &missing)
}
