package cli

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// finish waits until all elements are submitted, or the user no longer wants that.
func (r *arrayRun) finish(ctx context.Context) error {
	select {
	case <-r.ended:
	default:
		if r.job.Detach {
			break
		}
		r.screen.Note(fmt.Sprintf("%s: submitting all %d elements first", r.array.Name, len(r.array.Elements)))
	}
	select {
	case <-r.ended:
	case received := <-r.job.Signals:
		r.stop()
		<-r.ended
		if r.failed != nil {
			return &ExitError{Code: exitOf(received), Err: r.partly(errors.New("interrupted"))}
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.failed != nil {
		return r.partly(r.failed)
	}
	return nil
}

// partly says that not all elements are submitted, why, and what to do.
func (r *arrayRun) partly(why error) error {
	r.mu.Lock()
	n := len(r.containers)
	r.mu.Unlock()
	if n == 0 {
		return why
	}
	return fmt.Errorf("%w; %d of the %d elements of array %s are submitted: the same command with --name %s submits the rest, `drover cancel %s` ends it",
		why, n, len(r.array.Elements), r.array.Name, r.array.Name, r.array.Name)
}

// visibleWithin is how long detach waits until other commands can find the array.
const visibleWithin = 5 * time.Second

// detach returns once the array is submitted, and can be found.
func (r *arrayRun) detach(ctx context.Context) error {
	if err := r.finish(ctx); err != nil {
		return err
	}
	deadline := time.After(visibleWithin)
	for found := false; !found; {
		arrays, _, err := r.session.arrays(ctx, []string{r.array.Name})
		if err != nil {
			return err
		}
		if found = arrays[r.array.Name] != nil; found {
			break
		}
		select {
		case <-time.After(quiet):
		case <-deadline:
			found = true // it is submitted all the same
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !r.session.Print.JSON {
		r.session.Print.Linef("%s", r.array.Name)
		return nil
	}
	return r.session.Print.Encode(struct {
		ID       string `json:"id"`
		Elements string `json:"elements"`
		Count    int    `json:"count"`
	}{r.array.Name, r.array.Elements.String(), len(r.array.Elements)})
}
