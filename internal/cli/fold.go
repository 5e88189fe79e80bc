package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"

	"drover/internal/api"
)

// addArrays finds the arrays of some names that are not among arrays yet.
func (s *Session) addArrays(ctx context.Context, names map[string]bool, arrays map[string]*Array) error {
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if arrays[name] == nil {
			missing = append(missing, name)
		}
	}
	found, _, err := s.arrays(ctx, missing)
	maps.Copy(arrays, found)
	return err
}

// foldArrays shows every array as one container, where its first element is.
func foldArrays(rows []Listed, arrays map[string]*Array) []Listed {
	elements := map[string]map[int]Listed{}
	for _, row := range rows {
		if row.Array != "" && arrays[row.Array] != nil {
			if elements[row.Array] == nil {
				elements[row.Array] = map[int]Listed{}
			}
			elements[row.Array][*row.ArrayIndex] = row
		}
	}
	folded, done := []Listed{}, map[string]bool{}
	for _, row := range rows {
		switch {
		case elements[row.Array] == nil:
			folded = append(folded, row)
		case !done[row.Array]:
			done[row.Array] = true
			folded = append(folded, foldArray(row, arrays[row.Array], elements[row.Array]))
		}
	}
	return folded
}

// foldArray shows an array as one container, of which first is the first element, and
// listed are those whose state is known.
func foldArray(first Listed, a *Array, listed map[int]Listed) Listed {
	n := counts{}
	queued := first.QueuedAt
	for _, index := range a.Elements {
		c, exists := a.Containers[index]
		row, known := listed[index]
		switch {
		case exists && !c.Running():
			n[ended(c.Status)]++
		case known:
			n[row.State]++
		case exists:
			n[api.ContainerQueued]++ // its fleet does not know it yet, or no more
		}
		if exists && c.Started.Before(queued.Time) {
			queued.Time = c.Started
		}
	}
	first.ID, first.State = shorten(a.Label(), 60), api.ContainerExited
	first.Instance, first.QueuedAt, first.ExitCode = "", queued, nil
	for _, state := range []string{api.ContainerRunning, api.ContainerAssigned, api.ContainerQueued, api.ContainerFailed, api.ContainerCancelled} {
		if n[state] > 0 {
			first.State = state
			break
		}
	}
	first.Status = summary(n)
	return first
}

// ended is the state of a container whose workflow has closed.
func ended(status enumspb.WorkflowExecutionStatus) string {
	switch status {
	case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		return api.ContainerExited
	case enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
		return api.ContainerCancelled
	}
	return api.ContainerFailed
}

// summary says how many elements of an array are where: 3 running, 90 queued, 7 done.
func summary(n counts) string {
	var parts, without []string
	if text := n.String(); text != "" {
		parts = append(parts, text)
	}
	for _, state := range []string{api.ContainerFailed, api.ContainerCancelled} {
		if n[state] > 0 {
			without = append(without, fmt.Sprintf("%d %s", n[state], state))
		}
	}
	if done := n[api.ContainerExited] + n[api.ContainerFailed] + n[api.ContainerCancelled]; done > 0 {
		text := fmt.Sprintf("%d done", done)
		if len(without) > 0 {
			text += " (" + strings.Join(without, ", ") + ")"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}
