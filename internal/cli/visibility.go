package cli

import (
	"context"
	"fmt"
	"strings"
	"sync"

	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"drover/internal/api"
)

const (
	stillRunning = "ExecutionStatus = 'Running'"
	// over leaves out the runs that a later run of the same workflow goes on from.
	over = "ExecutionStatus != 'Running' AND ExecutionStatus != 'ContinuedAsNew'"
)

// ofType begins a visibility query for workflows of a type.
func ofType(workflowType, condition string) string {
	return fmt.Sprintf("WorkflowType = '%s' AND %s", workflowType, condition)
}

// list returns what visibility knows of the workflows that a query selects, newest
// first, at most limit of them; 0: all.
func (s *Session) list(ctx context.Context, query string, limit int) ([]*workflowpb.WorkflowExecutionInfo, error) {
	var found []*workflowpb.WorkflowExecutionInfo
	err := s.visit(ctx, query, func(info *workflowpb.WorkflowExecutionInfo) bool {
		found = append(found, info)
		return limit <= 0 || len(found) < limit
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// visit shows what visibility knows of the workflows that a query selects, newest
// first, to do, for as long as it wants more.
func (s *Session) visit(ctx context.Context, query string, do func(*workflowpb.WorkflowExecutionInfo) bool) error {
	var token []byte
	for {
		page, err := s.Client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Namespace: s.Namespace, Query: query, NextPageToken: token, PageSize: 1000,
		})
		if err != nil {
			return fmt.Errorf("list workflows: %s", reason(err))
		}
		for _, info := range page.GetExecutions() {
			if !do(info) {
				return nil
			}
		}
		if token = page.GetNextPageToken(); len(token) == 0 {
			return nil
		}
	}
}

// Fleets returns the names of the fleets that exist. Those that are a second old may
// be missing.
func (s *Session) Fleets(ctx context.Context) ([]string, error) {
	found, err := s.list(ctx, ofType(api.FleetWorkflow, stillRunning), 0)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range found {
		names = append(names, strings.TrimPrefix(f.GetExecution().GetWorkflowId(), api.FleetWorkflowID("")))
	}
	return names, nil
}

// each calls do for every index, several at once, and waits for all of them.
func each(n int, do func(i int)) { eachOf(n, concurrency, do) }

// eachOf is each, with at most atOnce at once.
func eachOf(n, atOnce int, do func(i int)) {
	var all sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range n {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	all.Wait()
}
