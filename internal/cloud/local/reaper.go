package local

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// reaper starts processes and reaps them, and with them the orphans that this
// process has adopted, as init does on a machine. Package os/exec can't be used
// beside it: the two would take each other's children.
type reaper struct {
	mu      sync.Mutex
	waiting map[int]chan<- syscall.WaitStatus
}

func newReaper() *reaper {
	r := &reaper{waiting: map[int]chan<- syscall.WaitStatus{}}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGCHLD)
	go func() {
		for range signals {
			r.reap()
		}
	}()
	return r
}

// start starts a process, and returns its ID and where its status comes once.
func (r *reaper) start(path string, argv []string, attributes *syscall.ProcAttr) (int, <-chan syscall.WaitStatus, error) {
	ended := make(chan syscall.WaitStatus, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, attributes)
	if err != nil {
		return 0, nil, err
	}
	r.waiting[pid] = ended
	return pid, ended, nil
}

// signal sends a signal to the process group of a process that start has started, if
// that process still runs.
func (r *reaper) signal(pid int, number syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, running := r.waiting[pid]; !running {
		return nil
	}
	return syscall.Kill(-pid, number)
}

// reap reaps all that has ended.
func (r *reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if ended, ours := r.waiting[pid]; ours {
			delete(r.waiting, pid)
			ended <- status
		}
	}
}
