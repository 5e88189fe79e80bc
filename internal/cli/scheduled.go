package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"drover/internal/api"
)

// alive asks fleets for their containers, in the order in which they are scheduled.
func (s *Session) alive(ctx context.Context, fleets []string) ([]api.ContainerState, error) {
	lists, errs := make([][]api.ContainerState, len(fleets)), make([]error, len(fleets))
	each(len(fleets), func(i int) { lists[i], errs[i] = s.containersOf(ctx, fleets[i]) })
	return slices.Concat(lists...), errors.Join(errs...)
}

// containersOf asks one fleet for its containers.
func (s *Session) containersOf(ctx context.Context, fleet string) ([]api.ContainerState, error) {
	var containers []api.ContainerState
	err := s.scheduled(ctx, fleet, func(c api.ContainerState) bool {
		containers = append(containers, c)
		return true
	})
	if err != nil {
		return containers, fmt.Errorf("fleet %s: %s", fleet, reason(err))
	}
	return containers, nil
}

// scheduled asks one fleet for its containers, page by page, for as long as visit wants
// more. What moves between pages meanwhile is taken once.
func (s *Session) scheduled(ctx context.Context, fleet string, visit func(api.ContainerState) bool) error {
	seen := map[string]bool{}
	for offset := 0; ; {
		var page api.ContainersPage
		err := s.query(ctx, api.FleetWorkflowID(fleet), "", api.QueryContainers, &page, api.ContainersQuery{Offset: offset})
		if err != nil {
			return err
		}
		for _, c := range page.Containers {
			if seen[c.ID] {
				continue
			}
			seen[c.ID] = true
			if !visit(c) {
				return nil
			}
		}
		if offset += len(page.Containers); len(page.Containers) == 0 || offset >= page.Total {
			return nil
		}
	}
}

// elements tells which containers are elements of arrays, and finds these arrays.
func (s *Session) elements(ctx context.Context, states []api.ContainerState) ([]Listed, map[string]*Array, error) {
	var names, ids []string
	asked := map[string]bool{}
	for _, state := range states {
		name, _, ok := api.ParseElementID(state.ID)
		if !ok || state.WorkflowID != "" {
			continue
		}
		ids = append(ids, state.ID)
		if !asked[name] {
			asked[name] = true
			names = append(names, name)
		}
	}
	arrays, _, err := s.arrays(ctx, names, ids...)
	rows := make([]Listed, len(states))
	for i, state := range states {
		var c Container
		if name, index, ok := api.ParseElementID(state.ID); ok && state.WorkflowID == "" && arrays[name] != nil {
			c = arrays[name].Containers[index]
		}
		rows[i] = listed(state, c)
	}
	return rows, arrays, err
}
