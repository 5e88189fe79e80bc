package devserver_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	querypb "go.temporal.io/api/query/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// testContext ends with the test, or when that hangs.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

func dial(t testing.TB, p *process) client.Client {
	t.Helper()
	c, err := client.DialContext(testContext(t), client.Options{
		HostPort: p.Address,
		Logger:   log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func startWorkflow(t testing.TB, c client.Client, id string, wf any, args ...any) client.WorkflowRun {
	t.Helper()
	run, err := c.ExecuteWorkflow(testContext(t), client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue}, wf, args...)
	require.NoError(t, err)
	return run
}

func TestRunsWorkflows(t *testing.T) {
	ctx := testContext(t)
	c := dial(t, start(t))
	serve(t, c)
	t.Run("signal and activity", func(t *testing.T) {
		run := startWorkflow(t, c, "greeting", greet)
		require.NoError(t, c.SignalWorkflow(ctx, run.GetID(), "", "name", "drover"))
		var greeting string
		require.NoError(t, run.Get(ctx, &greeting))
		assert.Equal(t, "hello drover", greeting)
	})
	t.Run("a timer fires well within Temporal's usual second", func(t *testing.T) {
		late := make([]time.Duration, 9)
		for i := range late {
			require.NoError(t, startWorkflow(t, c, fmt.Sprint("nap-", i), nap, 50*time.Millisecond).Get(ctx, &late[i]))
		}
		slices.Sort(late)
		assert.Less(t, late[len(late)/2], 400*time.Millisecond)
	})
	t.Run("update with start", func(t *testing.T) {
		update, err := c.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
			StartWorkflowOperation: c.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
				ID: "echo", TaskQueue: taskQueue, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
			}, echo),
			UpdateOptions: client.UpdateWorkflowOptions{
				UpdateName: "echo", Args: []any{"hi"}, WaitForStage: client.WorkflowUpdateStageCompleted,
			},
		})
		require.NoError(t, err)
		var text string
		require.NoError(t, update.Get(ctx, &text))
		assert.Equal(t, "hi", text)
		require.NoError(t, c.SignalWorkflow(ctx, "echo", "", "stop", nil))
	})
	t.Run("a cancelled activity is told without a heartbeat", func(t *testing.T) {
		run := startWorkflow(t, c, "stuck", stuck)
		require.Eventually(t, func() bool { return hanging.Load() == 1 }, deadline, time.Millisecond)
		begun := time.Now()
		require.NoError(t, c.CancelWorkflow(ctx, run.GetID(), ""))
		canceled := new(temporal.CanceledError)
		require.ErrorAs(t, run.Get(ctx, nil), &canceled)
		t.Logf("cancelled in %v", time.Since(begun))
	})
}

// TestManyMayAskAWorkflowInATask asks a workflow whose task nobody takes.
func TestManyMayAskAWorkflowInATask(t *testing.T) {
	p := start(t)
	startWorkflow(t, dial(t, p), "busy", greet)
	connection, err := grpc.NewClient(p.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer connection.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			_, err := workflowservice.NewWorkflowServiceClient(connection).QueryWorkflow(ctx, &workflowservice.QueryWorkflowRequest{
				Namespace: client.DefaultNamespace, Execution: &commonpb.WorkflowExecution{WorkflowId: "busy"},
				Query: &querypb.WorkflowQuery{QueryType: "state"},
			})
			assert.Equal(t, codes.DeadlineExceeded, status.Code(err), "each waits: %v", err)
		})
	}
	all.Wait()
}

func TestSearchAttributeIsUsableAsSoonAsRegistered(t *testing.T) {
	ctx := testContext(t)
	c := dial(t, start(t))
	_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace:        "default",
		SearchAttributes: map[string]enumspb.IndexedValueType{"DroverFleet": enumspb.INDEXED_VALUE_TYPE_KEYWORD},
	})
	require.NoError(t, err)
	_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: "tagged", TaskQueue: taskQueue,
		TypedSearchAttributes: temporal.NewSearchAttributes(temporal.NewSearchAttributeKeyKeyword("DroverFleet").ValueSet("gpu")),
	}, greet)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(list(t, c, "DroverFleet = 'gpu'")) == 1 }, deadline, 10*time.Millisecond)
}

// list returns the IDs of the workflows that a query finds.
func list(t testing.TB, c client.Client, query string) []string {
	t.Helper()
	found, err := c.ListWorkflow(testContext(t), &workflowservice.ListWorkflowExecutionsRequest{Query: query})
	require.NoError(t, err)
	ids := []string{}
	for _, e := range found.GetExecutions() {
		ids = append(ids, e.GetExecution().GetWorkflowId())
	}
	return ids
}

func TestKillKeepsAllData(t *testing.T) {
	ctx := testContext(t)
	file := filepath.Join(t.TempDir(), "with space & 100%?.db")
	const workflows = 20
	first := start(t, "--db-file="+file)
	c := dial(t, first)
	for i := range workflows {
		run := startWorkflow(t, c, fmt.Sprint("kept-", i), greet)
		require.NoError(t, c.SignalWorkflow(ctx, run.GetID(), "", "name", run.GetID()))
	}
	first.kill(t)

	second := start(t, "--db-file="+file)
	require.NotEqual(t, first.Address, second.Address)
	c = dial(t, second)
	serve(t, c)
	for i := range workflows {
		id := fmt.Sprint("kept-", i)
		var greeting string
		require.NoError(t, c.GetWorkflow(ctx, id, "").Get(ctx, &greeting))
		assert.Equal(t, "hello "+id, greeting)
	}
	require.Eventually(t, func() bool {
		return len(list(t, c, "ExecutionStatus = 'Completed'")) == workflows
	}, deadline, 10*time.Millisecond)
}

func TestSurvivesAKillWhileTablesAreCreated(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new.db")
	require.NoError(t, os.WriteFile(file+".new", []byte("half a database"), 0o600))
	dial(t, start(t, "--db-file="+file))
	assert.NoFileExists(t, file+".new")
}

func TestOneDatabaseHasOneServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shared.db")
	first := start(t, "--db-file="+file)
	out, err := command(t, "server", "--db-file="+file).CombinedOutput()
	require.ErrorContains(t, err, "exit status 1")
	assert.Contains(t, string(out), "--db-file "+file+": another server uses this database")
	first.kill(t)
	start(t, "--db-file="+file)
}

func TestSeveralRunSideBySide(t *testing.T) {
	ctx := testContext(t)
	clients := []client.Client{dial(t, start(t)), dial(t, start(t))}
	for i, c := range clients {
		startWorkflow(t, c, fmt.Sprint("of-", i), greet)
	}
	for i, c := range clients {
		_, err := c.DescribeWorkflowExecution(ctx, fmt.Sprint("of-", i), "")
		require.NoError(t, err)
		_, err = c.DescribeWorkflowExecution(ctx, fmt.Sprint("of-", 1-i), "")
		require.Error(t, err, "a server shows another's workflow")
	}
}

func TestNamespacesAndHTTP(t *testing.T) {
	ctx := testContext(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	httpAddress := l.Addr().String()
	require.NoError(t, l.Close())
	_, httpPort, err := net.SplitHostPort(httpAddress)
	require.NoError(t, err)
	p := start(t, "--namespace=one", "--namespace=two", "--http-port="+httpPort)
	for _, namespace := range []string{"one", "two"} {
		for _, url := range []string{"http://" + httpAddress, p.UI} {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/namespaces/"+namespace, nil)
			require.NoError(t, err)
			resp, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, http.StatusOK, resp.StatusCode, req.URL)
		}
	}
}

// TestListensOnLoopbackOnly reads the kernel's table of this process's sockets.
func TestListensOnLoopbackOnly(t *testing.T) {
	const listening, loopbackHex = "0A", "0100007F"
	p := start(t)
	inodes := socketInodes(t, p.cmd.Process.Pid)
	var found int
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open(filepath.Join("/proc", fmt.Sprint(p.cmd.Process.Pid), "net", table))
		if os.IsNotExist(err) && table == "tcp6" {
			continue // a kernel without IPv6, where nothing can listen on it
		}
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, f.Close()) })
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) < 10 || fields[3] != listening || !inodes["socket:["+fields[9]+"]"] {
				continue
			}
			found++
			assert.True(t, strings.HasPrefix(fields[1], loopbackHex+":"), "listens on %s %s", table, fields[1])
		}
		require.NoError(t, lines.Err())
	}
	assert.Equal(t, 5, found, "frontend, history, matching, worker and UI")
}

func socketInodes(t *testing.T, pid int) map[string]bool {
	t.Helper()
	dir := filepath.Join("/proc", fmt.Sprint(pid), "fd")
	fds, err := os.ReadDir(dir)
	require.NoError(t, err)
	inodes := map[string]bool{}
	for _, fd := range fds {
		if target, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil {
			inodes[target] = true
		}
	}
	return inodes
}
