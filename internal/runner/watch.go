package runner

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pollInterval is how often to look where the kernel gives no notice: its
	// inotify instances are few (128 per user).
	pollInterval = 40 * time.Millisecond
	// safetyInterval is how often to look even so.
	safetyInterval = time.Second
)

// watcher waits for changes of a record: output, a result, the end of a supervisor.
type watcher struct {
	fd      int // of inotify, or of a bell; -1: there is none
	outlet  int // a descriptor whose reader may go away; -1: none
	pollers []unix.PollFd
}

// errReaderGone: whoever read our output has closed it.
var errReaderGone = errors.New("nobody reads the output any more")

// newWatcher watches a record from now on. When outlet is not nil, wait also returns
// when its reading end is closed, with errReaderGone.
func newWatcher(rec record, outlet *os.File) *watcher {
	w := &watcher{fd: -1, outlet: -1}
	if fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err == nil {
		// CLOSE_WRITE: the supervisor's lock file was closed, by whatever ended it.
		const events = unix.IN_MODIFY | unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE | unix.IN_ONLYDIR
		if _, err := unix.InotifyAddWatch(fd, rec.dir, events); err == nil {
			w.fd = fd
		} else {
			_ = unix.Close(fd) // nothing was read from it or written to it
		}
	}
	return w.until(outlet)
}

// listen is newWatcher for the call that has started the supervisor, and hears its bell.
func listen(bell, outlet *os.File) *watcher {
	w := &watcher{fd: int(bell.Fd()), outlet: -1}
	if err := unix.SetNonblock(w.fd, true); err != nil {
		w.fd = -1
	}
	return w.until(outlet)
}

// until has wait end when nobody reads the outlet any more, if there is one.
func (w *watcher) until(outlet *os.File) *watcher {
	if outlet != nil {
		w.outlet = int(outlet.Fd())
	}
	w.pollers = []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}, {Fd: int32(w.outlet)}}
	return w
}

func (w *watcher) close() {
	if w.fd >= 0 {
		_ = unix.Close(w.fd) // nothing that could be lost
	}
}

// wait returns when the record may have changed since the last wait, at the latest
// after limit; it may return for nothing.
func (w *watcher) wait(limit time.Duration) error {
	every := safetyInterval
	if w.fd < 0 {
		every = pollInterval
	}
	ms := int((min(limit, every) + time.Millisecond - 1) / time.Millisecond)
	if _, err := unix.Poll(w.pollers, max(ms, 0)); err != nil && !errors.Is(err, unix.EINTR) {
		return os.NewSyscallError("poll", err)
	}
	if w.pollers[1].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
		return errReaderGone
	}
	var events [4096]byte
	for w.fd >= 0 {
		n, err := unix.Read(w.fd, events[:])
		if n == 0 && err == nil { // the bell's supervisor has gone
			w.fd, w.pollers[0].Fd = -1, -1
		}
		if err != nil || n < len(events)/2 {
			break // EAGAIN: the queue is empty. Any other error: look again at the record.
		}
	}
	return nil
}

// outletGone blocks until the reading end of f is closed.
func outletGone(f *os.File) error {
	fds := []unix.PollFd{{Fd: int32(f.Fd())}}
	for {
		_, err := unix.Poll(fds, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
		if fds[0].Revents != 0 {
			return errReaderGone
		}
	}
}
