package workflows_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"drover/workflows"
)

// TestRecordedHistoriesReplay replays what earlier versions of the workflows have
// done. A failure means that workflows which run now would break when workers are
// upgraded: see docs/changing-workflows.md.
func TestRecordedHistoriesReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/histories/*/*.json.gz")
	require.NoError(t, err)
	all := map[string]string{} // by kind
	for _, file := range files {
		kind, _, _ := strings.Cut(filepath.Base(file), "-")
		text := recorded(t, file)
		all[kind] += string(text)
		t.Run(file, func(t *testing.T) {
			replayer := worker.NewWorkflowReplayer()
			workflows.Register(replayer)
			history, err := client.HistoryFromJSON(bytes.NewReader(text), client.HistoryJSONOptions{})
			require.NoError(t, err)
			require.NoError(t, replayer.ReplayWorkflowHistoryWithOptions(nil, history, worker.ReplayWorkflowHistoryOptions{
				OriginalExecution: workflow.Execution{ID: kind + "/default", RunID: "recorded"},
			}))
		})
	}
	const continued = "EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW"
	for kind, events := range map[string][]string{
		"fleet":     {continued, `"SyncFleet"`, `"RecallContainers"`},
		"container": {continued, "EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED", "EVENT_TYPE_WORKFLOW_EXECUTION_FAILED"},
		"instance": {
			continued, `"KillContainer"`, `"RevokeContainer"`, `"ExplainBoot"`, `"TagInstance"`,
			"EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED", "EVENT_TYPE_ACTIVITY_TASK_CANCELED",
		},
	} {
		for _, event := range events {
			assert.Contains(t, all[kind], event, "there is none in the histories of kind %s", kind)
		}
	}
}

// recorded returns a history as JSON.
func recorded(t *testing.T, file string) []byte {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	require.NoError(t, err)
	text, err := io.ReadAll(unzipped)
	require.NoError(t, err)
	return text
}
