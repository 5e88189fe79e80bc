package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// output keeps what a container writes, within a bound. The first half of the bound
// goes to the file `output`, which only ever grows and can be followed; what comes
// after it goes round in the file `tail`, from which only the last half of the bound
// survives. Bytes that cannot be written are dropped, and the output says so at the
// place where they are missing.
type output struct {
	head         *os.File
	headLen      int64
	headMax      int64
	headSynced   int64
	tail         *ring
	lost         int64  // bytes dropped since the last notice
	cause        error  // why
	notice       []byte // the rest of a notice that is partly written
	noticeStands int64  // the number of bytes that it speaks of
}

// writebackStep is how much output may be dirty in memory, so that the end of a
// container with much output does not wait for the disk.
const writebackStep = 8 << 20

// openOutput opens the output of the record in dir for its first writing.
func openOutput(dir string, limit int64) (*output, error) {
	f, err := os.OpenFile(filepath.Join(dir, outputFile), os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	half := limit / 2
	return &output{head: f, headMax: half, tail: newRing(filepath.Join(dir, tailFile), limit-half)}, nil
}

// write keeps p, or counts it as lost. It never fails: whatever happens to the disk,
// the container is not held up.
func (o *output) write(p []byte) {
	if !o.announce() {
		o.lost += int64(len(p))
		return
	}
	n, err := o.append(p)
	if err != nil {
		o.lost += int64(len(p) - n)
		o.cause = err
	}
	if o.headLen-o.headSynced >= writebackStep {
		// A hint only; close asks again and looks at the answer.
		_ = unix.SyncFileRange(int(o.head.Fd()), o.headSynced, 0, unix.SYNC_FILE_RANGE_WRITE)
		o.headSynced = o.headLen
	}
}

// announce writes what is due about lost bytes; false when that is not possible yet.
func (o *output) announce() bool {
	if len(o.notice) == 0 {
		if o.lost == 0 {
			return true
		}
		text := []byte(lostNotice(o.lost, o.cause))
		n, _ := o.append(text)
		if n == 0 {
			return false
		}
		o.notice, o.noticeStands, o.lost = text[n:], o.lost, 0
		return len(o.notice) == 0
	}
	n, _ := o.append(o.notice)
	o.notice = o.notice[n:]
	return len(o.notice) == 0
}

// append writes to the head while it has room, then to the tail.
func (o *output) append(p []byte) (int, error) {
	var done int
	if room := o.headMax - o.headLen; room > 0 {
		part := p[:min(room, int64(len(p)))]
		n, err := o.head.Write(part)
		o.headLen += int64(n)
		if err != nil {
			return n, err
		}
		done = n
	}
	if done == len(p) {
		return done, nil
	}
	n, err := o.tail.write(p[done:])
	return done + n, err
}

// close makes the output durable, and returns how many bytes are missing at its end.
func (o *output) close() (int64, error) {
	var missing int64
	if !o.announce() {
		missing = o.lost
		if len(o.notice) > 0 {
			missing += o.noticeStands
		}
	}
	err := errors.Join(o.head.Sync(), o.head.Close(), o.tail.close())
	return missing, err
}

// droppedNotice stands in the output where its middle was dropped.
func droppedNotice(n int64) string {
	return fmt.Sprintf("\n[drover: %d bytes of output dropped here]\n", n)
}

// lostNotice stands in the output where bytes could not be written.
func lostNotice(n int64, cause error) string {
	why := "they could not be written"
	var errno unix.Errno
	if errors.As(cause, &errno) {
		why = errno.Error()
	}
	return fmt.Sprintf("\n[drover: %d bytes of output lost here: %s]\n", n, why)
}
