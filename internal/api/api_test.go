package api_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
)

func TestAContainersIDComesFromItsWorkflowID(t *testing.T) {
	for workflowID, want := range map[string]string{
		"container/c-1": "c-1",
		"4a1f-b2":       "4a1f-b2",
		"plain":         "plain",
	} {
		assert.Equal(t, want, api.ContainerID(workflowID))
	}
	seen := map[string]string{}
	for _, odd := range []string{"container/", "a b", "a/b", "é", "container/-x", "container/broken", "", "x\x00", string(make([]byte, 500))} {
		id := api.ContainerID(odd)
		require.NoError(t, api.CheckContainerID(id), "%q", odd)
		assert.Empty(t, seen[id], "%q and %q have the same ID", odd, seen[id])
		seen[id] = odd + "."
	}
}

func TestOnlyAnUnusualWorkflowIDIsMentioned(t *testing.T) {
	assert.Empty(t, api.OtherWorkflowID("container/c-1"))
	for _, id := range []string{"c-1", "container/a b", "orders/7"} {
		assert.Equal(t, id, api.OtherWorkflowID(id))
		assert.Equal(t, id, api.WorkflowOf(api.ContainerID(id), api.OtherWorkflowID(id)))
	}
	assert.Equal(t, "container/c-1", api.WorkflowOf("c-1", ""))
}

func TestAContainerSpecHasDefaultsAndSurvivesJSON(t *testing.T) {
	var spec api.ContainerSpec
	require.NoError(t, json.Unmarshal([]byte(`{"command": ["true"]}`), &spec))
	want := api.DefaultContainerSpec()
	want.Command = []string{"true"}
	assert.Equal(t, want, spec)
	require.NoError(t, spec.Validate())
	data, err := json.Marshal(spec)
	require.NoError(t, err)
	var again api.ContainerSpec
	require.NoError(t, json.Unmarshal(data, &again))
	assert.Equal(t, spec, again)
}

func TestALabelIsShortAndOneLine(t *testing.T) {
	spec := api.ContainerSpec{Command: []string{"sh", "-c", "a\n\tb  ééé"}}
	assert.Equal(t, "sh -c a b ééé", spec.Label(48))
	assert.Equal(t, "sh -c a b…", spec.Label(10))
}

func TestOrdersToAnInstanceAreTakenAsStringOrObject(t *testing.T) {
	for text, want := range map[string]api.SetIdleBehavior{
		`"hold"`: {Behavior: api.Hold},
		`{"behavior": "drain", "reason": "r", "by": "b"}`: {Behavior: api.Drain, Reason: "r", By: "b"},
	} {
		var got api.SetIdleBehavior
		require.NoError(t, json.Unmarshal([]byte(text), &got))
		assert.Equal(t, want, got)
	}
	for _, text := range []string{`""`, `"Drain"`, `{}`, `{"behavior": 1}`, `null`, `7`, `[]`} {
		var got api.SetIdleBehavior
		assert.Error(t, json.Unmarshal([]byte(text), &got), text)
	}
	for text, want := range map[string]api.Destroy{`null`: {}, `"why"`: {Reason: "why"}, `{"reason": "why", "by": "ann"}`: {Reason: "why", By: "ann"}} {
		var got api.Destroy
		require.NoError(t, json.Unmarshal([]byte(text), &got))
		assert.Equal(t, want, got)
	}
}

func TestTimesHaveNanosecondsOrAreNull(t *testing.T) {
	at := time.Date(2026, 11, 24, 1, 2, 3, 0, time.UTC)
	data, err := json.Marshal([]api.Time{{}, {Time: at}})
	require.NoError(t, err)
	assert.JSONEq(t, `[null, "2026-11-24T01:02:03.000000000Z"]`, string(data))
	var back []api.Time
	require.NoError(t, json.Unmarshal(data, &back))
	assert.True(t, back[0].IsZero())
	assert.True(t, back[1].Equal(at))
}

func TestEveryAttemptHasANameOfItsOwnOnTheInstance(t *testing.T) {
	for attempt, name := range map[int]string{1: "c-1", 2: "c-1~2", 12: "c-1~12"} {
		assert.Equal(t, name, api.Assignment{Container: "c-1", Attempt: attempt}.OnInstance())
		id, got, err := api.ParseOnInstance(name)
		require.NoError(t, err)
		assert.Equal(t, "c-1", id)
		assert.Equal(t, attempt, got)
	}
	for _, name := range []string{"", "~2", "c-1~", "c-1~1", "c-1~x", "a/b", "broken"} {
		_, _, err := api.ParseOnInstance(name)
		assert.Error(t, err, name)
	}
}

func TestAnElementOfAnArrayHasItsIndexInItsID(t *testing.T) {
	for id, want := range map[string]struct {
		array string
		index int
	}{"x.0": {"x", 0}, "x.12": {"x", 12}, "a.b.7": {"a.b", 7}, "x.999999999": {"x", 999999999}} {
		array, index, ok := api.ParseElementID(id)
		assert.True(t, ok, id)
		assert.Equal(t, want.array, array, id)
		assert.Equal(t, want.index, index, id)
		assert.Equal(t, id, api.ElementID(array, index))
	}
	for _, id := range []string{"", "x", ".1", "x.", "x.-1", "x.01", "x.+1", "x.1a", "x.1.b", "x.99999999999999999999"} {
		_, _, ok := api.ParseElementID(id)
		assert.False(t, ok, id)
	}
}

func TestWhatAnInstanceCostsGrowsWhileItExists(t *testing.T) {
	at := time.Date(2026, 11, 24, 1, 0, 0, 0, time.UTC)
	later := at.Add(90 * time.Minute)
	state := api.InstanceState{State: api.StateIdle, Price: 2, Cost: 1, BusyCost: 0.5, CostAt: api.Time{Time: at}}
	for s, busy := range map[string]float64{api.StateUnknown: 0.5, api.StateBooting: 0.5, api.StateIdle: 0.5, api.StateRunning: 3.5, api.StateShutdown: 0.5} {
		state.State = s
		got := state.CostsUntil(later)
		assert.InDelta(t, 4, got.Cost, 1e-9, s)
		assert.InDelta(t, busy, got.BusyCost, 1e-9, s)
		assert.Equal(t, later, got.CostAt.Time, s)
		assert.Equal(t, got, got.CostsUntil(later), "and is not counted twice")
	}
	assert.Equal(t, state, state.CostsUntil(at.Add(-time.Minute)), "clocks differ")
	state.State = api.StateGone
	assert.Equal(t, state, state.CostsUntil(later))
	assert.Zero(t, api.InstanceState{State: api.StateShutdown, Price: 2}.CostsUntil(later).Cost, "it was not created")
}
