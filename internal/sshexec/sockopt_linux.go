package sshexec

import (
	"context"
	"syscall"

	"golang.org/x/sys/unix"
)

// userTimeout is for how long sent data may stay unacknowledged. Without it the
// kernel keeps trying for a quarter of an hour, and writers with it.
const userTimeoutMillis = 10_000

// setUserTimeout sets TCP_USER_TIMEOUT on a socket before it connects.
func setUserTimeout(_ context.Context, _, _ string, c syscall.RawConn) error {
	var err error
	if ctlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, userTimeoutMillis)
	}); ctlErr != nil {
		return ctlErr
	}
	return err
}
