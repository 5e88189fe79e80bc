package whole

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
	"drover/internal/cloud/local"
	"drover/workflows"
)

// What must come to its end, whatever has happened.

// executions returns the workflow executions that a query finds.
func (c *chaos) executions(query string) (all []*workflowpb.WorkflowExecutionInfo) {
	for token := []byte(nil); ; {
		answer, err := c.client.ListWorkflow(c.Context(), listRequest(query, token))
		require.NoError(c, err)
		all = append(all, answer.GetExecutions()...)
		if token = answer.GetNextPageToken(); len(token) == 0 {
			return all
		}
	}
}

// awaitResults waits until every container has ended.
func (c *chaos) awaitResults() {
	const within = 6 * time.Minute
	calm := time.Now()
	for {
		c.liftHolds()
		open := c.witness.open(c)
		if len(open) == 0 {
			c.say("calm", "every container has ended, %s later", time.Since(calm).Round(time.Second))
			return
		}
		if time.Since(calm) > within {
			c.dump(api.FleetWorkflowID("default"))
			for _, i := range c.openInstances() {
				c.dump(i.WorkflowID)
			}
			for _, k := range open {
				c.dump(k.run.GetID())
			}
			c.Fatalf("%d containers have not ended %s after calm set in", len(open), within)
		}
		c.passes(time.Second)
	}
}

// awaitEmptiness waits until nothing is left: of instances, processes, workflows, and
// at last of the fleet.
func (c *chaos) awaitEmptiness() {
	const within = 4 * time.Minute
	d, err := local.New(local.Config{Fleet: "default", Directory: filepath.Dir(c.instancesDirectory())})
	require.NoError(c, err)
	const open = "ExecutionStatus = 'Running' AND WorkflowType != 'Fleet'"
	for calm := time.Now(); ; c.passes(time.Second) {
		c.liftHolds()
		instances, err := d.List(c.Context())
		require.NoError(c, err)
		running := c.executions(open)
		if len(instances) == 0 && len(running) == 0 && len(c.fleet().Instances) == 0 {
			break
		}
		if time.Since(calm) > within {
			c.dump(api.FleetWorkflowID("default"))
			for _, x := range running {
				c.dump(x.GetExecution().GetWorkflowId())
			}
			c.Fatalf("%d instances and %d workflows are left after %s: %+v", len(instances), len(running), within, instances)
		}
	}
	assert.Empty(c, processesUnder(c, filepath.Join(c.dir, "instances")), "processes are left")
	c.counts["instances created"] = int(c.fleet().Totals.Created)
	c.counts["retried, according to the last fleet"] = int(c.fleet().Totals.Retried)
	require.NoError(c, c.update(api.FleetWorkflowID("default"), api.UpdateDelete, api.DeleteFleet{}))
	ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
	defer cancel()
	if err := c.client.GetWorkflow(ctx, api.FleetWorkflowID("default"), "").Get(ctx, nil); err != nil {
		c.dump(api.FleetWorkflowID("default"))
		c.Fatalf("the fleet was deleted, and does not end: %v", err)
	}
}

// fates returns how the workflows of all instances ended.
func (c *chaos) fates() map[string][]fate {
	all := map[string][]fate{}
	for _, x := range c.executions("WorkflowType = 'Instance'") {
		id := x.GetExecution()
		name := strings.TrimPrefix(id.GetWorkflowId(), api.InstanceWorkflowID("default", ""))
		c.counts["instances' workflows"]++
		switch x.GetStatus() {
		case enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED:
			assert.True(c, c.killed[name], "the workflow of instance %s was terminated by nobody", name)
			all[name] = append(all[name], fate{terminated: true})
		case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
			var f fate
			require.NoError(c, c.client.GetWorkflow(c.Context(), id.GetWorkflowId(), id.GetRunId()).Get(c.Context(), &f.last))
			c.counts["instances' ends: "+ending(f.last)]++
			all[name] = append(all[name], f)
		}
	}
	return all
}

// ending is how an instance ended, without what differs each time.
func ending(s api.InstanceState) string {
	word, _, _ := strings.Cut(s.Reason, ":")
	return fmt.Sprintf("%s (boot: %s)", word, s.BootOutcome)
}

// judgeWorkflows checks that all workflows have closed, as they should, and that no
// workflow task of them has failed.
func (c *chaos) judgeWorkflows() {
	c.eventually(20*time.Second, func() bool { return len(c.executions("ExecutionStatus = 'Running'")) == 0 }, "all workflows have closed")
	for _, x := range c.executions("") {
		id, status := x.GetExecution(), x.GetStatus()
		c.counts[fmt.Sprintf("workflows: %s %s", x.GetType().GetName(), status)]++
		if isFailure := status == enumspb.WORKFLOW_EXECUTION_STATUS_FAILED || status == enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT; isFailure && x.GetType().GetName() != api.ContainerWorkflow {
			c.Errorf("workflow %s: %s", id.GetWorkflowId(), status)
			c.dump(id.GetWorkflowId())
		}
		for _, e := range c.history(id.GetWorkflowId(), id.GetRunId()) {
			c.countAhead(e)
			failed := e.GetWorkflowTaskFailedEventAttributes()
			switch cause := failed.GetCause(); {
			case failed == nil:
			case cause == enumspb.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND: // something came in while the workflow was to close
			case stalled(failed.GetFailure().GetMessage()):
				c.counts["workflow tasks that failed because their worker stalled"]++
			case cause == enumspb.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND && status == enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED:
			case cause == enumspb.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND && c.flooded[id.GetWorkflowId()]: // a hundred signals came in since it began
				c.counts["workflow tasks that a flood has ended"]++
			default:
				c.Errorf("workflow %s: a workflow task failed: %s %s", id.GetWorkflowId(), failed.GetCause(), failed.GetFailure().GetMessage())
			}
		}
	}
	c.replay()
	c.judgeLogs()
}

// countAhead counts what was sent ahead to an instance, and called back.
func (c *chaos) countAhead(e *historypb.HistoryEvent) {
	scheduled := e.GetActivityTaskScheduledEventAttributes()
	switch scheduled.GetActivityType().GetName() {
	case api.RunContainerActivity:
		if strings.Contains(string(scheduled.GetInput().GetPayloads()[0].GetData()), `"after":[`) {
			c.counts["attempts that were sent ahead"]++
		}
	case api.RevokeContainerActivity:
		c.counts["attempts that were called back"]++
	}
}

// replay replays all histories: whatever worker had been given any of these tasks, it would
// have decided the same.
func (c *chaos) replay() {
	replayer := worker.NewWorkflowReplayer()
	workflows.Register(replayer)
	for _, x := range c.executions("") {
		id := x.GetExecution()
		err := replayer.ReplayWorkflowHistoryWithOptions(quiet{}, &historypb.History{Events: c.history(id.GetWorkflowId(), id.GetRunId())},
			worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{ID: id.GetWorkflowId(), RunID: id.GetRunId()}})
		if assert.NoError(c, err, "workflow %s, run %s", id.GetWorkflowId(), id.GetRunId()) {
			c.counts["histories that were replayed"]++
		}
	}
}

func (c *chaos) history(workflowID, runID string) (events []*historypb.HistoryEvent) {
	for h := c.client.GetWorkflowHistory(c.Context(), workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); h.HasNext(); {
		e, err := h.Next()
		require.NoError(c, err)
		events = append(events, e)
	}
	return events
}

// summary is an event of a history in a line. Workflow tasks are left out.
func (c *chaos) summary(e *historypb.HistoryEvent) string {
	kind := e.GetEventType().String()
	if strings.HasPrefix(kind, "WorkflowTask") && e.GetWorkflowTaskFailedEventAttributes() == nil {
		return ""
	}
	details := e.GetUserMetadata().GetSummary().GetData()
	for _, payload := range e.GetWorkflowExecutionSignaledEventAttributes().GetInput().GetPayloads() {
		details = append(details, payload.GetData()...)
	}
	at := e.GetEventTime().AsTime().Sub(c.began).Seconds()
	return fmt.Sprintf("%6.1fs %4d %s %.300s %.500s", at, e.GetEventId(), kind, details, outcomeOf(e))
}

// outcomeOf says how an activity or a workflow ended, if the event is such an end.
func outcomeOf(e *historypb.HistoryEvent) string {
	switch {
	case e.GetActivityTaskScheduledEventAttributes() != nil:
		return e.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName()
	case e.GetActivityTaskStartedEventAttributes() != nil:
		a := e.GetActivityTaskStartedEventAttributes()
		return fmt.Sprintf("of %d, attempt %d by %s, after: %s", a.GetScheduledEventId(), a.GetAttempt(), a.GetIdentity(), a.GetLastFailure().GetMessage())
	case e.GetActivityTaskCompletedEventAttributes() != nil:
		a := e.GetActivityTaskCompletedEventAttributes()
		return fmt.Sprintf("of %d: %s", a.GetScheduledEventId(), a.GetResult())
	case e.GetActivityTaskFailedEventAttributes() != nil:
		a := e.GetActivityTaskFailedEventAttributes()
		return fmt.Sprintf("of %d: %s", a.GetScheduledEventId(), a.GetFailure().GetMessage())
	case e.GetWorkflowExecutionCompletedEventAttributes() != nil:
		return e.GetWorkflowExecutionCompletedEventAttributes().GetResult().String()
	case e.GetWorkflowTaskFailedEventAttributes() != nil:
		return e.GetWorkflowTaskFailedEventAttributes().GetFailure().GetMessage()
	}
	return ""
}

// dump prints what there is to know of a workflow: its state, what it tries right now,
// and the end of its history.
func (c *chaos) dump(workflowID string) {
	ctx, cancel := context.WithTimeout(c.Context(), chaosPatience)
	defer cancel()
	var text strings.Builder
	fmt.Fprintf(&text, "%s:", workflowID)
	var state json.RawMessage
	answer, err := c.client.QueryWorkflow(ctx, workflowID, "", api.QueryState)
	if err == nil {
		err = answer.Get(&state)
	}
	fmt.Fprintf(&text, "\n  state %s %v", state, err)
	if described, err := c.client.DescribeWorkflowExecution(ctx, workflowID, ""); err == nil {
		for _, p := range described.GetPendingActivities() {
			fmt.Fprintf(&text, "\n  pending %s, attempt %d, %s: %s", p.GetActivityType().GetName(), p.GetAttempt(), p.GetState(), p.GetLastFailure().GetMessage())
		}
	}
	for _, x := range c.executions(fmt.Sprintf("WorkflowId = %q", workflowID)) {
		fmt.Fprintf(&text, "\n  run %s: %s", x.GetExecution().GetRunId(), x.GetStatus())
		events := c.history(workflowID, x.GetExecution().GetRunId())
		for _, e := range events[max(0, len(events)-60):] {
			if line := c.summary(e); line != "" {
				fmt.Fprintf(&text, "\n  %s", line)
			}
		}
	}
	c.Log(text.String())
}
