package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
	"drover/internal/fleetspec"
	"drover/internal/schedule"
)

// The functions of this file look after containers that were sent ahead: their instance
// has the runner begin them when another container ends, and that needs no message.

// lookAhead sends containers ahead, and calls them back, as decided.
func (f *fleet) lookAhead(ctx workflow.Context) {
	for _, s := range f.decision.Ahead {
		c, m := f.byID[s.Container], f.byName[s.Instance]
		var after []string
		for _, k := range s.After {
			after = append(after, f.byID[f.world.Containers[k].ID].onInstance())
		}
		f.give(ctx, c, m, after)
		m.next = c
	}
	for _, id := range f.decision.CallBack {
		c := f.byID[id]
		f.byName[c.Instance].callBack(c)
	}
}

// onInstance is what the runner calls the present attempt.
func (c *member) onInstance() string {
	return api.Assignment{Container: c.ID, Attempt: c.attempt}.OnInstance()
}

// callBack has the instance see to it that a container does not begin if it has not. It
// answers when that is so.
func (m *machine) callBack(c *member) {
	if !c.revoked {
		c.revoked = true
		m.Orders.Revoke = append(m.Orders.Revoke, c.onInstance())
	}
}

// exits takes in that a container has ended by itself: what was to follow has begun.
func (f *fleet) exits(ctx workflow.Context, m *machine, c *member) {
	now := workflow.Now(ctx)
	m.Brief = f.spec.Runner.Source == fleetspec.RunnerEmbedded && !c.Next && now.Sub(c.Since) < schedule.Brief
	f.follow(m, c, now)
}

// follow takes in that a container is no longer on an instance, and returns the one that
// was to follow it. It takes the room from now on.
func (f *fleet) follow(m *machine, c *member, now time.Time) *member {
	next := m.next
	if next == nil || !slices.Contains(next.after, c.onInstance()) {
		return nil
	}
	m.hasBegun(now)
	return next
}

// hasBegun takes in that what was sent ahead no longer waits for its place.
func (m *machine) hasBegun(now time.Time) {
	m.next.Next, m.next.after, m.next.Since, m.next.revoked = false, nil, now, false
	m.next = nil
}

// oneOf says which of several attempts has to end.
func oneOf(after []string) string {
	if len(after) == 1 {
		return after[0]
	}
	return fmt.Sprintf("one of %d containers", len(after))
}
