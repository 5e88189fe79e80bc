package whole

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"

	"drover/internal/api"
)

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

// executions returns the executions that a query finds.
func (c *crowd) executions(query string) (all []*workflowpb.WorkflowExecutionInfo) {
	var token []byte
	for {
		page, err := c.s.client.ListWorkflow(c.s.Context(), listRequest(query, token))
		require.NoError(c.s, err)
		all = append(all, page.GetExecutions()...)
		if token = page.GetNextPageToken(); len(token) == 0 {
			return all
		}
	}
}

// fleetRuns returns how many runs the fleet's workflow has had.
func (c *crowd) fleetRuns() int {
	return len(c.executions(fmt.Sprintf("WorkflowType = %q", api.FleetWorkflow)))
}

// longestHistory returns the length of the longest history of those that have closed.
func (c *crowd) longestHistory() (longest int64) {
	for _, e := range c.executions("ExecutionStatus != 'Running'") {
		longest = max(longest, e.GetHistoryLength())
	}
	return longest
}

// largestCarried returns the size, in bytes, of the largest input of a run of the fleet.
func (c *crowd) largestCarried() (largest int) {
	for _, e := range c.executions(fmt.Sprintf("WorkflowType = %q", api.FleetWorkflow)) {
		run := e.GetExecution()
		history := c.s.client.GetWorkflowHistory(c.s.Context(), run.GetWorkflowId(), run.GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		started, err := history.Next()
		require.NoError(c.s, err)
		carried := 0
		for _, p := range started.GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads() {
			carried += len(p.GetData())
		}
		largest = max(largest, carried)
	}
	return largest
}
