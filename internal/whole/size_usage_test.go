package whole

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"

	"drover/internal/api"
)

// happening is something that has happened to a container: it begins or ends, by the
// runner's name, or is told its outcome, in a message.
type happening struct{ what, container, message string }

// happened returns what has happened, in order.
func (r *sizeRun) happened() (all []happening) {
	f, err := os.Open(r.log)
	require.NoError(r, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := append(strings.Fields(lines.Text()), "")
		all = append(all, happening{fields[0], fields[1], fields[2]})
	}
	return all
}

// watch looks at the fleet, ever again, until it is as wanted.
func (r *sizeRun) watch(wanted func(api.FleetState) bool) {
	for last := time.Now(); ; {
		if r.look() && wanted(r.fleet) {
			return
		}
		if time.Since(last) > 30*time.Second {
			last = time.Now()
			r.say("...")
		}
		select {
		case <-r.Context().Done():
			r.Fatal(r.Context().Err())
		case <-time.After(time.Second): // how often it is looked
		}
	}
}

// look asks the fleet how it stands, and reports whether it has answered.
func (r *sizeRun) look() bool {
	ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
	defer cancel()
	began := time.Now()
	var state api.FleetState
	answer, err := r.client.QueryWorkflow(ctx, api.FleetWorkflowID("default"), "", api.QueryState)
	if err == nil {
		err = answer.Get(&state)
	}
	if err != nil {
		r.unanswered++
		r.say("unanswered after %v: %v", time.Since(began), err)
		return false
	}
	r.took = append(r.took, time.Since(began).Round(time.Millisecond))
	r.fleet = state
	r.peak.running, r.peak.queued = max(r.peak.running, state.Running), max(r.peak.queued, state.Queued)
	return true
}

// ps lists all containers, as people do.
func (r *sizeRun) ps() {
	began := time.Now()
	_, stderr, code := r.drover("ps", "-o", "json")
	require.Zero(r, code, stderr)
	r.listing = time.Since(began).Round(time.Millisecond)
}

// usage returns the CPU seconds that a process has used, and the most memory, in bytes,
// that it has had.
func usage(t testing.TB, pid int) (cpu float64, memory int64) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var user, system float64
	_, err = fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	require.NoError(t, err)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	_, err = fmt.Sscan(rest, &memory)
	require.NoError(t, err)
	return (user + system) / 100, memory << 10
}

// fleetHistories is what the histories of a fleet's runs say.
type fleetHistories struct {
	runs, events, longest int
	largest               int64 // history, in bytes
	carried               int   // the largest input, in bytes
	tasks                 []time.Duration
	failed                map[string]int // workflow tasks, by the cause
	signals               int
}

// executions returns the executions that a query finds.
func (r *sizeRun) executions(query string) (all []*workflowpb.WorkflowExecutionInfo) {
	var token []byte
	for {
		page, err := r.client.ListWorkflow(r.Context(), listRequest(query, token))
		require.NoError(r, err)
		all = append(all, page.GetExecutions()...)
		if token = page.GetNextPageToken(); len(token) == 0 {
			return all
		}
	}
}

// readHistories reads all histories of the fleet.
func (r *sizeRun) readHistories() {
	h := &r.histories
	h.failed = map[string]int{}
	for _, e := range r.executions(fmt.Sprintf("WorkflowType = %q", api.FleetWorkflow)) {
		run := e.GetExecution()
		events := r.client.GetWorkflowHistory(r.Context(), run.GetWorkflowId(), run.GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		h.runs++
		n := 0
		var started time.Time
		for events.HasNext() {
			event, err := events.Next()
			require.NoError(r, err)
			n++
			h.take(event, &started)
		}
		h.events += n
		h.longest, h.largest = max(h.longest, n), max(h.largest, e.GetHistorySizeBytes())
	}
	slices.Sort(h.tasks)
}

// take takes in one event. started is when the last workflow task was.
func (h *fleetHistories) take(event *historypb.HistoryEvent, started *time.Time) {
	switch event.GetEventType() {
	case enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
		carried := 0
		for _, p := range event.GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads() {
			carried += len(p.GetData())
		}
		h.carried = max(h.carried, carried)
	case enums.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
		h.signals++
	case enums.EVENT_TYPE_WORKFLOW_TASK_STARTED:
		*started = event.GetEventTime().AsTime()
	case enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
		h.tasks = append(h.tasks, event.GetEventTime().AsTime().Sub(*started).Round(time.Millisecond))
	case enums.EVENT_TYPE_WORKFLOW_TASK_FAILED:
		h.failed[event.GetWorkflowTaskFailedEventAttributes().GetCause().String()]++
	case enums.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
		h.failed["timed out"]++
	}
}

// eventsOf counts the events of all executions of a type.
func (r *sizeRun) eventsOf(workflowType string) (events int64) {
	for _, e := range r.executions(fmt.Sprintf("WorkflowType = %q", workflowType)) {
		length := e.GetHistoryLength()
		if length == 0 { // of a running one visibility does not know it
			run := e.GetExecution()
			described, err := r.client.DescribeWorkflowExecution(r.Context(), run.GetWorkflowId(), run.GetRunId())
			require.NoError(r, err)
			length = described.GetWorkflowExecutionInfo().GetHistoryLength()
		}
		events += length
	}
	return events
}

// share returns what a part of sorted durations is at most.
func share(sorted []time.Duration, percent int) time.Duration {
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}

// report says what it took.
func (r *sizeRun) report() {
	took := time.Since(r.began)
	cpu, memory := usage(r, r.server.cmd.Process.Pid)
	workerCPU, workerMemory := usage(r, r.workers[0].cmd.Process.Pid)
	r.readHistories()
	h := r.histories
	ended := r.fleet.Totals.Exited
	slices.Sort(r.took)
	r.Logf("%d instances, at most %d containers at a time and %d queued; %d ended by themselves, %.1f a second; in all it took %v",
		r.instances, r.peak.running, r.peak.queued, ended, r.rate, took.Round(time.Second))
	r.Logf("server: %.0f s CPU, %d MiB at most; worker: %.0f s CPU, %d MiB at most", cpu, memory>>20, workerCPU, workerMemory>>20)
	r.Logf("a query of the fleet takes %v (median), %v (95th percentile), %v at most; %d did not answer in time; drover ps takes %v",
		share(r.took, 50), share(r.took, 95), share(r.took, 100), r.unanswered, r.listing)
	r.Logf("the fleet has had %d runs; its longest history has %d events, the largest %d KiB; the largest state that was carried has %d KiB",
		h.runs, h.longest, h.largest>>10, h.carried>>10)
	r.Logf("%d workflow tasks of the fleet took %v (median), %v (95th percentile), %v at most; failed: %v; %d signals, %d changes of priority unheard",
		len(h.tasks), share(h.tasks, 50), share(h.tasks, 95), share(h.tasks, 100), h.failed, h.signals, r.unheard.Load())
	r.Logf("events for each container that has ended: %.1f of the fleet, %.1f of instances; a container's own: %.1f",
		float64(h.events)/float64(r.all()), float64(r.eventsOf(api.InstanceWorkflow))/float64(ended), float64(r.eventsOf(api.ContainerWorkflow))/float64(r.real))
}
