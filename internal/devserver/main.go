package devserver

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// stopTimeout bounds a clean stop. What is cut short is only waiting: every
// acknowledged write is in the database.
const stopTimeout = 1500 * time.Millisecond

const usageLine = "--ip ADDRESS, --port N, --ui-port N, --http-port N, --headless, --db-file FILE, --namespace NAME, " +
	"--log-level debug|info|warn|error, --exit-with-parent[=PID]"

// Started is the one line of JSON that the command prints once it serves.
type Started struct {
	// Address is the frontend's gRPC address, host:port.
	Address string `json:"address"`
	// UI is the Web UI's URL; absent when there is none.
	UI string `json:"ui,omitempty"`
}

// Main is the command: it runs a server until SIGTERM, SIGINT or, with
// --exit-with-parent, the parent's end, and returns the exit status: 0 after a
// stop, 1 for a failure, 2 for wrong usage.
func Main(args []string, stdout, stderr io.Writer) int {
	cmd, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "drover-devserver: %v\n", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if cmd.parent != 0 {
		var cancel context.CancelFunc
		ctx, cancel = whileParentLives(ctx, int(cmd.parent))
		defer cancel()
	}
	if err := run(ctx, cmd, stdout); err != nil {
		fmt.Fprintf(stderr, "drover-devserver: %v\n", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, cmd command, stdout io.Writer) error {
	s, err := Start(ctx, cmd.options)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	line := json.NewEncoder(stdout).Encode(Started{Address: s.Address(), UI: s.UI()})
	if line == nil {
		<-ctx.Done()
	}
	cmd.log.expectStop()
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := s.Stop(stopCtx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(line, err)
	}
	return line
}

// command is a parsed command line.
type command struct {
	options Options
	parent  parentFlag
	log     logLevel
}

func parse(args []string, stderr io.Writer) (command, error) {
	var c command
	var headless bool
	c.log.level = zap.NewAtomicLevelAt(zapcore.WarnLevel)
	f := flag.NewFlagSet("drover-devserver", flag.ContinueOnError)
	f.SetOutput(io.Discard) // what is wrong is one line, without the help
	f.Usage = func() {}
	f.StringVar(&c.options.IP, "ip", loopback, "`address` to listen on")
	f.IntVar(&c.options.Port, "port", 7233, "port of Temporal's frontend (gRPC); 0 chooses a free one")
	f.IntVar(&c.options.UIPort, "ui-port", 8233, "port of the Web UI; 0 chooses a free one, negative: no UI")
	f.BoolVar(&headless, "headless", false, "no Web UI")
	f.IntVar(&c.options.HTTPPort, "http-port", 0, "port of Temporal's HTTP API; 0: none")
	f.StringVar(&c.options.DBFile, "db-file", "", "SQLite `file` that keeps the data over restarts; without it data is kept in memory")
	f.Func("namespace", "`name` of a namespace to create unless it exists; can be repeated (default \"default\")", func(name string) error {
		if name == "" {
			return errors.New("a namespace needs a name")
		}
		if !slices.Contains(c.options.Namespaces, name) {
			c.options.Namespaces = append(c.options.Namespaces, name)
		}
		return nil
	})
	f.TextVar(&c.log.level, "log-level", c.log.level, "least `level` that is logged to stderr: debug, info, warn, error")
	f.Var(&c.parent, "exit-with-parent", "stop when the parent process ends; with =PID, also when it has ended before this started")
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(stderr, "Usage of drover-devserver:")
		f.SetOutput(stderr)
		f.PrintDefaults()
		return command{}, err
	case err != nil:
		return command{}, fmt.Errorf("%w; allowed: %s", err, usageLine)
	case f.NArg() > 0:
		return command{}, fmt.Errorf("unexpected argument %q; allowed: %s", f.Arg(0), usageLine)
	}
	if headless {
		c.options.UIPort = -1
	}
	if len(c.options.Namespaces) == 0 {
		c.options.Namespaces = []string{"default"}
	}
	c.options.Logger = newLogger(stderr, c.log.level)
	return c, nil
}

// parentFlag is the process to end with, 0 for none. Without a value it is the
// process that is the parent now.
type parentFlag int

// String shows the process ID.
func (p *parentFlag) String() string { return strconv.Itoa(int(*p)) }

// IsBoolFlag lets the flag stand without a value.
func (p *parentFlag) IsBoolFlag() bool { return true }

// Set takes a process ID, or true or false.
func (p *parentFlag) Set(value string) error {
	if pid, err := strconv.Atoi(value); err == nil && pid > 0 {
		*p = parentFlag(pid)
		return nil
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return errors.New("want a process ID, or nothing")
	}
	*p = 0
	if on {
		*p = parentFlag(os.Getppid())
	}
	return nil
}
