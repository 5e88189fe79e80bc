package cli

import (
	"bytes"
	"context"
	"fmt"

	"drover/internal/api"
)

// Logs is what `drover logs` is told to do.
type Logs struct {
	ID string
	// Follow shows output as it comes, until the container has ended.
	Follow bool
	// Attempt is the one to show. 0: the last.
	Attempt int
}

// Logs shows the output of a container, also of one that has ended.
func (s *Session) Logs(ctx context.Context, l Logs) error {
	found, a, err := s.find(ctx, l.ID)
	if err != nil {
		return err
	}
	if a != nil {
		return Usagef("logs: %s is an array, and has no output of its own; an element has: drover logs %s", a.Name, api.ElementID(a.Name, a.Elements[0]))
	}
	c := *found
	var text bytes.Buffer
	f := &Follower{Session: s, Container: c, Screen: NewScreen(s.Print.Out, s.Print.Err), Attempt: l.Attempt}
	if s.Print.JSON {
		f.Screen = NewScreen(&text, s.Print.Err)
	}
	r := &reader{follower: f, running: make(chan struct{})}
	r.begin()
	defer r.close()
	switch {
	case !c.Running():
		var e Ending
		if e, err = s.Await(ctx, c, nil); err == nil {
			err = r.finish(ctx, e)
		}
	case l.Follow:
		_, err = f.Follow(ctx)
	default:
		err = r.rest(ctx)
	}
	if err == nil && l.Attempt != 0 && !l.Follow {
		err = r.missing(ctx)
	}
	if err != nil {
		return fmt.Errorf("output of container %s: %w", c.ID, err)
	}
	if !s.Print.JSON {
		return nil
	}
	return s.Print.Encode(struct {
		ID      string `json:"id"`
		Fleet   string `json:"fleet"`
		Attempt int    `json:"attempt"`
		Output  string `json:"output"`
	}{c.ID, c.Fleet, r.attempt, text.String()})
}
