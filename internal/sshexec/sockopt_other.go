//go:build !linux

package sshexec

import (
	"context"
	"syscall"
)

// setUserTimeout does nothing: there is no TCP_USER_TIMEOUT here, and the keepalive's
// timer alone notices a peer that is gone.
func setUserTimeout(context.Context, string, string, syscall.RawConn) error { return nil }
