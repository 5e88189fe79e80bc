package workflows_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	files, err := filepath.Glob("testdata/histories/*/*.json")
	require.NoError(t, err)
	for _, kind := range []string{"fleet", "instance", "container"} {
		require.Contains(t, strings.Join(files, " "), "/"+kind+"-", "there are histories of every workflow")
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			replayer := worker.NewWorkflowReplayer()
			workflows.Register(replayer)
			text, err := os.Open(file)
			require.NoError(t, err)
			defer text.Close()
			history, err := client.HistoryFromJSON(text, client.HistoryJSONOptions{})
			require.NoError(t, err)
			kind, _, _ := strings.Cut(filepath.Base(file), "-")
			require.NoError(t, replayer.ReplayWorkflowHistoryWithOptions(nil, history, worker.ReplayWorkflowHistoryOptions{
				OriginalExecution: workflow.Execution{ID: kind + "/default", RunID: "recorded"},
			}))
		})
	}
}
