package runner

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is one entry of the process table.
type process struct {
	pid, parent int
	started     string // in clock ticks since boot; with pid, it names a process for all time
}

// readProcess reads one entry; false when there is no such process.
func readProcess(pid int) (process, bool) {
	data, err := os.ReadFile(procPath(pid, "stat"))
	if err != nil {
		return process{}, false
	}
	// The name, in parentheses, may hold anything.
	_, rest, found := bytes.Cut(data[max(bytes.LastIndexByte(data, ')'), 0):], []byte(") "))
	fields := strings.Fields(string(rest))
	if !found || len(fields) < 20 {
		return process{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return process{}, false
	}
	return process{pid: pid, parent: parent, started: fields[19]}, true
}

func procPath(pid int, name string) string {
	return "/proc/" + strconv.Itoa(pid) + "/" + name
}

// allProcesses reads the process table, without this process.
func allProcesses() ([]process, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	if err := errors.Join(err, dir.Close()); err != nil {
		return nil, err
	}
	var all []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		if p, ok := readProcess(pid); ok {
			all = append(all, p)
		}
	}
	return all, nil
}

// descendants returns the processes below root, without root and this process. Some
// of them may be zombies: of a dead main thread only, and then signals matter to them.
func descendants(root int) ([]process, error) {
	all, err := allProcesses()
	if err != nil {
		return nil, err
	}
	below := map[int]bool{root: true}
	var found []process
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if below[p.parent] && !below[p.pid] {
				below[p.pid], grown = true, true
				found = append(found, p)
			}
		}
	}
	return found, nil
}

// signal sends a signal to exactly this process; to none if it has ended.
func (p process) signal(sig unix.Signal) error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil { // an old kernel
		err = unix.Kill(p.pid, sig)
	} else {
		// The number may have gone to another process before it was opened.
		if now, ok := readProcess(p.pid); ok && now.started == p.started {
			err = unix.PidfdSendSignal(fd, sig, nil, 0)
		}
		_ = unix.Close(fd) // nothing that could be lost
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send %s to process %d: %w", unix.SignalName(sig), p.pid, err)
	}
	return nil
}

// signalAll signals every one of them, and goes on after an error.
func signalAll(all []process, sig unix.Signal) error {
	var errs []error
	for _, p := range all {
		err := p.signal(sig)
		if err == nil && sig == unix.SIGTERM {
			err = p.signal(unix.SIGCONT) // a stopped process would not notice
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// hasLeftovers tells whether something of a container whose supervisor is gone still runs.
func (r record) hasLeftovers() (bool, error) {
	if locked, err := isLocked(r.path(heldFile)); locked || err != nil {
		return locked, err
	}
	m, err := r.meta()
	if err == nil && m.Spec.Engine != EngineProcess {
		if up, err := runsInEngine(r, m.Spec); up || err != nil {
			return up, err
		}
	}
	left, err := r.leftovers()
	return len(left) > 0, err
}

// leftovers finds the processes of a container by the marks that they inherited: the
// held lock's descriptor, the environment, the working directory. A process can
// shed any of them, hardly all three.
func (r record) leftovers() ([]process, error) {
	all, err := allProcesses()
	if err != nil {
		return nil, err
	}
	mark := []byte("\x00" + envDirectory + "=" + r.path(workDir) + "\x00")
	var left []process
	for _, p := range all {
		// A process that ends meanwhile, or that is not ours to look into, is none.
		env, _ := os.ReadFile(procPath(p.pid, "environ"))
		cwd, _ := os.Readlink(procPath(p.pid, "cwd"))
		if bytes.Contains(append([]byte{0}, env...), mark) || inside(cwd, r.dir) || holdsLock(p.pid, r.path(heldFile)) {
			left = append(left, p)
		}
	}
	return left, nil
}

func inside(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// holdsLock tells whether a process has inherited the held lock. (A call of the runner
// that only waits for the lock has it open under another number.)
func holdsLock(pid int, path string) bool {
	to, err := os.Readlink(procPath(pid, "fd/"+strconv.Itoa(heldFD)))
	return err == nil && to == path
}
