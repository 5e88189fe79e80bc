// Package pause waits before the next try, for no longer than it is wanted.
package pause

import (
	"context"
	"time"
)

// For waits for a duration; 0 or less is no wait. It returns the context's error if
// that ends first.
func For(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
