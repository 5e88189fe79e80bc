package local

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal, for `drover instance ssh`.
type terminal struct {
	master *os.File
	kind   string // TERM
}

// openTerminal makes the terminal that a pty-req request asks for.
func openTerminal(payload []byte) (*terminal, error) {
	var request struct {
		Kind                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	if err := ssh.Unmarshal(payload, &request); err != nil {
		return nil, err
	}
	// Not blocking, so that closing it ends a read.
	descriptor, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	t := &terminal{master: os.NewFile(uintptr(descriptor), "ptmx"), kind: request.Kind}
	err = unix.IoctlSetPointerInt(descriptor, unix.TIOCSPTLCK, 0)
	if err == nil {
		err = t.setSize(request.Columns, request.Rows)
	}
	if err != nil {
		return nil, errors.Join(err, t.master.Close())
	}
	return t, nil
}

// openSlave opens the command's side.
func (t *terminal) openSlave() (*os.File, error) {
	var number uint32
	err := t.control(func(descriptor int) (err error) {
		number, err = unix.IoctlGetUint32(descriptor, unix.TIOCGPTN)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
}

// resize does what a window-change request asks for.
func (t *terminal) resize(payload []byte) error {
	var request struct{ Columns, Rows, Width, Height uint32 }
	if err := ssh.Unmarshal(payload, &request); err != nil {
		return err
	}
	return t.setSize(request.Columns, request.Rows)
}

func (t *terminal) setSize(columns, rows uint32) error {
	return t.control(func(descriptor int) error {
		return unix.IoctlSetWinsize(descriptor, unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(columns), Row: uint16(rows)})
	})
}

// control calls do with the descriptor, which it leaves non-blocking (Fd would not).
func (t *terminal) control(do func(descriptor int) error) error {
	conn, err := t.master.SyscallConn()
	if err != nil {
		return err
	}
	var doErr error
	if err := conn.Control(func(descriptor uintptr) { doErr = do(int(descriptor)) }); err != nil {
		return err
	}
	return doErr
}
