package runner

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What the runner's exit status says.
const (
	ExitOK          = 0
	ExitFailed      = 1 // the call failed, with one line on stderr; kill: the container still runs
	ExitUsage       = 2 // the call makes no sense, and nothing was done; with one line on stderr
	ExitNoContainer = 4 // there is no such container, or (logs) its output has been forgotten
	ExitBegun       = 5 // revoke: the container has begun
	directoryEnv    = "DROVER_RUNNER_DIRECTORY"
	maxSpec         = 16 << 20
	contractVersion = 1
	noID            = " is no container ID; allowed: up to 128 of A-Z a-z 0-9 . _ ~ - that begin with a letter or digit"
	usageLine       = "usage: runner [--directory DIR] version | list | start ID | wait ID | logs ID [--follow] [--offset BYTES] | run ID [--offset BYTES] [--forget ID] [--after ID] | revoke ID | kill ID [--signal TERM] | forget ID"
)

// errStillRuns: kill has signalled the container, and it runs on.
var errStillRuns = errors.New("the container still runs")

// usageError is a call that makes no sense.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// Main is the runner: it does what args (without the program's name) ask for, and returns
// the exit status.
func Main(args []string, stdin io.Reader, stdout, stderr *os.File) int {
	err := run(args, stdin, stdout, stderr)
	var usage usageError
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, errReaderGone), errors.Is(err, errStillRuns):
		return ExitFailed
	case errors.As(err, &usage):
		fmt.Fprintln(stderr, "runner: "+clip(err.Error()))
		return ExitUsage
	}
	fmt.Fprintln(stderr, "runner: "+clip(err.Error()))
	if errors.Is(err, errBegun) {
		return ExitBegun
	}
	if errors.Is(err, errUnknownID) || errors.Is(err, errForgotten) {
		return ExitNoContainer
	}
	return ExitFailed
}

// call is a parsed command line.
type call struct {
	directory, name, id string
	follow              bool
	forget, after       []string
	offset              int64
	signal              unix.Signal
}

// options that each call takes; takesID tells whether it takes an ID.
var calls = map[string]struct {
	takesID bool
	options string
}{
	"version": {}, "list": {}, "start": {takesID: true}, "wait": {takesID: true}, "forget": {takesID: true},
	"logs": {true, "--follow --offset"}, "run": {true, "--offset --forget --after"}, "revoke": {takesID: true},
	"kill": {true, "--signal"}, superviseCall: {true, "--after"},
}

func parseCall(args []string) (call, error) {
	c := call{directory: os.Getenv(directoryEnv), signal: unix.SIGTERM}
	var words []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if !strings.HasPrefix(arg, "-") {
			words = append(words, arg)
			continue
		}
		name, value, inline := strings.Cut(arg, "=")
		if err := c.allow(name, words); err != nil {
			return c, err
		}
		if name == "--follow" && !inline {
			c.follow = true
			continue
		}
		if !inline {
			if len(args) == 0 {
				return c, usagef("%s needs a value", name)
			}
			value, args = args[0], args[1:]
		}
		if err := c.set(name, value); err != nil {
			return c, err
		}
	}
	return c, c.setWords(words)
}

// allow tells whether an option may stand after words.
func (c *call) allow(name string, words []string) error {
	if len(words) == 0 && name == "--directory" {
		return nil
	}
	if len(words) > 0 {
		for _, option := range strings.Fields(calls[words[0]].options) {
			if option == name {
				return nil
			}
		}
	}
	return usagef("unknown option %s; %s", name, usageLine)
}

func (c *call) set(name, value string) (err error) {
	switch name {
	case "--directory":
		c.directory = value
	case "--signal":
		if c.signal, err = parseSignal(value); err != nil {
			return usagef("--signal: %v", err)
		}
	case "--offset":
		if c.offset, err = strconv.ParseInt(value, 10, 64); err != nil || c.offset < 0 {
			return usagef("--offset %q is no number of bytes; allowed: 0 or more", value)
		}
	case "--forget":
		if c.forget = append(c.forget, value); !validID.MatchString(value) {
			return usagef("--forget %q%s", value, noID)
		}
	case "--after":
		if c.after = append(c.after, value); !validID.MatchString(value) {
			return usagef("--after %q%s", value, noID)
		}
	default:
		return usagef("%s takes no value", name)
	}
	return nil
}

func (c *call) setWords(words []string) error {
	if len(words) == 0 {
		return usagef("%s", usageLine)
	}
	c.name = words[0]
	known, ok := calls[c.name]
	if !ok {
		return usagef("unknown call %q; %s", c.name, usageLine)
	}
	if !known.takesID {
		if len(words) != 1 {
			return usagef("%s takes no arguments; %s", c.name, usageLine)
		}
		return nil
	}
	if len(words) != 2 {
		return usagef("%s takes one container ID; %s", c.name, usageLine)
	}
	c.id = words[1]
	if !validID.MatchString(c.id) {
		return usagef("%q%s", c.id, noID)
	}
	if slices.Contains(c.after, c.id) {
		return usagef("--after %q is the container itself; allowed: the IDs of others", c.id)
	}
	return nil
}

// openStore returns the state directory: by default the one that holds the runner.
func openStore(directory string) (store, error) {
	if directory == "" {
		self, err := os.Executable()
		if err != nil {
			return store{}, err
		}
		directory = filepath.Dir(self)
	}
	directory, err := filepath.Abs(directory)
	if err != nil {
		return store{}, err
	}
	// As processes see it, whose working directories are compared with it.
	if resolved, err := filepath.EvalSymlinks(directory); err == nil {
		directory = resolved
	}
	return store{root: directory}, nil
}

func run(args []string, stdin io.Reader, stdout, stderr *os.File) error {
	c, err := parseCall(args)
	if err != nil {
		return err
	}
	if c.name == "version" {
		_, err := fmt.Fprintf(stdout, "drover-runner contract %d %s/%s %s\n",
			contractVersion, runtime.GOOS, runtime.GOARCH, runtime.Version())
		return err
	}
	s, err := openStore(c.directory)
	if err != nil {
		return err
	}
	if err := s.do(c, stdin, stdout, stderr); err != nil {
		if c.id != "" && !errors.As(err, new(usageError)) {
			return fmt.Errorf("%s %s: %w", c.name, c.id, err)
		}
		return err
	}
	return nil
}

// do makes one call.
func (s store) do(c call, stdin io.Reader, stdout, stderr *os.File) error {
	switch c.name {
	case "list":
		return s.list(stdout)
	case "start":
		spec, err := readSpec(stdin)
		if err != nil {
			return err
		}
		return s.start(c.id, spec)
	case superviseCall:
		return s.supervise(c.id, c.after, stdin)
	case "run":
		return s.runAttached(c, stdin, stdout, stderr)
	case "revoke":
		return s.revoke(c.id)
	case "wait":
		return waitAndPrint(s, c.id, stdout)
	case "logs":
		return s.logs(stdout, c.id, c.offset, c.follow)
	case "kill":
		runs, err := s.kill(c.id, c.signal)
		if err == nil && runs {
			err = errStillRuns
		}
		return err
	default:
		return s.forget(c.id)
	}
}

// readSpec reads a spec and refuses one that makes no sense.
func readSpec(stdin io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(stdin, maxSpec+1))
	if err != nil {
		return nil, fmt.Errorf("read the spec: %w", err)
	}
	if len(data) > maxSpec {
		return nil, usagef("spec is larger than %d bytes", maxSpec)
	}
	if _, err := ParseSpec(data); err != nil {
		return nil, usageError{err.Error()}
	}
	return data, nil
}

// waitAndPrint waits for the container, or until nobody is there to be told.
func waitAndPrint(s store, id string, stdout *os.File) error {
	answer := make(chan error, 2)
	go func() { answer <- outletGone(stdout) }()
	go func() {
		res, err := s.wait(id)
		if err == nil {
			err = printResult(stdout, res)
		}
		answer <- err
	}()
	return <-answer
}
