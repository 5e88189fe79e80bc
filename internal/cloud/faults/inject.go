package faults

import (
	"context"
	"time"

	"drover/internal/cloud"
	"drover/internal/fleetspec"
	"drover/internal/pause"
)

// call is one call of the driver, and what may go wrong with it.
type call struct {
	kind     Kind
	op       string
	instance string
	faults   fleetspec.CallFaults
}

// inject makes a call, or has it go wrong: before it reaches the provider, while its
// answer is awaited, or after it has succeeded. With an error there is no answer.
func inject[T any](ctx context.Context, f *faulty, c call, do func() (T, error)) (T, error) {
	var none T
	scripted := Call{Kind: c.kind, Instance: c.instance, Number: f.count(c.kind)}
	if err := f.before(ctx, c, scripted); err != nil {
		return none, err
	}
	answer, err := do()
	if f.hits(c.faults.Late) {
		if err := f.wait(ctx, c.faults.Delay.D()); err != nil {
			return none, fail(c.op, "", err)
		}
	}
	if err != nil {
		return none, err
	}
	if f.hits(c.faults.Lose) {
		return none, fail(c.op, "", errLost)
	}
	scripted.Done = true
	if err := f.script(scripted); err != nil {
		return none, err
	}
	return answer, nil
}

// before returns why a call does not reach the provider, if so.
func (f *faulty) before(ctx context.Context, c call, scripted Call) error {
	if err := ctx.Err(); err != nil {
		return fail(c.op, "", err)
	}
	if err := f.script(scripted); err != nil {
		return err
	}
	switch {
	case f.config.Denied:
		return fail(c.op, cloud.Denied, errDenied)
	case f.hits(c.faults.Fail):
		return fail(c.op, "", errFailed)
	}
	return nil
}

func (f *faulty) script(c Call) error {
	if f.config.Script == nil {
		return nil
	}
	return f.config.Script(c)
}

// count returns the number of the next call of that kind.
func (f *faulty) count(kind Kind) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.numbers[kind]++
	return f.numbers[kind]
}

// hits reports whether something that happens at a rate happens now. What never or
// always happens leaves the sequence of the seed alone.
func (f *faulty) hits(rate float64) bool {
	if rate <= 0 || rate >= 1 {
		return rate >= 1
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.Float64() < rate
}

// wait waits for more than nothing and at most the longest time, or returns the
// context's error when it ends first.
func (f *faulty) wait(ctx context.Context, longest time.Duration) error {
	f.mu.Lock()
	delay := time.Duration(f.random.Int64N(max(int64(longest), 1))) + 1
	f.mu.Unlock()
	return pause.For(ctx, delay)
}
