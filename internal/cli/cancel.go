package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Cancelled is one of what `drover cancel -o json` prints.
type Cancelled struct {
	ID         string `json:"id"`
	WorkflowID string `json:"workflow_id"`
}

// Cancel asks that containers and arrays end.
func (s *Session) Cancel(ctx context.Context, ids []string) error {
	done := []Cancelled{}
	var errs []error
	for _, id := range ids {
		c, a, err := s.find(ctx, id)
		switch {
		case err == nil && a != nil:
			err = s.cancelArray(ctx, a, &done)
		case err == nil:
			err = s.cancelOne(ctx, *c, &done)
		}
		errs = append(errs, err)
	}
	if s.Print.JSON {
		errs = append(errs, s.Print.Encode(done))
	}
	return errors.Join(errs...)
}

func (s *Session) cancelOne(ctx context.Context, c Container, done *[]Cancelled) error {
	if !c.Running() {
		return fmt.Errorf("container %s has ended already (%s): nothing to cancel", c.ID, strings.ToLower(c.Status.String()))
	}
	if err := s.Client.CancelWorkflow(ctx, c.WorkflowID, c.RunID); err != nil {
		return fmt.Errorf("container %s: %s", c.ID, reason(err))
	}
	*done = append(*done, Cancelled{c.ID, c.WorkflowID})
	if !s.Print.JSON {
		s.Print.Linef("%s: is being cancelled", c.ID)
	}
	return nil
}

// cancelArray asks that all elements of an array end that have not.
func (s *Session) cancelArray(ctx context.Context, a *Array, done *[]Cancelled) error {
	alive := a.alive()
	if n := len(a.missing()); n > 0 {
		s.Print.Notef("array %s: %d of its %d elements do not exist, and are not cancelled", a.Name, n, len(a.Elements))
	}
	if len(alive) == 0 {
		return fmt.Errorf("array %s has ended already: nothing to cancel", a.Label())
	}
	if err := s.cancelAll(ctx, alive); err != nil {
		return err
	}
	for _, c := range alive {
		*done = append(*done, Cancelled{c.ID, c.WorkflowID})
	}
	if !s.Print.JSON {
		s.Print.Linef("%s: %d of %d are being cancelled", a.Label(), len(alive), len(a.Elements))
	}
	return nil
}

// cancelAll asks that containers end, several at once. One that has is no error.
func (s *Session) cancelAll(ctx context.Context, containers []Container) error {
	errs := make([]error, len(containers))
	each(len(containers), func(i int) { errs[i] = s.cancelContainer(ctx, containers[i]) })
	return errors.Join(errs...)
}
