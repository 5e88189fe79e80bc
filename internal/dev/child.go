package dev

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	shortestBackoff = 100 * time.Millisecond
	longestBackoff  = 5 * time.Second
	// steady is how long a child must live to be restarted without backoff.
	steady = 10 * time.Second
)

// child is a program that is kept running: whenever it dies, it is started again.
type child struct {
	name    string
	path    string
	args    func() []string // of its next start
	env     []string
	logFile string
	files   []*os.File // inherited
	forks   *forks
	// ready takes the first line that the program prints. It is called at each start.
	ready func(line string) error
	say   func(format string, values ...any)
	// grace is how long it may take to stop.
	grace time.Duration

	mu       sync.Mutex
	process  *os.Process // nil while it does not run
	stopping bool
	quit     chan struct{} // closed by stop
	done     chan struct{} // closed when it runs no more, for good
}

// start runs the program and returns when it is ready. From then on it is restarted
// when it dies. Before it is ready, its death is an error.
func (c *child) start(ctx context.Context) error {
	c.quit, c.done = make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go c.supervise(first)
	select {
	case err := <-first:
		return err
	case <-ctx.Done():
		return errors.Join(ctx.Err(), c.stop())
	}
}

// supervise runs the program again and again until stop is called.
func (c *child) supervise(first chan<- error) {
	defer close(c.done)
	delay := shortestBackoff
	for wasReady := false; ; {
		began := time.Now()
		err := c.run(func() {
			if !wasReady {
				wasReady = true
				first <- nil
			} else {
				c.say("%s works again", c.name)
			}
		})
		if c.isStopping() {
			return
		}
		if !wasReady {
			first <- fmt.Errorf("%s: %w%s", filepath.Base(c.path), err, c.lastWords())
			return
		}
		if time.Since(began) > steady {
			delay = shortestBackoff
		}
		c.say("%s ended (%v): restarting it; its log is %s", c.name, err, c.logFile)
		select {
		case <-c.quit:
			return
		case <-time.After(delay):
		}
		delay = min(2*delay, longestBackoff)
	}
}

// run runs the program once, to its end. Its end is an error.
func (c *child) run(ready func()) (err error) {
	log, err := os.OpenFile(c.logFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command(c.path, c.args()...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = c.env, w, log, c.files
	// A group of its own: a Ctrl-C is for drover dev, which stops them in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = c.launch(cmd)
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return errors.Join(err, r.Close())
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		c.listen(r, log, ready)
	}()
	err = cmd.Wait()
	c.mu.Lock()
	c.process = nil
	c.mu.Unlock()
	if closeErr := r.Close(); closeErr != nil && err == nil {
		err = closeErr
	}
	<-read
	if err == nil {
		err = errors.New("it stopped by itself")
	}
	return err
}

// launch starts the process, unless the child is to stop.
func (c *child) launch(cmd *exec.Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return context.Canceled
	}
	if err := c.forks.start(cmd); err != nil {
		return err
	}
	c.process = cmd.Process
	return nil
}

// listen reads what the program prints: one line says that it is ready, the rest
// goes to its log.
func (c *child) listen(r io.Reader, log io.Writer, ready func()) {
	lines := bufio.NewScanner(r)
	if lines.Scan() {
		if err := c.ready(lines.Text()); err != nil {
			c.say("%s: %v", c.name, err)
			c.signal(syscall.SIGKILL)
		} else {
			ready()
		}
	}
	for lines.Scan() {
		fmt.Fprintln(log, lines.Text())
	}
}

// stop ends the program for good: with SIGTERM, and with SIGKILL when that takes
// longer than its grace. It may be called more than once.
func (c *child) stop() error {
	c.mu.Lock()
	if !c.stopping {
		c.stopping = true
		close(c.quit)
	}
	c.mu.Unlock()
	c.signal(syscall.SIGTERM)
	timer := time.NewTimer(c.grace)
	defer timer.Stop()
	select {
	case <-c.done:
		return nil
	case <-timer.C:
	}
	c.signal(syscall.SIGKILL)
	<-c.done
	return fmt.Errorf("%s did not stop within %v and was killed; its log is %s", c.name, c.grace, c.logFile)
}

// kill ends the program at once, for good.
func (c *child) kill() {
	c.mu.Lock()
	if !c.stopping {
		c.stopping = true
		close(c.quit)
	}
	c.mu.Unlock()
	c.signal(syscall.SIGKILL)
}

func (c *child) isStopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping
}

// signal sends a signal to the process, if it runs.
func (c *child) signal(sig syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		return
	}
	if err := c.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.say("%s: %v: %v", c.name, sig, err)
	}
}

// lastWords returns the last line of the log, which says why it did not start.
func (c *child) lastWords() string {
	data, err := os.ReadFile(c.logFile)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return ": " + last
	}
	return ""
}

// forks starts processes from one thread that lives as long as this process: the
// kernel tells a child of its parent's end when the thread that started it ends.
type forks struct{ calls chan func() }

func newForks() *forks {
	f := &forks{calls: make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked
		for call := range f.calls {
			call()
		}
	}()
	return f
}

func (f *forks) start(cmd *exec.Cmd) error {
	result := make(chan error)
	f.calls <- func() { result <- cmd.Start() }
	return <-result
}
