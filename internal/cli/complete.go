package cli

import (
	"context"
	"strings"

	"drover/internal/api"
)

// CompleteFleets returns the names of all fleets, for a shell's completion.
func (s *Session) CompleteFleets(ctx context.Context) ([]string, error) { return s.Fleets(ctx) }

// CompleteInstances returns the names of all instances that are not gone, for a
// shell's completion.
func (s *Session) CompleteInstances(ctx context.Context) ([]string, error) {
	found, err := s.list(ctx, ofType(api.InstanceWorkflow, stillRunning), 200)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, info := range found {
		i := sketch(info)
		names = append(names, i.Name+"\t"+strings.TrimSpace(i.State+" "+i.Type))
	}
	return names, nil
}

// CompleteContainers returns the IDs of the latest containers, for a shell's
// completion; with running, only of those that have not ended, and for the elements of
// an array its name.
func (s *Session) CompleteContainers(ctx context.Context, running bool) ([]string, error) {
	query := "WorkflowType = '" + api.ContainerWorkflow + "'"
	if running {
		query = ofType(api.ContainerWorkflow, stillRunning)
	}
	found, err := s.list(ctx, query, 200)
	if err != nil {
		return nil, err
	}
	var ids []string
	named := map[string]bool{}
	for _, info := range found {
		c := containerOf(info)
		if c.Array == "" || !running {
			ids = append(ids, c.ID)
		} else if !named[c.Array] {
			named[c.Array] = true
			ids = append(ids, c.Array)
		}
	}
	return ids, nil
}
