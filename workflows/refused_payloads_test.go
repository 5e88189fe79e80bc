package workflows_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"drover/internal/api"
	"drover/internal/fleetspec"
	"drover/workflows"
)

func TestAFleetIsNotStartedFromNonsense(t *testing.T) {
	for _, c := range []struct {
		id, says string
		change   func(*fleetspec.Spec)
	}{
		{"fleet/default", `name: "A b" is not a fleet's name; allowed: 1 to 40 of a-z, 0-9 and -, with - neither first nor last`, func(s *fleetspec.Spec) { s.Name = "A b" }},
		{"fleet/default", "limits.max_instances: 0 is too small; allowed: 1 or more", func(s *fleetspec.Spec) { s.Limits.MaxInstances = 0 }},
		{"my-fleet", "the workflow ID of fleet default must be fleet/default", nil},
	} {
		w := newWorld(t)
		spec := fleetspec.Default("default")
		if c.change != nil {
			c.change(&spec)
		}
		w.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: c.id})
		w.env.ExecuteWorkflow(workflows.Fleet, api.FleetInput{Spec: spec}, nil)
		var refusal *temporal.ApplicationError
		require.ErrorAs(t, w.env.GetWorkflowError(), &refusal)
		assert.Equal(t, c.says, refusal.Message())
		assert.True(t, refusal.NonRetryable())
		assert.Empty(t, w.did, "nothing was done")
	}
}

func TestAnInstanceIsOnlyStartedByItsFleet(t *testing.T) {
	w := newWorld(t)
	w.env.ExecuteWorkflow(workflows.Instance, api.InstanceInput{})
	var refusal *temporal.ApplicationError
	require.ErrorAs(t, w.env.GetWorkflowError(), &refusal)
	assert.Equal(t, "an Instance is started by its fleet: name, spec.fleet and spec.driver are required", refusal.Message())
	assert.Empty(t, w.did, "nothing was created")
}

// updated sends an update to a fleet, and returns why it was refused.
func (w *world) updated(d time.Duration, name string, payload any) *error {
	refused := new(error)
	w.after(d, func() {
		u := &updates{reject: func(err error) { *refused = err }}
		w.env.UpdateWorkflow(name, fmt.Sprint(name, d), u, payload)
	})
	return refused
}

func TestWhatAFleetIsToldIsRefusedToWhoSaysIt(t *testing.T) {
	w := newWorld(t)
	other := fleetspec.Default("other")
	unknown := fleetspec.Default("default")
	unknown.Driver = "gcp"
	bad := fleetspec.Default("default")
	bad.InstanceTypes[1].VCPUs = -1
	for at, c := range map[time.Duration]struct {
		spec fleetspec.Spec
		says string
	}{
		1 * time.Second: {other, `name: "default" can't become "other": a fleet keeps its name`},
		2 * time.Second: {unknown, `driver: "gcp" is not known; allowed: local`},
		3 * time.Second: {bad, "instance_types[1].vcpus: -1 is not a number of vCPUs; allowed: 0.001 to 1000000"},
	} {
		refused := w.updated(at, api.UpdateApply, c.spec)
		w.after(at+500*time.Millisecond, func() {
			assert.EqualError(t, *refused, c.says)
			assert.Equal(t, fleetspec.Default("default"), query[api.FleetState](w).Spec, "nothing changed")
		})
	}
	w.signal(4*time.Second, api.SignalRequest, request("c-1"))
	one := w.updated(5*time.Second, api.UpdateDelete, api.DeleteFleet{})
	w.up(6*time.Second, 0)
	w.signal(7*time.Second, api.SignalRequest, request("c-2"))
	two := w.updated(8*time.Second, api.UpdateDelete, api.DeleteFleet{})
	w.reportFrom(9*time.Second, 0, 2, api.Report{State: api.StateIdle, Behavior: api.Hold, CloudID: "i-0", Ended: []api.Ended{
		{Container: "c-1", Attempt: 1, How: api.Exited}, {Container: "c-2", Attempt: 1, How: api.Exited}}})
	held := w.updated(10*time.Second, api.UpdateDelete, api.DeleteFleet{Drain: true})
	w.after(11*time.Second, func() {
		assert.EqualError(t, *one, "fleet default has 1 container that has not ended: drain it (--drain), or cancel them first")
		assert.EqualError(t, *two, "fleet default has 2 containers that have not ended: drain it (--drain), or cancel them first")
		assert.EqualError(t, *held, "instance "+w.started[0].Name+" is on hold: drain, run or destroy it first")
	})
	w.reportFrom(12*time.Second, 0, 3, api.Report{State: api.StateIdle, Behavior: api.Run, CloudID: "i-0"})
	w.deleted(13 * time.Second)
	late := w.updated(14*time.Second, api.UpdateApply, fleetspec.Default("default"))
	w.signal(14*time.Second, api.SignalRequest, request("c-3"))
	w.after(15*time.Second, func() {
		assert.EqualError(t, *late, "fleet default is being deleted")
		require.Len(t, w.outcomes["container/c-3"], 1)
		assert.Equal(t, "fleet default is being deleted", w.outcomes["container/c-3"][0].Refused)
	})
	w.manage(nil)
}

func TestAPriorityThatIsNoIntegerChangesNothing(t *testing.T) {
	w := newWorld(t)
	for k, c := range []struct {
		payload any
		shown   string
	}{
		{nil, `""`}, {"5", `"\"5\""`}, {1.5, `"1.5"`}, {[]int{5}, `"[5]"`}, {map[string]int{"priority": 5}, `"{\"priority\":5}"`},
		{[]byte("null"), `"null"`}, {[]byte{0xff}, `"\xff"`}, {1e30, `"1e+30"`},
	} {
		at := time.Duration(k+1) * 100 * time.Millisecond
		w.signal(at, api.SignalSetPriority, c.payload)
		w.after(at+50*time.Millisecond, func() {
			assert.Contains(t, w.details(), "ignored signal set-priority: "+c.shown+" is not an integer; allowed: a number such as 5, below 0 to hold it")
			assert.Equal(t, 3, query[api.ContainerState](w).Priority)
		})
	}
	w.signal(4*time.Second, api.SignalOutcome, api.Outcome{Result: &api.ContainerResult{}})
	_, err := w.contain("container/c-1", `{"command": ["true"], "priority": 3}`)
	require.NoError(t, err)
	assert.Len(t, w.requests, 1, "the fleet is told nothing")
}

func TestAnOutcomeThatSaysNothingIsNone(t *testing.T) {
	w := newWorld(t)
	for k, payload := range []any{nil, 7, "x", []byte{1}, map[string]int{"result": 5}, api.Outcome{}} {
		w.signal(time.Duration(k+1)*time.Second, api.SignalOutcome, payload)
	}
	w.signal(time.Minute, api.SignalOutcome, api.Outcome{Result: &api.ContainerResult{ExitCode: 4}})
	result, err := w.contain("container/c-1", `{"command": ["true"]}`)
	require.NoError(t, err)
	assert.Equal(t, 4, result.ExitCode)
}

func TestAContainersWorkflowIDIsPrintable(t *testing.T) {
	_, err := newWorld(t).contain("container/ü", `{"command": ["true"]}`)
	var refusal *temporal.ApplicationError
	require.ErrorAs(t, err, &refusal)
	assert.Equal(t, `workflow ID "container/ü" is not allowed: printable ASCII only, or nobody can answer it`, refusal.Message())
}

func TestNonsenseToAnInstanceIsNotedWithWhatIsAllowed(t *testing.T) {
	const behaviors = `; allowed: "run", "hold", "drain" or {"behavior": …, "reason": …, "by": …}`
	const reasons = `; allowed: a reason as a string, {"reason": …, "by": …}, or nothing`
	w := newWorld(t)
	var want []string
	for _, c := range []struct {
		signal  string
		payload any
		says    string
	}{
		{api.SignalSetIdleBehavior, nil, `idle behavior "" is not allowed: run, hold or drain`},
		{api.SignalSetIdleBehavior, "Drain", `idle behavior "Drain" is not allowed: run, hold or drain`},
		{api.SignalSetIdleBehavior, 17, "a JSON number is not allowed here" + behaviors},
		{api.SignalSetIdleBehavior, true, "a JSON bool is not allowed here" + behaviors},
		{api.SignalSetIdleBehavior, map[string]string{"behaviour": "run"}, `json: unknown field "behaviour"` + behaviors},
		{api.SignalSetIdleBehavior, []byte{1, 2}, "its payload is binary/plain; allowed: JSON"},
		{api.SignalDestroy, []int{1}, "a JSON array is not allowed here" + reasons},
		{api.SignalDestroy, map[string]int{"reason": 1}, "reason: a JSON number is not allowed here" + reasons},
	} {
		w.signal(time.Duration(len(want)+5)*time.Second, c.signal, c.payload)
		want = append(want, "ignored signal "+c.signal+": "+c.says)
	}
	w.after(20*time.Second, func() {
		state := query[api.InstanceState](w)
		require.Len(t, state.Notes, len(want))
		for k, note := range state.Notes {
			assert.Contains(t, note, want[k])
			assert.Contains(t, w.details(), want[k])
		}
		assert.Equal(t, api.Run, state.IdleBehavior)
	})
	assert.Equal(t, "idle for 1m0s", w.live().Reason, "nothing of it has been done")
}

func TestNoSignalMakesAnInstanceTooLargeForTemporal(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("ü", 300_000)
	garbage := []any{
		long, map[string]string{long: "run"}, map[string]any{"behavior": json.RawMessage("1" + strings.Repeat("0", 300_000))},
		map[string]string{"behavior": "run", "reason": long, "by": long},
	}
	for k := range 20 {
		w.signal(time.Duration(k+5)*time.Second, api.SignalSetIdleBehavior, garbage[k%len(garbage)])
	}
	w.after(30*time.Second, func() {
		state := query[api.InstanceState](w)
		data, err := json.Marshal(state)
		require.NoError(t, err)
		assert.Less(t, len(data), 10_000, "of the 2 MB that an answer, and what is carried over, may have")
		assert.Equal(t, strings.Repeat("ü", 999)+"…", state.BehaviorReason)
		assert.Equal(t, strings.Repeat("ü", 199)+"…", state.BehaviorBy)
		notes := strings.Join(state.Notes, "\n")
		assert.Contains(t, notes, `ignored signal set-idle-behavior: idle behavior "`+strings.Repeat("ü", 100)+`" is not allowed: run, hold or drain`)
		assert.Contains(t, notes, "ignored signal set-idle-behavior: json: unknown field \"üü")
		for _, note := range state.Notes {
			assert.Contains(t, note, "allowed", "it says what is")
		}
	})
	w.signal(40*time.Second, api.SignalDestroy, map[string]string{"reason": long, "by": long})
	assert.Equal(t, "destroyed: "+strings.Repeat("ü", 999)+"… (by "+strings.Repeat("ü", 199)+"…)", w.live().Reason)
}

func TestAnUpdateWithTooManyWordsIsRefusedWithWhatIsAllowed(t *testing.T) {
	w := newWorld(t)
	var refusals []string
	refuse := &updates{reject: func(err error) { refusals = append(refusals, err.Error()) }, complete: func(error) { t.Error("it is accepted") }}
	long := strings.Repeat("ü", 1001)
	w.after(5*time.Second, func() {
		w.env.UpdateWorkflow(api.UpdateIdleBehavior, "1", refuse, api.SetIdleBehavior{Behavior: api.Hold, Reason: long})
		w.env.UpdateWorkflow(api.UpdateIdleBehavior, "2", refuse, api.SetIdleBehavior{Behavior: api.Hold, By: long})
		w.env.UpdateWorkflow(api.UpdateDestroy, "3", refuse, api.Destroy{Reason: long})
		w.env.UpdateWorkflow(api.UpdateDestroy, "4", refuse, api.Destroy{By: long})
	})
	assert.Equal(t, "idle for 1m0s", w.live().Reason)
	const reason, by = "reason: has 1001 characters; allowed: at most 1000", "by: has 1001 characters; allowed: at most 200"
	assert.Equal(t, []string{reason, by, reason, by}, refusals)
}
