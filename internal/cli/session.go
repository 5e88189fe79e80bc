// Package cli is what the drover command does, apart from its flags: it asks Temporal
// and drover's workflows, and shows what they say.
package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"drover/internal/connect"
)

// queryTimeout bounds how long a workflow may take to answer.
const queryTimeout = 5 * time.Second

// concurrency is how many workflows are asked at once.
const concurrency = 32

// Session is one use of the command: a connection to Temporal, and where things are
// shown. Its methods may be called concurrently.
type Session struct {
	Client    client.Client
	Namespace string
	TaskQueue string
	Print     *Printer
}

// Settings are the flags that all commands have.
type Settings struct {
	connect.Options
	TaskQueue string
	// Format is "table" or "json".
	Format string
}

// Open connects to Temporal.
func Open(ctx context.Context, s Settings, stdout, stderr io.Writer) (*Session, error) {
	printer, err := NewPrinter(s.Format, stdout, stderr)
	if err != nil {
		return nil, err
	}
	s.Logger = Quiet()
	c, options, err := connect.Dial(ctx, s.Options)
	if err != nil {
		return nil, err
	}
	return &Session{Client: c, Namespace: options.Namespace, TaskQueue: s.TaskQueue, Print: printer}, nil
}

// Close ends the connection.
func (s *Session) Close() { s.Client.Close() }

// Quiet returns a logger for Temporal's client that says nothing: what goes wrong is
// in the errors.
func Quiet() log.Logger { return log.NewStructuredLogger(slog.New(slog.DiscardHandler)) }

// query asks a workflow, and decodes its answer into answer.
func (s *Session) query(ctx context.Context, workflowID, runID, name string, answer any, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	value, err := s.Client.QueryWorkflow(ctx, workflowID, runID, name, args...)
	if err != nil {
		return err
	}
	return value.Get(answer)
}

// By returns who uses the command, as user@host.
func By() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("%s@%s", name, host)
}
