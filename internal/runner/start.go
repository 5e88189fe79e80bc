package runner

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// superviseCall is the call by which `start` makes the runner a supervisor: the spec
// is on its standard input, and what became of the start goes to descriptor reportFD.
const superviseCall = "supervise"

const (
	reportFD      = 3
	reportStarted = "started"
	reportTaken   = "taken"
)

// start has a container started, unless it is on record already.
func (s store) start(id string, spec []byte) error {
	bell, err := s.launch(id, spec, nil)
	if err != nil || bell == nil {
		return err
	}
	return bell.Close()
}

// launch is start of a container that waits for one of others to end, if there are any. It
// returns the reading end of the bell of the supervisor that it has started, or nil when
// the container was on record already.
func (s store) launch(id string, spec []byte, after []string) (*os.File, error) {
	if state, err := s.record(id).state(); err != nil {
		return nil, err
	} else if state != unknown {
		return nil, syncDir(s.containers())
	}
	complain(s.sweep(time.Now()))
	report, bell, err := s.spawnSupervisor(id, spec, after)
	switch {
	case err != nil:
		err = fmt.Errorf("supervisor: %w", err)
	case report == reportStarted:
		return bell, nil
	case report == reportTaken:
	case report == "":
		err = errors.New("the supervisor ended before it had the container on record")
	default:
		err = errors.New(report)
	}
	if bell != nil {
		err = errors.Join(err, bell.Close())
	}
	return nil, err
}

// spawnSupervisor starts a supervisor that outlives this process and its session, and
// returns what it reports, and what it reports with.
func (s store) spawnSupervisor(id string, spec []byte, after []string) (string, *os.File, error) {
	if err := closeOnExec(); err != nil {
		return "", nil, err
	}
	specR, specW, err := os.Pipe()
	if err != nil {
		return "", nil, err
	}
	defer release(specW)
	reportR, reportW, err := os.Pipe()
	if err != nil {
		return "", nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return "", reportR, err
	}
	defer release(null)
	args := []string{os.Args[0], "--directory", s.root, superviseCall, id}
	for _, other := range after {
		args = append(args, "--after", other)
	}
	p, err := os.StartProcess("/proc/self/exe", args,
		&os.ProcAttr{Dir: "/", Env: os.Environ(), Files: []*os.File{specR, null, null, reportW},
			Sys: &syscall.SysProcAttr{Setsid: true}})
	if err := errors.Join(err, specR.Close(), reportW.Close()); err != nil {
		return "", reportR, err
	}
	atPoint("start/spawned")
	_, err = specW.Write(spec)
	if err := errors.Join(err, specW.Close(), p.Release()); err != nil {
		return "", reportR, err
	}
	report, err := bufio.NewReader(reportR).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil // an empty report says it
	}
	return strings.TrimSpace(report), reportR, err
}

// closeOnExec keeps descriptors that this process inherited from its children: a
// supervisor would hold them for as long as its container runs.
func closeOnExec() error {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	if err := errors.Join(err, dir.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// supervise is the life of a supervisor process.
func (s store) supervise(id string, after []string, stdin io.Reader) error {
	report := os.NewFile(reportFD, "report")
	defer release(report)
	// An end of the session or of the machine is for the container to notice; this
	// process has its result to record. One that still waits does not begin then. (Caught, not ignored: that would be inherited.)
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM,
		unix.SIGPIPE, unix.SIGALRM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU)
	sup, lock, err := s.commit(id, after, stdin)
	if lock == nil {
		if errors.Is(err, errTaken) {
			_, err = fmt.Fprintln(report, reportTaken)
			return err
		}
		_, reportErr := fmt.Fprintln(report, clip(err.Error()))
		return errors.Join(err, reportErr)
	}
	atPoint("supervise/committed")
	if err == nil {
		err = redirectErrors(sup.rec)
	}
	if err != nil { // on record, but not safely: the container must not run
		_, reportErr := fmt.Fprintln(report, clip(err.Error()))
		now := time.Now().UTC()
		res := storedResult{Result: Result{ExitCode: ExitUnknown, StartedAt: now, FinishedAt: now, Error: err.Error()}}
		return errors.Join(reportErr, sup.finish(res, lock))
	}
	// Whether anyone still listens does not matter: the container is on record.
	_, _ = fmt.Fprintln(report, reportStarted)
	sup.bell = newBell(report)
	return sup.finish(sup.runInTurn(s), lock)
}

// commit reads the spec and puts the container on record.
func (s store) commit(id string, after []string, stdin io.Reader) (*supervisor, *os.File, error) {
	data, err := io.ReadAll(stdin)
	if err != nil {
		return nil, nil, err
	}
	spec, err := ParseSpec(data)
	if err != nil {
		return nil, nil, err
	}
	sup := &supervisor{rec: s.record(id), spec: spec}
	lock, err := s.create(id, func(dir string) error {
		m := meta{Spec: spec, CreatedAt: time.Now().UTC(), Supervisor: os.Getpid(), After: after}
		if sup.turn, err = takeTurn(dir, &m); err != nil {
			return err
		}
		if err := fillStart(dir, m); err != nil {
			return err
		}
		sup.out, err = openOutput(dir, spec.OutputLimit)
		return err
	})
	if sup.out != nil {
		sup.out.tail.path = sup.rec.path(tailFile) // the record has moved since
	}
	return sup, lock, err
}

// redirectErrors has what the supervisor itself says, should it crash, in the record.
func redirectErrors(rec record) error {
	f, err := os.OpenFile(rec.path(panicFile), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	return errors.Join(unix.Dup3(int(f.Fd()), 2, 0), f.Close())
}

const (
	recordRetry  = time.Second
	recordGiveUp = time.Minute
)

// finish records the result, lets go of the lock, and clears up.
func (s *supervisor) finish(res storedResult, lock *os.File) error {
	err := s.rec.writeResult(res)
	if err != nil {
		// What the container leaves is no longer of use, its result is: make room.
		err = errors.Join(err, removeAll(s.rec.path(workDir)))
	}
	for until := time.Now().Add(recordGiveUp); err != nil && time.Now().Before(until); {
		time.Sleep(recordRetry) // nothing tells when a disk works again
		err = s.rec.writeResult(res)
	}
	if err := errors.Join(err, lock.Close()); err != nil {
		return err
	}
	s.bell.ring()
	atPoint("supervise/released")
	return removeAll(s.rec.path(workDir))
}
