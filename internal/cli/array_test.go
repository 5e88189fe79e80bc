package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/types/known/timestamppb"

	"drover/internal/api"
	"drover/internal/indices"
)

// found is what visibility says about a container, with a memo if there is one.
func found(t *testing.T, workflowID string, memo any, status enumspb.WorkflowExecutionStatus, started int64) *workflowpb.WorkflowExecutionInfo {
	info := &workflowpb.WorkflowExecutionInfo{
		Execution: &commonpb.WorkflowExecution{WorkflowId: workflowID, RunId: "run"}, Status: status,
		StartTime: timestamppb.New(time.Unix(started, 0)),
	}
	if memo != nil {
		payload, err := converter.GetDefaultDataConverter().ToPayload(memo)
		require.NoError(t, err)
		info.Memo = &commonpb.Memo{Fields: map[string]*commonpb.Payload{api.MemoArray: payload}}
	}
	return info
}

const (
	open      = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	completed = enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
	failed    = enumspb.WORKFLOW_EXECUTION_STATUS_FAILED
	carried   = enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW
)

func TestOnlyWhatHasTheMemoAndTheNameIsAnElement(t *testing.T) {
	x := api.Array{Name: "x", Elements: "0-9"}
	arrays := arraysOf([]*workflowpb.WorkflowExecutionInfo{
		found(t, "container/x.0", x, completed, 10),
		found(t, "container/x.1", nil, open, 10),                                            // a name like that
		found(t, "container/x.10", nil, open, 10),                                           // likewise
		found(t, "container/x.11", x, open, 10),                                             // x has no such element
		found(t, "container/x.02", x, open, 10),                                             // not how an index is written
		found(t, "container/y.3", x, open, 10),                                              // of another name
		found(t, "x.4", x, open, 10),                                                        // under a workflow ID of its own
		found(t, "container/x.5", "nonsense", open, 10),                                     // a memo of somebody else's
		found(t, "container/x.6", x, completed, 10),                                         // and then run anew by somebody else
		found(t, "container/x.6", nil, open, 20),                                            //
		found(t, "container/x.7", api.Array{Name: "x", Elements: "5-7"}, completed, 5),      // an older array
		found(t, "container/x.8", x, carried, 10),                                           // goes on in another run
		found(t, "container/z.1", api.Array{Name: "z", Elements: "not a set"}, open, 10),    //
		found(t, "container/deep.er.1", api.Array{Name: "deep.er", Elements: "1"}, open, 1), //
	})
	require.Len(t, arrays, 2)
	assert.Equal(t, "x[0-9]", arrays["x"].Label())
	assert.Len(t, arrays["x"].Containers, 2)
	assert.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 9}, arrays["x"].missing())
	require.Len(t, arrays["x"].alive(), 1)
	assert.Equal(t, "x.8", arrays["x"].alive()[0].ID)
	assert.Empty(t, arrays["x"].alive()[0].RunID, "whichever runs now")
	assert.Equal(t, "deep.er", arrays["deep.er"].Containers[1].Array)
}

// element is a row of an array x, or of no array.
func element(id, state string) Listed {
	l := Listed{ContainerState: api.ContainerState{ID: id, State: state, Fleet: "default", Command: "run it", QueuedAt: api.Time{Time: time.Unix(100, 0)}}}
	if name, index, ok := api.ParseElementID(id); ok && name == "x" && index < 10 {
		l.Array, l.ArrayIndex = name, &index
	}
	return l
}

func TestAnArrayIsFoldedIntoOneLine(t *testing.T) {
	in := func(status enumspb.WorkflowExecutionStatus, started int64) Container {
		return Container{Status: status, Started: time.Unix(started, 0)}
	}
	for name, c := range map[string]struct {
		rows       []Listed
		containers map[int]Container
		ids        string
		state      string
		status     string
	}{
		"some everywhere": {
			[]Listed{element("a", "running"), element("x.1", "running"), element("x.2", "assigned"), element("b.1", "queued"), element("x.3", "queued"), element("x.12", "queued")},
			map[int]Container{0: in(completed, 90), 1: in(open, 100), 2: in(open, 100), 3: in(open, 100), 4: in(failed, 100), 5: in(enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED, 100)},
			"a x[0-9] b.1 x.12", "running", "1 running, 1 assigned, 1 queued, 3 done (1 failed, 1 cancelled)",
		},
		"visibility lags": {
			[]Listed{element("x.1", "queued"), element("x.2", "queued")}, map[int]Container{1: in(open, 90)},
			"x[0-9]", "queued", "2 queued",
		},
		"its fleet lags": {
			[]Listed{element("x.1", "assigned")}, map[int]Container{1: in(open, 90), 2: in(open, 90)},
			"x[0-9]", "assigned", "1 assigned, 1 queued",
		},
		"ended meanwhile": {
			[]Listed{element("x.1", "running")}, map[int]Container{1: in(completed, 90)},
			"x[0-9]", "exited", "1 done",
		},
		"ended, with failures": {
			[]Listed{element("x.1", "exited")}, map[int]Container{0: in(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, 90), 1: in(completed, 95)},
			"x[0-9]", "failed", "2 done (1 failed)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := indices.Parse("0-9")
			require.NoError(t, err)
			rows := foldArrays(c.rows, map[string]*Array{"x": {Name: "x", Elements: set, Containers: c.containers}})
			var ids []string
			for _, row := range rows {
				ids = append(ids, row.ID)
				if row.ID == "x[0-9]" {
					assert.Equal(t, c.state, row.State)
					assert.Equal(t, c.status, row.Status)
					assert.Equal(t, "run it", row.Command)
					assert.Equal(t, time.Unix(90, 0), row.QueuedAt.Time, "since the first was submitted")
				}
			}
			assert.Equal(t, c.ids, strings.Join(ids, " "))
		})
	}
	assert.Len(t, foldArrays([]Listed{element("x.1", "queued"), element("x.2", "queued")}, nil), 2, "an array that can't be found is not folded")
}

func TestAnArrayEndsAsItsWorstElement(t *testing.T) {
	result := func(code int) Ending { return Ending{Result: &api.ContainerResult{ExitCode: code, Cost: 0.5}} }
	for name, c := range map[string]struct {
		endings map[int]Ending
		code    int
		says    string
	}{
		"all well":     {map[int]Ending{0: result(0), 1: result(0), 2: result(0)}, 0, ""},
		"the highest":  {map[int]Ending{0: result(3), 1: result(0), 2: result(9)}, 9, "drover: array x: 2 of 3 failed: 0 (exit code 3), 2 (exit code 9); `drover logs x.0` shows the output of the first\n"},
		"equal ends":   {map[int]Ending{0: result(3), 1: {Cancelled: true}, 2: {Cancelled: true}}, 3, "drover: array x: 3 of 3 failed: 1,2 (cancelled), 0 (exit code 3); `drover logs x.0` shows the output of the first\n"},
		"the machines": {map[int]Ending{0: result(0), 1: result(0), 2: {Failure: "no type fits"}}, 1, "drover: array x: 1 of 3 failed: 2 (no type fits); `drover logs x.2` shows the output of the first\n"},
		"missing":      {map[int]Ending{1: result(0)}, 1, "drover: array x: 2 of 3 failed: 0,2 (does not exist)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			end := endOf(&Array{Name: "x", Elements: indices.Set{0, 1, 2}}, c.endings)
			var stderr bytes.Buffer
			assert.Equal(t, c.code, Report(&stderr, end.Exit()))
			assert.Equal(t, c.says, stderr.String())
			assert.Equal(t, c.code, end.ExitCode)
			assert.Len(t, end.Containers, 3)
		})
	}
}

func TestTheProgressOfAnArrayIsCounted(t *testing.T) {
	for name, c := range map[string]struct {
		exist, done, failed int
		places              counts
		whole               bool
		want                string
	}{
		"nothing yet":        {0, 0, 0, nil, false, "submitted 0 of 4: 0 done"},
		"being submitted":    {2, 1, 0, nil, false, "submitted 2 of 4: 1 queued, 1 done; first in line: waiting"},
		"waiting":            {4, 0, 0, nil, true, "4 queued; first in line: waiting"},
		"waiting for a boot": {4, 0, 0, counts{"assigned": 1}, true, "1 assigned, 3 queued; first in line: waiting"},
		"running":            {4, 1, 1, counts{"running": 2}, true, "2 running, 1 queued, 1 done (1 failed)"},
		"seen too late":      {4, 3, 0, counts{"running": 2, "assigned": 1}, true, "1 running, 3 done"},
		"done":               {4, 4, 2, counts{"running": 2}, true, "4 done (2 failed)"},
	} {
		t.Run(name, func(t *testing.T) {
			g := gather(nil, &Array{Name: "x", Elements: indices.Set{0, 1, 2, 3}}, nil)
			g.places, g.whole, g.why = c.places, c.whole, "waiting"
			for i := range c.exist {
				g.containers[i] = Container{}
			}
			for i := range c.done {
				g.endings[i] = Ending{Result: &api.ContainerResult{}}
				if i < c.failed {
					g.endings[i] = Ending{Result: &api.ContainerResult{ExitCode: 1}}
				}
			}
			assert.Equal(t, c.want, g.progress())
		})
	}
}

func TestCtrlCAsksAndSIGTERMCancels(t *testing.T) {
	for name, c := range map[string]struct {
		answer           string // empty: there is nobody to ask
		signals          []os.Signal
		cancels, leaves  int
		code             int
		says, also, ends string
	}{
		"a pipe":        {"", []os.Signal{syscall.SIGINT}, 1, 0, 130, "a-1: is being cancelled\n", "", ""},
		"SIGTERM":       {"d\n", []os.Signal{syscall.SIGTERM}, 1, 0, 143, "a-1: is being cancelled\n", "", ""},
		"detach":        {"d\n", []os.Signal{syscall.SIGINT}, 0, 1, 0, "a-1: cancel or detach? [c/d] ", "a-1 runs on: it is later\n", ""},
		"cancel":        {"c\n", []os.Signal{syscall.SIGINT}, 1, 0, 130, "[c/d] ", "a-1: is being cancelled\n", ""},
		"no answer":     {"", []os.Signal{syscall.SIGTERM, syscall.SIGTERM}, 1, 0, 143, "", "", "array a-1 is being cancelled and may run still: `drover wait a-1`"},
		"end of input":  {"x", []os.Signal{syscall.SIGINT}, 1, 0, 130, "[c/d] ", "", ""},
		"no signal":     {"", nil, 0, 0, 0, "", "", ""},
		"can't be left": {"d\n", []os.Signal{syscall.SIGINT}, 0, 1, 1, "", "", "it can't"},
	} {
		t.Run(name, func(t *testing.T) {
			var errs bytes.Buffer
			signals := make(chan os.Signal, 2)
			for _, s := range c.signals {
				signals <- s
			}
			job := Job{Signals: signals}
			if c.answer != "" {
				job.Stdin = strings.NewReader(c.answer)
			}
			cancels, leaves, over := 0, 0, make(chan struct{})
			if len(c.signals) == 0 {
				close(over)
			}
			a := attended{kind: "array", id: "a-1", later: "it is later", screen: NewScreen(&errs, &errs)}
			a.follow = func(ctx context.Context) error {
				select {
				case <-over:
				case <-ctx.Done():
				}
				return ctx.Err()
			}
			a.cancel = func(context.Context) error {
				if cancels++; len(c.signals) < 2 {
					close(over)
				}
				return nil
			}
			a.leave = func(context.Context) error {
				leaves++
				if c.ends == "it can't" {
					return errors.New(c.ends)
				}
				return nil
			}
			cancelled, err := (&Session{}).attend(t.Context(), job, a)
			if err == nil && cancelled != 0 {
				err = &ExitError{Code: cancelled}
			}
			var said bytes.Buffer
			assert.Equal(t, c.code, Report(&said, err))
			assert.Contains(t, said.String(), c.ends)
			assert.Equal(t, c.cancels, cancels)
			assert.Equal(t, c.leaves, leaves)
			assert.Contains(t, errs.String(), c.says)
			assert.Contains(t, errs.String(), c.also)
		})
	}
}
