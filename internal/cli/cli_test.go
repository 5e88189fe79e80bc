package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

func TestErrorsAreOneLineAndChooseTheExitStatus(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		line string
		code int
	}{
		"none":                  {nil, "", 0},
		"a failure":             {errors.New("container \"x\" does not exist"), "drover: container \"x\" does not exist\n", 1},
		"usage":                 {Usagef("run: there is no command"), "drover: run: there is no command\n", 2},
		"usage, wrapped":        {fmt.Errorf("a: %w", Usagef("b")), "drover: a: b\n", 2},
		"an exit code":          {&ExitError{Code: 7}, "", 7},
		"an exit code, said":    {&ExitError{Code: 137, Err: errors.New("killed")}, "drover: killed\n", 137},
		"several, several rows": {errors.Join(errors.New("a\n b"), errors.New("c\r\nd")), "drover: a; b; c; d\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			assert.Equal(t, c.code, Report(&stderr, c.err))
			assert.Equal(t, c.line, stderr.String())
		})
	}
}

func TestTemporalsErrorsAreSaidInWordsForPeople(t *testing.T) {
	assert.Equal(t, "fleet is full", reason(fmt.Errorf("x: %w", temporal.NewApplicationError("fleet is full", "invalid"))))
	assert.Contains(t, reason(serviceerror.NewFailedPrecondition("no poller seen for task queue recently")), "drover-worker")
	assert.Contains(t, reason(serviceerror.NewDeadlineExceeded("x")), "is a worker running?")
	assert.Contains(t, reason(serviceerror.NewUnavailable("x")), "Temporal does not answer")
	assert.True(t, isNotFound(fmt.Errorf("x: %w", serviceerror.NewNotFound("y"))))
}

func TestAContainersEndIsDroversExitStatus(t *testing.T) {
	for name, c := range map[string]struct {
		ending Ending
		code   int
		says   string
	}{
		"exit code 0":         {Ending{Result: &api.ContainerResult{}}, 0, ""},
		"an exit code":        {Ending{Result: &api.ContainerResult{ExitCode: 9}}, 9, ""},
		"with an explanation": {Ending{Result: &api.ContainerResult{ExitCode: 143, Error: "timeout of 1h passed"}}, 143, "drover: container c: timeout of 1h passed\n"},
		"refused":             {Ending{Failure: "no type fits"}, 1, "drover: container c: no type fits\n"},
		"cancelled":           {Ending{Cancelled: true, Result: &api.ContainerResult{ExitCode: 143}}, 143, "drover: container c was cancelled\n"},
		"cancelled in queue":  {Ending{Cancelled: true}, 1, "drover: container c was cancelled\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			assert.Equal(t, c.code, Report(&stderr, c.ending.Exit("c")))
			assert.Equal(t, c.says, stderr.String())
		})
	}
}

func TestOnlyOutputThatIsWholeAndUnchangedIsTakenFromTheResult(t *testing.T) {
	text, ok := exact(&api.ContainerResult{Output: "héllo\n"})
	assert.True(t, ok)
	assert.Equal(t, "héllo\n", text)
	for _, result := range []*api.ContainerResult{nil, {Output: "tail", OutputTruncated: true}, {Output: "\uFFFD was something else"}} {
		_, ok := exact(result)
		assert.False(t, ok)
	}
}

func TestContainerIDsAreValidAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewContainerID()
		require.NoError(t, api.CheckContainerID(id))
		assert.Regexp(t, `^c-[0-9a-z]{8}$`, id)
		assert.False(t, seen[id])
		seen[id] = true
	}
}

func TestAPipeGetsALinePerChangeAndTheOutputUnchanged(t *testing.T) {
	var out, errs bytes.Buffer
	s := NewScreen(&out, &errs)
	s.Status("c: queue position 2")
	s.Status("c: queue position 2")
	s.Status("c: queue position\x1b[31m 1")
	_, err := s.Write([]byte("a\x00\xffb"))
	require.NoError(t, err)
	s.Note("attempt 2\nbegins")
	s.Clear()
	assert.Equal(t, "a\x00\xffb", out.String())
	assert.Equal(t, "c: queue position 2\nc: queue position [31m 1\nattempt 2 begins\n", errs.String())
}

func TestATerminalHasOneLineThatIsRewritten(t *testing.T) {
	var out, errs bytes.Buffer
	s := NewScreen(&out, &errs)
	s.terminal = true
	s.Status("waits")
	s.Status(strings.Repeat("x", 100))
	_, err := s.Write([]byte("hi\n"))
	require.NoError(t, err)
	assert.Equal(t, "waits\r\x1b[K"+strings.Repeat("x", 78)+"…\r\x1b[K", errs.String())
	assert.Equal(t, "hi\n", out.String())
}

func TestTablesAreAlignedAndHarmless(t *testing.T) {
	var out bytes.Buffer
	p, err := NewPrinter("table", &out, nil)
	require.NoError(t, err)
	require.NoError(t, p.Table([]string{"NAME", "STATE"}, [][]string{{"a-long-name", "idle"}, {"b", ""}, {"c\td\n\x1b[2J", "run"}}))
	assert.Equal(t, "NAME         STATE\na-long-name  idle\nb            -\nc d  [2J     run\n", out.String())
	_, err = NewPrinter("yaml", nil, nil)
	assert.ErrorContains(t, err, "table or json")
}

func TestDurationsAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0ms", 42 * time.Millisecond: "42ms", 1234 * time.Millisecond: "1.2s", 59 * time.Second: "59s",
		125 * time.Second: "2m5s", 3*time.Hour + 4*time.Minute: "3h4m", 50 * time.Hour: "2d2h",
	} {
		assert.Equal(t, want, Short(d))
	}
}

func TestTheJSONOfInstancesIsAContract(t *testing.T) {
	data, err := json.Marshal(rowOf(api.InstanceState{Name: "a", Fleet: "f", LastBusy: api.Time{Time: time.Unix(0, 0)}}))
	require.NoError(t, err)
	assert.JSONEq(t, `{"name":"a","cloud_id":"","address":"","state":"","idle_behavior":"","type":"","provider_type":"","price":0,
		"running":[],"last_container":"","last_busy":"1970-01-01T00:00:00.000000000Z","boot_outcome":"","workflow_id":"","run_id":""}`, string(data))
}

func TestEndingsAreShownAsStates(t *testing.T) {
	var state api.ContainerState
	Ending{Result: &api.ContainerResult{ExitCode: 3, Instance: "i", Error: "timeout"}}.describe(&state)
	assert.Equal(t, api.ContainerExited, state.State)
	assert.Equal(t, 3, *state.ExitCode)
	assert.Equal(t, "exit code 3: timeout", state.Status)
	state = api.ContainerState{}
	Ending{Cancelled: true}.describe(&state)
	assert.Equal(t, api.ContainerCancelled, state.State)
	assert.Nil(t, state.ExitCode)
	state = api.ContainerState{}
	Ending{Failure: "refused"}.describe(&state)
	assert.Equal(t, api.ContainerFailed, state.State)
	assert.Equal(t, "refused", state.Status)
}

func TestWhatAnApplyChangesIsShown(t *testing.T) {
	spec, err := readSpec(Apply{File: "-", Stdin: strings.NewReader("name: gpu\nlimits: {max_instances: 3}\n")})
	require.NoError(t, err)
	var changes []string
	for _, c := range fleetspec.Diff(fleetspec.Default("gpu"), spec) {
		changes = append(changes, c.String())
	}
	var out bytes.Buffer
	p, err := NewPrinter("table", &out, nil)
	require.NoError(t, err)
	s := &Session{Print: p}
	s.showChanges(Applied{Name: "gpu", Changes: changes})
	require.NoError(t, s.showApplied(Applied{Name: "gpu", Changes: changes, DryRun: true}))
	assert.Equal(t, "fleet gpu changes:\n  limits.max_instances: 64 → 3\ndry run: nothing was done\n", out.String())

	_, err = readSpec(Apply{File: "-", Stdin: strings.NewReader("name: gpu\nlimits: {max_instances: many}\n")})
	assert.ErrorContains(t, err, "stdin:2: limits.max_instances")
	assert.True(t, s.confirm(strings.NewReader("n\n")), "a pipe is not asked")
}

func TestStdinThatCannotBeReadIsSaid(t *testing.T) {
	broken := iotest.ErrReader(errors.New("it is a terminal that hung up"))
	_, err := readSpec(Apply{File: "-", Stdin: broken})
	assert.EqualError(t, err, "read stdin: it is a terminal that hung up")
	_, err = Simulation{Workload: "-", Stdin: broken}.readWorkload()
	assert.EqualError(t, err, "read stdin: it is a terminal that hung up")
}

func TestByNamesAUserAndAHost(t *testing.T) {
	assert.Regexp(t, `^.+@.+$`, By())
}
