package cli

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// attended is what somebody who has submitted it waits for: a container or an array.
type attended struct {
	kind string // container or array
	id   string
	// later says how to come back to it.
	later  string
	screen *Screen
	// follow returns when it has ended, or can't be followed.
	follow func(context.Context) error
	cancel func(context.Context) error
	// leave does what must be done before one can detach from it. Nil: nothing.
	leave func(context.Context) error
}

// attend follows to the end, and does what the user wants on a signal. cancelled is the
// exit code for that, once the user has wanted it ended.
func (s *Session) attend(ctx context.Context, job Job, a attended) (cancelled int, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- a.follow(ctx) }()
	for {
		select {
		case err := <-ended:
			return cancelled, err
		case received := <-job.Signals:
			if cancelled != 0 {
				return cancelled, &ExitError{Code: cancelled, Err: fmt.Errorf("%s %s is being cancelled and may run still: `drover wait %s`", a.kind, a.id, a.id)}
			}
			if received == syscall.SIGINT && job.Stdin != nil && s.wantsDetach(job, a) {
				if a.leave != nil {
					if err := a.leave(ctx); err != nil {
						return cancelled, err
					}
				}
				return cancelled, &ExitError{Code: 0, Err: nil}
			}
			if err := a.cancel(ctx); err != nil {
				return cancelled, err
			}
			cancelled = exitOf(received)
			a.screen.Status(a.id + ": is being cancelled")
		}
	}
}

// wantsDetach asks whether to cancel or to detach. A second Ctrl-C is an answer, too.
func (s *Session) wantsDetach(job Job, a attended) bool {
	answers := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(job.Stdin).ReadString('\n')
		if err != nil {
			line = "c"
		}
		answers <- strings.ToLower(strings.TrimSpace(line))
	}()
	defer a.screen.Answered()
	a.screen.Ask(fmt.Sprintf("\n%s: cancel or detach? [c/d] ", a.id))
	select {
	case answer := <-answers:
		if !strings.HasPrefix(answer, "d") {
			return false
		}
	case <-job.Signals:
		return false
	}
	a.screen.Note(fmt.Sprintf("%s runs on: %s", a.id, a.later))
	return true
}

func exitOf(received os.Signal) int {
	if number, ok := received.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return ExitFailure
}
