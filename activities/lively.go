package activities

import (
	"context"
	"errors"

	"go.temporal.io/sdk/activity"
)

// lively has a short activity heartbeat, so that it is soon tried on another worker when
// this one dies, and at once when this one stops.
func lively[In, Out any](do func(context.Context, In) (Out, error)) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (Out, error) {
		ctx, stop := long(ctx, func() any { return nil })
		defer stop()
		out, err := do(ctx, in)
		if interruption := interrupted(ctx); interruption != nil && errors.Is(err, context.Canceled) {
			return out, interruption
		}
		return out, err
	}
}

// uninterrupted has an activity go on when it is cancelled, or its worker stops, until
// its timeout: the answer to what it has asked for is wanted all the same.
func uninterrupted[In, Out any](do func(context.Context, In) (Out, error)) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (Out, error) {
		ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), activity.GetInfo(ctx).Deadline)
		defer cancel()
		return do(ctx, in)
	}
}

// noResult makes of an activity without a result one with a result that says nothing.
func noResult[In any](do func(context.Context, In) error) func(context.Context, In) (any, error) {
	return func(ctx context.Context, in In) (any, error) { return nil, do(ctx, in) }
}
