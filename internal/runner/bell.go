package runner

import (
	"os"

	"golang.org/x/sys/unix"
)

// bell tells the call that has started a supervisor, as long as that listens, that there
// is more output or a result. Others watch the record's directory instead, which costs
// them some 15 ms when they close their watch: the kernel waits for a grace period.
type bell struct{ fd int }

// newBell makes a bell of the writing end of a pipe, which must stay open.
func newBell(f *os.File) *bell {
	b := &bell{int(f.Fd())}
	if err := unix.SetNonblock(b.fd, true); err != nil {
		complain(err)
		return nil
	}
	return b
}

// ring wakes the listener. A full pipe is a listener that has not come round yet, and one
// that has gone is no error.
func (b *bell) ring() {
	if b != nil {
		_, _ = unix.Write(b.fd, []byte{'.'})
	}
}
