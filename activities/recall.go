package activities

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"

	"drover/internal/api"
)

// recallAtOnce is how many containers are told at a time.
const recallAtOnce = 16

// RecallContainers has containers of a fleet that were submitted before it was created
// submit themselves again: an earlier fleet of that name took its queue with it. It tells
// those of one page, and returns the next.
func (a *Activities) RecallContainers(ctx context.Context, in api.RecallInput) ([]byte, error) {
	page, err := a.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: activity.GetInfo(ctx).Namespace, PageSize: 500, NextPageToken: in.Page,
		Query: fmt.Sprintf("WorkflowType = %q AND ExecutionStatus = 'Running' AND %s = %q AND StartTime < %q",
			api.ContainerWorkflow, api.AttributeFleet.GetName(), in.Fleet, in.Before.UTC().Format(time.RFC3339Nano)),
	})
	if err != nil {
		return nil, err
	}
	var (
		all   sync.WaitGroup
		slots = make(chan struct{}, recallAtOnce)
		mu    sync.Mutex
		errs  []error
	)
	for _, execution := range page.GetExecutions() {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			err := a.signal(ctx, execution.GetExecution().GetWorkflowId(), api.SignalSubmitAgain, nil, in.RequestID)
			if err != nil && !undeliverable(err) { // else it has ended
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	all.Wait()
	return page.GetNextPageToken(), errors.Join(errs...)
}
