package devserver

import (
	"context"
	"os"
	"time"
)

const parentInterval = 100 * time.Millisecond

// whileParentLives returns a context that ends, with cancel or soon after this
// process no longer is a child of the process parent. It asks for the parent
// and doesn't have the kernel send a signal at its death, because that signal
// is sent when the parent's *thread* ends, which in a Go program can be at any time.
func whileParentLives(ctx context.Context, parent int) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if os.Getppid() != parent {
		cancel()
		return ctx, cancel
	}
	go func() {
		ticker := time.NewTicker(parentInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if os.Getppid() != parent {
					cancel()
					return
				}
			}
		}
	}()
	return ctx, cancel
}
