package runner

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// heldFD is the descriptor of the held lock in the container: high, because scripts
	// use the low ones for themselves.
	heldFD = 97
	// pipeSize lets a container write this much before it has to wait for the supervisor.
	pipeSize = 256 << 10
	// supervisorOOMScore keeps the kernel from choosing the supervisor when a container
	// has used up the memory.
	supervisorOOMScore = "-900"
)

// killAfter is the time between SIGTERM and SIGKILL of a container that timed out.
// Tests shorten it.
var killAfter = 10 * time.Second

// supervisor runs one container to its end.
type supervisor struct {
	rec      record
	spec     Spec
	out      *output
	bell     *bell
	turn     turn
	timedOut atomic.Bool
}

// run starts the container, waits for it, ends what it leaves behind, and returns its
// result. All its output is on disk then.
func (s *supervisor) run() storedResult {
	res := Result{ExitCode: ExitUnknown, StartedAt: time.Now().UTC()}
	code, err := s.runCommand()
	if cmdErr := (*commandError)(nil); errors.As(err, &cmdErr) {
		s.out.write([]byte("drover: " + cmdErr.Error() + "\n"))
		code, err = cmdErr.exitCode(), nil
	}
	missing, closeErr := s.out.close()
	res.ExitCode, res.FinishedAt = code, time.Now().UTC()
	switch {
	case err != nil:
		res.Error = err.Error()
	case s.timedOut.Load():
		res.Error = "timed out after " + s.spec.Timeout
	case closeErr != nil && missing == 0:
		// The exit code stands; that the output did not reach the disk must be known.
		res.Error = "output may be incomplete: " + closeErr.Error()
	}
	return storedResult{Result: res, LostOutput: missing}
}

// runCommand runs the container's program and returns its exit code.
func (s *supervisor) runCommand() (int, error) {
	prog, err := s.program()
	if err != nil {
		return ExitUnknown, err
	}
	// Orphans of the container become children of this process.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return ExitUnknown, fmt.Errorf("become subreaper: %w", err)
	}
	collect, pid, err := s.launch(prog)
	if err != nil {
		return ExitUnknown, err
	}
	atPoint("supervise/launched")
	stopClock, err := s.startClock()
	if err != nil {
		return ExitUnknown, err
	}
	status, err := awaitChild(pid)
	stopClock()
	if err != nil {
		return ExitUnknown, err
	}
	atPoint("supervise/exited")
	code, outcomeErr := s.outcome(status)
	err = endDescendants()
	// Whoever could write is gone: what is in the pipe is all there will be.
	return code, errors.Join(outcomeErr, err, collect())
}

func (s *supervisor) program() (program, error) {
	if s.spec.Engine == EngineProcess {
		return processProgram(s.rec, s.spec)
	}
	return engineProgram(s.rec, s.spec)
}

// launch starts the program. Its output is collected from then on; collect gathers what
// is left of it once no process of the container lives any more.
func (s *supervisor) launch(prog program) (collect func() error, pid int, err error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, 0, fmt.Errorf("output pipe: %w", err)
	}
	_, _ = unix.FcntlInt(uintptr(pipe[0]), unix.F_SETPIPE_SZ, pipeSize) // refused: stays at 64 KiB
	if err := unix.SetNonblock(pipe[0], true); err != nil {
		return nil, 0, fmt.Errorf("output pipe: %w", err)
	}
	r, w := os.NewFile(uintptr(pipe[0]), "output pipe"), os.NewFile(uintptr(pipe[1]), "output pipe")
	defer release(w)
	pid, err = s.fork(prog, w)
	if err != nil {
		return nil, 0, errors.Join(err, r.Close())
	}
	// Only now: the container would have inherited it. Refused unless root.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(supervisorOOMScore), 0)
	return s.collectFrom(r, pipe[0]), pid, nil
}

// fork executes the program in a session of its own, with the held lock open.
func (s *supervisor) fork(prog program, out *os.File) (int, error) {
	held, err := takeLock(s.rec.path(heldFile), unix.LOCK_NB)
	if err != nil {
		return 0, err
	}
	defer release(held)
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer release(null)
	files := make([]uintptr, heldFD+1)
	for i := range files {
		files[i] = ^uintptr(0) // closed in the child
	}
	files[0], files[1], files[2], files[heldFD] = null.Fd(), out.Fd(), out.Fd(), held.Fd()
	pid, err := syscall.ForkExec(prog.path, prog.args, &syscall.ProcAttr{
		Dir: prog.dir, Env: prog.env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, asCommandError(prog.args[0], err)
	}
	return pid, nil
}

// collectFrom copies the pipe to the output until it is closed. The function that it
// returns ends that when some process unrelated to the container keeps the pipe open.
func (s *supervisor) collectFrom(r *os.File, fd int) func() error {
	done := make(chan error, 1)
	buf := make([]byte, pipeSize)
	go func() {
		for {
			n, err := r.Read(buf)
			s.out.write(buf[:n])
			s.bell.ring()
			if err != nil {
				done <- err
				return
			}
		}
	}()
	return func() error {
		if err := r.SetReadDeadline(time.Now()); err != nil {
			return err
		}
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
			return r.Close() // it was read to its end
		}
		for {
			n, err := unix.Read(fd, buf)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if n <= 0 {
				return r.Close() // empty, or at its end
			}
			s.out.write(buf[:n])
		}
	}
}

// startClock ends the container when its time is over; the function that it returns
// stops that.
func (s *supervisor) startClock() (stop func(), err error) {
	limit, err := s.spec.timeout()
	if err != nil || limit == 0 {
		return func() {}, err
	}
	over := make(chan struct{})
	go func() {
		for _, step := range []struct {
			after time.Duration
			sig   unix.Signal
		}{{limit, unix.SIGTERM}, {killAfter, unix.SIGKILL}} {
			select {
			case <-over:
				return
			case <-time.After(step.after):
			}
			s.timedOut.Store(true)
			s.signal(step.sig)
		}
	}()
	return func() { close(over) }, nil
}

// signal signals the container from within its supervisor.
func (s *supervisor) signal(sig unix.Signal) {
	if s.spec.Engine != EngineProcess && signalEngineUnawaited(s.rec, s.spec, sig) {
		return
	}
	all, err := descendants(os.Getpid())
	if err == nil {
		err = signalAll(all, sig)
	}
	complain(err)
}

// complain notes an error that stops nothing in the supervisor's log.
func complain(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", time.Now().Format(time.RFC3339), err)
	}
}

// awaitChild reaps whatever dies until pid does.
func awaitChild(pid int) (syscall.WaitStatus, error) {
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for the container: %w", err)
		case got == pid && (status.Exited() || status.Signaled()):
			return status, nil
		}
	}
}

// endDescendants kills everything below this process and returns when nothing is left.
func endDescendants() error {
	for how := syscall.WNOHANG; ; {
		_, err := syscall.Wait4(-1, nil, how, nil)
		if errors.Is(err, syscall.ECHILD) {
			return nil
		}
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("wait for what the container left: %w", err)
		}
		left, err := descendants(os.Getpid())
		if err != nil {
			return err
		}
		// What cannot be killed is waited for: as long as it runs, so does the container.
		complain(signalAll(left, unix.SIGKILL))
		how = 0 // something was just killed, so that one of our children will end
	}
}

// exitCode is a wait status in one number, as shells have it.
func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
