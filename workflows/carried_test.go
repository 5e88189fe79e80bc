package workflows_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
	"drover/internal/fleetspec"
	"drover/internal/schedule"
	"drover/workflows"
)

// continues has the fleet continue as new, and returns the input of the next run.
func (w *world) continues(d time.Duration) api.FleetInput {
	w.after(d, func() {
		w.env.SetContinueAsNewSuggested(true)
		w.env.SignalWorkflow(api.SignalRequest, api.Request{Kind: api.Prioritize, ID: "nobody"})
	})
	w.startFleet(nil)
	return next[api.FleetInput](w)
}

func TestAFleetThatWasCreatedAnewAndContinuesStillKnowsWhatRunsOnItsInstances(t *testing.T) {
	w := newWorld(t)
	w.found = []api.Found{{Name: "default-old", CloudID: "i-old", Type: "small", Behavior: api.Run}}
	running := api.Report{State: api.StateRunning, CloudID: "i-old", Running: []string{"c-1~2"}, Listed: true, BootOutcome: api.BootSuccess}
	w.reportFrom(time.Second, 0, 1, running)
	in := w.continues(10 * time.Second)

	w2 := newWorld(t)
	old := request("c-1")
	old.QueuedAt = time.Now().Add(-24 * time.Hour)
	w2.signal(time.Second, api.SignalRequest, old) // it submits itself again only now
	w2.after(time.Minute, func() {
		require.Len(t, w2.containers(), 1)
		assert.Equal(t, api.ContainerRunning, w2.containers()[0].State, "it runs where it ran")
		assert.Equal(t, "default-old", w2.containers()[0].Instance)
	})
	ended := running
	ended.Instance, ended.Type, ended.Seq, ended.Behavior = "default-old", "small", 2, api.Run
	ended.Running, ended.Ended = nil, []api.Ended{{Container: "c-1", Attempt: 2, How: api.Exited}}
	w2.signal(2*time.Minute, api.SignalReport, ended)
	w2.deleted(3 * time.Minute)
	state := w2.runFleet(in)
	assert.Empty(t, w2.ordered(), "a container does not run in two places")
	assert.EqualValues(t, 1, state.Totals.Exited)
}

func TestWhatMayRunOnAnUnknownInstanceWaitsForItsListingAlsoInTheNextRun(t *testing.T) {
	w := newWorld(t)
	w.found = []api.Found{{Name: "default-old", CloudID: "i-old", Type: "small", Behavior: api.Run}}
	old := request("c-1")
	old.QueuedAt = time.Now().Add(-24 * time.Hour)
	w.signal(time.Second, api.SignalRequest, old)
	in := w.continues(10 * time.Second)

	w2 := newWorld(t)
	w2.after(time.Minute, func() {
		assert.Equal(t, "waiting until every instance found in the cloud's list has said what runs on it", w2.containers()[0].Status)
	})
	w2.signal(2*time.Minute, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-1"})
	w2.deleted(3 * time.Minute)
	w2.runFleet(in)
	assert.Empty(t, w2.started, "nothing is bought for it")
}

func TestAFleetCarriesOnlyTheShapesThatAreInUse(t *testing.T) {
	w := newWorld(t)
	for k := range 20 {
		r := request(fmt.Sprintf("c-%d", k))
		r.Memory, r.Priority = fleetspec.Size(k+1)<<20, -1
		w.signal(time.Second, api.SignalRequest, r)
		if k%10 != 9 {
			w.signal(2*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: r.ID})
		}
	}
	carried := w.continues(10 * time.Second).Carried
	require.Len(t, carried.Shapes, 2)
	for _, c := range carried.Queue {
		memory := map[string]int64{"c-9": 10 << 20, "c-19": 20 << 20}[c.ID]
		assert.Equal(t, memory, carried.Shapes[c.Shape].Memory)
	}
}

// longQueue is what a fleet carries over whose state has to be packed.
func longQueue(queued int) api.FleetCarried {
	carried := api.FleetCarried{Prepared: true, NextOrder: int64(queued), Since: time.Now(), Shapes: []schedule.Shape{{Resources: schedule.Resources{MilliCPU: 1000}}}}
	for k := range queued {
		carried.Queue = append(carried.Queue, api.CarriedContainer{
			ID: fmt.Sprintf("c-%d", k), Priority: -1, Order: int64(k + 1), Attempts: 3, Label: "./align with some arguments", QueuedMS: time.Now().UnixMilli(),
		})
	}
	return carried
}

// TestWhatChangesAFleetThatIsAboutToContinueAsNewIsKnownToTheNextRun has its spec changed
// after its state was packed.
func TestWhatChangesAFleetThatIsAboutToContinueAsNewIsKnownToTheNextRun(t *testing.T) {
	w := newWorld(t)
	carried := longQueue(3000)
	w.after(time.Second, func() {
		w.env.SetContinueAsNewSuggested(true)
		w.env.SignalWorkflow(api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-7"})
	})
	w.after(1500*time.Millisecond, func() {
		w.env.SignalWorkflow(api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-8"})
		spec := fleetspec.Default("default")
		spec.Limits.MaxInstances = 7
		w.env.UpdateWorkflow(api.UpdateApply, "apply", &updates{reject: func(err error) { t.Errorf("refused: %v", err) }}, spec)
	})
	w.env.SetStartWorkflowOptions(startOptions("fleet/default"))
	w.env.ExecuteWorkflow(workflows.Fleet, api.FleetInput{Spec: fleetspec.Default("default"), Carried: &carried}, nil)
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, w.env.GetWorkflowError(), &again)
	var in api.FleetInput
	var packed []byte
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &in, &packed))
	assert.Equal(t, 7, in.Spec.Limits.MaxInstances)
	assert.Empty(t, in.Mail, "what had come in by then is in the state")
	state, err := api.Unpack(packed)
	require.NoError(t, err)
	assert.Len(t, state.Queue, 2998)
}

func TestASubmissionThatComesAgainAfterTheEndIsNoOtherContainer(t *testing.T) {
	w := newWorld(t)
	r := request("c-1")
	r.QueuedAt = time.Now()
	w.signal(time.Second, api.SignalRequest, r)
	w.signal(2*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-1"})
	w.signal(3*time.Second, api.SignalMail, api.Mail{Requests: []api.Request{r}})
	w.after(4*time.Second, func() { assert.Empty(t, w.containers()) })
	anew := r
	anew.QueuedAt = r.QueuedAt.Add(time.Minute)
	w.signal(5*time.Second, api.SignalRequest, anew)
	w.after(6*time.Second, func() { assert.Len(t, w.containers(), 1, "its user has submitted it anew") })
	w.signal(7*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-1"})
	w.deleted(20 * time.Second)
	w.manage(nil)
}

func TestAFleetWithALongQueueContinuesAsNew(t *testing.T) {
	const queued = 3000
	carried := longQueue(queued)
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-7"})
	w.after(2*time.Second, func() {
		w.env.SetContinueAsNewSuggested(true)
		w.env.SignalWorkflow(api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-8"})
	})
	w.env.SetStartWorkflowOptions(startOptions("fleet/default"))
	w.env.ExecuteWorkflow(workflows.Fleet, api.FleetInput{Spec: fleetspec.Default("default"), Carried: &carried}, nil)
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, w.env.GetWorkflowError(), &again)
	var in api.FleetInput
	var packed []byte
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &in, &packed))
	assert.Nil(t, in.Carried)
	require.Len(t, in.Mail, 1, "what came in after the state was packed is for the next run")
	assert.Equal(t, "c-8", in.Mail[0].Requests[0].ID)

	w2 := newWorld(t)
	w2.after(time.Second, func() { assert.Equal(t, queued-2, query[api.FleetState](w2).Queued) })
	w2.signal(2*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-10"})
	w2.after(3*time.Second, func() {
		assert.Equal(t, queued-3, query[api.FleetState](w2).Queued)
		w2.env.SetContinueAsNewSuggested(true)
		w2.env.SignalWorkflow(api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-9"})
	})
	w2.env.SetStartWorkflowOptions(startOptions("fleet/default"))
	w2.env.ExecuteWorkflow(workflows.Fleet, in, packed)
	require.ErrorAs(t, w2.env.GetWorkflowError(), &again)
}

func TestAnInstanceWhoseTagCanNotBeWrittenContinuesAsNew(t *testing.T) {
	w := newWorld(t)
	w.tagFails = true
	w.signal(time.Second, api.SignalSetIdleBehavior, "hold")
	w.after(time.Hour, func() { w.env.SetContinueAsNewSuggested(true) })
	w.signal(2*time.Hour, api.SignalSetIdleBehavior, "hold")
	w.signal(3*time.Hour, api.SignalDestroy, nil) // too late
	w.env.ExecuteWorkflow(workflows.Instance, instanceInput())
	assert.Equal(t, api.Run, next[api.InstanceInput](w).Carried.Tagged, "the next run tries again")
}

// handedOver returns what a fleet with that state gives its next run, when mail comes in
// while it is about to continue as new.
func handedOver(t *testing.T, carried api.FleetCarried, mail api.Mail) (in api.FleetInput, state api.FleetCarried) {
	w := newWorld(t)
	w.after(time.Second, func() {
		w.env.SetContinueAsNewSuggested(true)
		w.env.SignalWorkflow(api.SignalRequest, api.Request{Kind: api.Prioritize, ID: "nobody"})
		w.env.SignalWorkflow(api.SignalMail, mail)
	})
	w.env.SetStartWorkflowOptions(startOptions("fleet/default"))
	w.env.ExecuteWorkflow(workflows.Fleet, api.FleetInput{Spec: fleetspec.Default("default"), Carried: &carried}, nil)
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, w.env.GetWorkflowError(), &again)
	bytes := 0
	for _, payload := range again.Input.GetPayloads() {
		bytes += len(payload.GetData())
	}
	assert.Less(t, bytes, 2<<20, "a server terminates a workflow that continues as new with more")
	var packed []byte
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &in, &packed))
	state, err := api.Unpack(packed)
	require.NoError(t, err)
	return in, state
}

func TestMailThatDoesNotFitIntoTheNextRunsInputIsTakenInBefore(t *testing.T) {
	for size, left := range map[int]int{50 << 10: 10, 250 << 10: 0} {
		var mail api.Mail
		for k := range 10 {
			r := request(fmt.Sprint("long-", k))
			r.Label, r.Priority = strings.Repeat("x", size), -1
			mail.Requests = append(mail.Requests, r)
		}
		in, state := handedOver(t, longQueue(3000), mail)
		requests := 0
		for _, m := range in.Mail {
			for _, r := range m.Requests {
				if r.Kind == api.Submit {
					requests++
				}
			}
		}
		assert.Equal(t, left, requests, "of %d bytes", size)
		assert.Len(t, state.Queue, 3010-left)
	}
}

// A workflow ID of the user's own names the container, so that its ID need not be carried.
func TestTheDesignsLargestFleetFitsAlsoWithWorkflowIDsOfTheUsersOwn(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	carried := longQueue(50_000)
	for k := range carried.Queue {
		p := &carried.Queue[k]
		p.Workflow = fmt.Sprintf("orders/%016x%016x", random.Uint64(), random.Uint64())
		p.ID, p.Label = api.ContainerID(p.Workflow), ""
	}
	_, state := handedOver(t, carried, api.Mail{})
	require.Len(t, state.Queue, 50_000)
	ids := map[string]string{}
	for _, p := range carried.Queue {
		ids[p.Workflow] = p.ID
	}
	for _, p := range state.Queue {
		require.Equal(t, ids[p.Workflow], p.ID)
	}
}

// A fleet that does not fit goes on, and tries again from time to time, or when it has become
// smaller.
func TestAFleetThatIsTooLargeToContinueAsNewGoesOn(t *testing.T) {
	w := newWorld(t)
	random := rand.New(rand.NewPCG(5, 6))
	carried := longQueue(60_000)
	for k := range carried.Queue {
		carried.Queue[k].ID, carried.Queue[k].Label = fmt.Sprintf("c-%016x%016x%016x", random.Uint64(), random.Uint64(), random.Uint64()), ""
	}
	w.after(time.Second, func() {
		w.env.SetContinueAsNewSuggested(true)
		w.env.SignalWorkflow(api.SignalRequest, api.Request{Kind: api.Prioritize, ID: "nobody"})
	})
	w.after(30*time.Second, func() {
		assert.False(t, w.env.IsWorkflowCompleted())
		for _, p := range carried.Queue[:30_000] {
			w.env.SignalWorkflow(api.SignalRequest, api.Request{Kind: api.Cancel, ID: p.ID})
		}
	})
	w.env.SetStartWorkflowOptions(startOptions("fleet/default"))
	w.env.ExecuteWorkflow(workflows.Fleet, api.FleetInput{Spec: fleetspec.Default("default"), Carried: &carried}, nil)
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, w.env.GetWorkflowError(), &again, "it has become smaller")
}

// What is a matter of chance can't be packed.
func TestTheStateOfATooLargeFleetIsCarriedWithoutItsStories(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	chance := func(characters int) (text string) {
		for len(text) < characters {
			text += fmt.Sprintf("%016x", random.Uint64())
		}
		return text[:characters]
	}
	for name, c := range map[string]struct {
		queued, label  int // how many, and characters
		stories, names bool
	}{
		"it fits":                 {queued: 3000, label: 32, stories: true, names: true},
		"it fits without stories": {queued: 40_000, label: 48, names: true},
		"it fits with neither":    {queued: 40_000, label: 80},
	} {
		t.Run(name, func(t *testing.T) {
			carried := longQueue(c.queued)
			carried.Stories = map[string][]string{}
			for k := range carried.Queue {
				p := &carried.Queue[k]
				p.ID, p.Label = chance(32), chance(c.label)
				if k%4 == 0 {
					carried.Stories[p.ID] = []string{"attempt 1 on default-" + chance(16) + ": lost: instance i-" + chance(16) + ": i/o timeout"}
				}
			}
			stories := len(carried.Stories)
			_, state := handedOver(t, carried, api.Mail{})
			assert.Equal(t, c.queued, len(state.Queue))
			if !c.stories {
				stories = 0
			}
			assert.Equal(t, stories, len(state.Stories))
			assert.Equal(t, c.names, state.Queue[7].Label != "")
		})
	}
}
