package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	workflowpb "go.temporal.io/api/workflow/v1"

	"drover/internal/api"
)

// Listing is what `drover ps` is told to show.
type Listing struct {
	// One: only the container or array of that ID is shown, ended or not.
	One bool
	ID  string
	// Fleet is whose containers are shown. Empty: those of all fleets.
	Fleet string
	// All shows also what has ended: the last Limit.
	All   bool
	Limit int
	// Expand shows an array as its elements.
	Expand bool
}

// Listed is a container in what `drover ps -o json` prints.
type Listed struct {
	api.ContainerState
	// Array is the name of the array that it is element ArrayIndex of.
	Array      string `json:"array,omitempty"`
	ArrayIndex *int   `json:"array_index,omitempty"`
}

// listed is a container with its array, if it is an element of one.
func listed(state api.ContainerState, c Container) Listed {
	l := Listed{ContainerState: state, Array: c.Array}
	if c.Array != "" {
		l.ArrayIndex = &c.Index
	}
	return l
}

// ListContainers shows the containers of all fleets that have not ended and, if that is
// wanted, the last of those that have.
func (s *Session) ListContainers(ctx context.Context, l Listing) error {
	fleets, err := s.fleetsToAsk(ctx, l.Fleet, l.All || l.One)
	if err != nil {
		return err
	}
	if l.One {
		return s.listOne(ctx, l)
	}
	states, err := s.alive(ctx, fleets)
	alive, arrays, arraysErr := s.elements(ctx, states)
	err = errors.Join(err, arraysErr)
	fold := !l.Expand && !s.Print.JSON
	if l.All {
		ended, endedErr := s.ended(ctx, l, fold, arrays)
		alive, err = append(without(alive, ended), ended...), errors.Join(err, endedErr)
	}
	if fold {
		alive = foldArrays(alive, arrays)
	}
	return errors.Join(s.showContainers(alive), err)
}

// without leaves out what has ended meanwhile, and is shown as that.
func without(alive, ended []Listed) []Listed {
	known := map[string]bool{}
	for _, c := range ended {
		known[c.ID] = true
	}
	return slices.DeleteFunc(alive, func(c Listed) bool { return known[c.ID] })
}

// listOne shows one container, or the elements of one array.
func (s *Session) listOne(ctx context.Context, l Listing) error {
	c, a, err := s.find(ctx, l.ID)
	if err != nil {
		return err
	}
	wanted := map[string]Container{}
	if c != nil && l.Fleet != "" && c.Fleet != l.Fleet {
		return fmt.Errorf("container %q is of fleet %s, not of %s", l.ID, c.Fleet, l.Fleet)
	}
	if c != nil {
		wanted[c.ID] = *c
	} else {
		for _, element := range a.Containers {
			wanted[element.ID] = element
		}
	}
	var over []Container
	for _, c := range wanted {
		if !c.Running() {
			over = append(over, c)
		}
	}
	rows, err := s.placed(ctx, wanted)
	slices.SortFunc(over, func(a, b Container) int { return b.Closed.Compare(a.Closed) })
	if l.Limit > 0 {
		over = over[:min(l.Limit, len(over))]
	}
	ended, endedErr := s.rememberAll(ctx, over)
	return errors.Join(s.showContainers(append(rows, ended...)), err, endedErr)
}

// placed are those of some containers that have not ended, as their fleets say. One that
// its fleet does not know is asked itself: its request or its outcome may be on its way.
func (s *Session) placed(ctx context.Context, wanted map[string]Container) ([]Listed, error) {
	rows := []Listed{}
	var errs []error
	fleets, known := map[string]bool{}, map[string]bool{}
	for _, c := range wanted {
		if !c.Running() || fleets[c.Fleet] {
			continue
		}
		fleets[c.Fleet] = true
		states, err := s.containersOf(ctx, c.Fleet)
		errs = append(errs, err)
		for _, state := range states {
			if c, is := wanted[state.ID]; is {
				known[c.ID] = true
				rows = append(rows, listed(state, c))
			}
		}
	}
	unknown := slices.DeleteFunc(slices.SortedFunc(maps.Values(wanted), inOrder), func(c Container) bool { return known[c.ID] || !c.Running() })
	own, ownErrs := make([]Listed, len(unknown)), make([]error, len(unknown))
	each(len(unknown), func(i int) {
		var state api.ContainerState
		if err := s.query(ctx, unknown[i].WorkflowID, unknown[i].RunID, api.QueryState, &state); err != nil {
			state.Status = reason(err)
			ownErrs[i] = fmt.Errorf("container %s: %s", unknown[i].ID, state.Status)
		}
		state.ID, state.Fleet = unknown[i].ID, unknown[i].Fleet
		own[i] = listed(state, unknown[i])
	})
	return append(rows, own...), errors.Join(append(errs, ownErrs...)...)
}

// inOrder is by array and index.
func inOrder(a, b Container) int {
	return cmp.Or(cmp.Compare(a.Array, b.Array), cmp.Compare(a.Index, b.Index), cmp.Compare(a.ID, b.ID))
}

func (s *Session) showContainers(containers []Listed) error {
	if s.Print.JSON {
		return s.Print.Encode(containers)
	}
	rows := make([][]string, 0, len(containers))
	for _, c := range containers {
		exit := ""
		if c.ExitCode != nil {
			exit = strconv.Itoa(*c.ExitCode)
		}
		rows = append(rows, []string{c.ID, c.State, exit, c.Fleet, c.Instance, strconv.Itoa(c.Priority), s.Print.Ago(c.QueuedAt), shorten(c.Command, 40), shorten(c.Status, 100)})
	}
	return s.Print.Table([]string{"ID", "STATE", "EXIT", "FLEET", "INSTANCE", "PRIORITY", "AGE", "COMMAND", "STATUS"}, rows)
}

// ended returns the last containers that have ended, newest first. With fold an array
// is one of them, however many elements it has; arrays that are found are added.
func (s *Session) ended(ctx context.Context, l Listing, fold bool, arrays map[string]*Array) ([]Listed, error) {
	var last []Container
	folded := map[string]bool{}
	err := s.visit(ctx, ofFleet(l.Fleet, ofType(api.ContainerWorkflow, over)), func(info *workflowpb.WorkflowExecutionInfo) bool {
		c := containerOf(info)
		if fold && c.Array != "" {
			if folded[c.Array] {
				return true
			}
			folded[c.Array] = true
		}
		last = append(last, c)
		return l.Limit == 0 || len(last) < l.Limit
	})
	if err != nil {
		return nil, err
	}
	if err := s.addArrays(ctx, folded, arrays); err != nil {
		return nil, err
	}
	return s.rememberAll(ctx, last)
}

// rememberAll tells the states of containers that have ended.
func (s *Session) rememberAll(ctx context.Context, containers []Container) ([]Listed, error) {
	rows, errs := make([]Listed, len(containers)), make([]error, len(containers))
	each(len(containers), func(i int) {
		var state api.ContainerState
		state, errs[i] = s.remember(ctx, containers[i])
		rows[i] = listed(state, containers[i])
	})
	return rows, errors.Join(errs...)
}
