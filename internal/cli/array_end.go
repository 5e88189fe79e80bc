package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"drover/internal/api"
	"drover/internal/indices"
)

// ArrayEnd is how an array has ended: what `drover wait NAME -o json` prints.
type ArrayEnd struct {
	Array    string `json:"array"`
	Elements string `json:"elements"`
	Count    int    `json:"count"`
	// Failed is how many have no exit code of 0.
	Failed int `json:"failed"`
	// ExitCode is that of the whole: the highest of any element. One that has none, because
	// the machines failed it for example, counts as 1.
	ExitCode   int          `json:"exit_code"`
	Cost       float64      `json:"cost"`
	Containers []ElementEnd `json:"containers"`
}

// ElementEnd is how an element of an array has ended.
type ElementEnd struct {
	ID    string `json:"id"`
	Index int    `json:"array_index"`
	// State is one of those of a container, or "missing".
	State string `json:"state"`
	// ExitCode is null if there is none.
	ExitCode   *int     `json:"exit_code"`
	Instance   string   `json:"instance"`
	StartedAt  api.Time `json:"started_at"`
	FinishedAt api.Time `json:"finished_at"`
	Cost       float64  `json:"cost"`
	Status     string   `json:"status"`
}

// missingElement is the state of an element that does not exist.
const missingElement = "missing"

// code is what the end of a container counts as: its exit code, or 1.
func (e Ending) code() int {
	if e.Result != nil {
		return e.Result.ExitCode
	}
	return ExitFailure
}

// endOf sums up how the elements have ended.
func endOf(a *Array, endings map[int]Ending) ArrayEnd {
	end := ArrayEnd{Array: a.Name, Elements: a.Elements.String(), Count: len(a.Elements)}
	for _, index := range a.Elements {
		ending, exists := endings[index]
		element := ElementEnd{ID: api.ElementID(a.Name, index), Index: index, State: missingElement, Status: "does not exist"}
		if exists {
			var state api.ContainerState
			ending.describe(&state)
			element.State, element.ExitCode, element.Instance, element.Status = state.State, state.ExitCode, state.Instance, state.Status
			element.StartedAt, element.FinishedAt = state.StartedAt, state.FinishedAt
			if ending.Result != nil {
				element.Cost = ending.Result.Cost
			}
		}
		if code := ending.code(); code != 0 {
			end.Failed++
			end.ExitCode = max(end.ExitCode, code)
		}
		end.Cost += element.Cost
		end.Containers = append(end.Containers, element)
	}
	return end
}

// namedEnds is how many different ends of elements are named in a line.
const namedEnds = 8

// failures says in one line which elements have failed, and how: equal ends once.
func (e ArrayEnd) failures() (text, first string) {
	by := map[string]indices.Set{}
	var order []string
	for _, c := range e.Containers {
		if c.State == api.ContainerExited && *c.ExitCode == 0 {
			continue
		}
		if first == "" && c.State != missingElement {
			first = c.ID
		}
		if by[c.Status] == nil {
			order = append(order, c.Status)
		}
		by[c.Status] = append(by[c.Status], c.Index)
	}
	slices.SortStableFunc(order, func(a, b string) int { return len(by[b]) - len(by[a]) })
	var parts []string
	for i, status := range order {
		if i == namedEnds {
			parts = append(parts, fmt.Sprintf("%d other ends", len(order)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", shorten(by[status].String(), 200), shorten(status, 100)))
	}
	return strings.Join(parts, ", "), first
}

// Exit returns the error that ends drover as the array has ended: nil if all elements
// exited with 0.
func (e ArrayEnd) Exit() error {
	if e.Failed == 0 {
		return nil
	}
	text, first := e.failures()
	err := fmt.Errorf("array %s: %d of %d failed: %s", e.Array, e.Failed, e.Count, text)
	if first != "" {
		err = fmt.Errorf("%w; `drover logs %s` shows the output of the first", err, first)
	}
	return &ExitError{Code: e.ExitCode, Err: err}
}

// waitForArray waits for the end of an array, also for elements that are submitted
// meanwhile, and shows how it ended.
func (s *Session) waitForArray(ctx context.Context, a *Array) error {
	endings := map[int]Ending{}
	for len(endings) < len(a.Containers) {
		g := gather(s, a, nil)
		g.close()
		if err := g.wait(ctx); err != nil {
			return err
		}
		endings = g.endings
		if err := s.complete(ctx, a); err != nil {
			return err
		}
	}
	end := endOf(a, endings)
	if s.Print.JSON {
		if err := s.Print.Encode(end); err != nil {
			return err
		}
	} else {
		s.Print.Linef("%s: %d exited with 0, %d failed, cost %.4f", shorten(a.Label(), 60), end.Count-end.Failed, end.Failed, end.Cost)
	}
	return end.Exit()
}
