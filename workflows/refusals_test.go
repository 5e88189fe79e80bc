package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// told sends a report of the k-th instance that the fleet has started, as its workflow
// would.
func (w *world) told(d time.Duration, k int, seq int64, r api.Report) {
	w.after(d, func() {
		w.mu.Lock()
		require.Greater(w.t, len(w.started), k, "instances bought")
		in := w.started[k]
		w.mu.Unlock()
		r.Instance, r.Type, r.Seq, r.Incarnation, r.Behavior = in.Name, in.Type.Name, seq, in.Incarnation, api.Run
		w.env.SignalWorkflow(api.SignalReport, r)
	})
}

// created has the k-th instance accepted by the cloud.
func (w *world) created(d time.Duration, k int) {
	w.told(d, k, 1, api.Report{State: api.StateBooting, CloudID: fmt.Sprint("i-", k)})
}

// bootEnds has the boot of the k-th instance end so, and the instance go a while later.
func (w *world) bootEnds(d time.Duration, k int, outcome, reason string) {
	r := api.Report{State: api.StateShutdown, CloudID: fmt.Sprint("i-", k), BootOutcome: outcome, Reason: reason}
	w.told(d, k, 2, r)
	r.State, r.Gone = api.StateGone, true
	w.told(d+10*time.Second, k, 3, r)
}

// refuses has the creation of the k-th instance refused.
func (w *world) refuses(d time.Duration, k int, refusal api.CreateRefusal) {
	w.told(d, k, 1, api.Report{State: api.StateShutdown, BootOutcome: api.BootFailure, Refusal: &refusal})
	w.told(d, k, 2, api.Report{State: api.StateGone, BootOutcome: api.BootFailure, Gone: true})
}

// runs has the k-th instance come up, and c-1 run and end on it, whatever else waits
// being cancelled.
func (w *world) runs(d time.Duration, k int) {
	w.told(d, k, 10, api.Report{State: api.StateIdle, CloudID: fmt.Sprint("i-", k), BootOutcome: api.BootSuccess})
	w.after(d+time.Second, func() {
		for _, c := range w.containers() {
			if c.State != api.ContainerRunning {
				w.env.SignalWorkflow(api.SignalRequest, api.Request{Kind: api.Cancel, ID: c.ID})
				continue
			}
			in := w.started[k]
			w.env.SignalWorkflow(api.SignalReport, api.Report{
				Instance: in.Name, Type: in.Type.Name, Seq: 11, Incarnation: in.Incarnation, State: api.StateIdle, CloudID: fmt.Sprint("i-", k),
				BootOutcome: api.BootSuccess, Behavior: api.Run, Ended: []api.Ended{{Container: c.ID, Attempt: c.Attempt, How: api.Exited}},
			})
		}
	})
	w.deleted(d + time.Minute)
}

// says checks what the status of a container is at a time, and how many instances have
// been bought by then. %s in it stands for the time of day of the next try.
func (w *world) says(d time.Duration, container string, bought int, status string, next time.Time) {
	w.after(d, func() {
		assert.Len(w.t, w.started, bought, "bought after %v", d)
		for _, c := range w.containers() {
			if c.ID == container {
				if !next.IsZero() {
					status = fmt.Sprintf(status, next.UTC().Format(time.TimeOnly))
				}
				assert.Equal(w.t, status, c.Status, "after %v", d)
				return
			}
		}
		assert.Fail(w.t, "no such container", container)
	})
}

// smallOnly leaves one type in the spec.
func smallOnly(s *fleetspec.Spec) { s.InstanceTypes = s.InstanceTypes[:1] }

func TestInstancesThatDoNotBootAreReplacedEverLaterAndItIsSaid(t *testing.T) {
	w := newWorld(t)
	w.env.SetStartTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	at := func(minutes, seconds int) time.Duration {
		return time.Duration(minutes)*time.Minute + time.Duration(seconds)*time.Second
	}
	clock := func(d time.Duration) time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(d) }
	const why = "boot timeout 10m0s at boot probe of i-0: tried 590 times; last error: connection refused"
	w.signal(at(0, 1), api.SignalRequest, request("c-1"))
	w.created(at(0, 2), 0)
	w.says(at(5, 0), "c-1", 1, "waiting for a small instance to boot", time.Time{})
	w.bootEnds(at(10, 0), 0, api.BootFailure, why)
	w.says(at(10, 5), "c-1", 1, "queue position 1: small does not boot: "+why+" (failed once, next try at %s)", clock(at(10, 30)))
	w.says(at(10, 31), "c-1", 2, "waiting for a small instance to boot; small has failed to boot once: "+why, time.Time{})
	w.created(at(10, 32), 1)
	w.says(at(12, 0), "c-1", 2, "waiting for a small instance to boot; small has failed to boot once: "+why, time.Time{})
	w.bootEnds(at(20, 0), 1, api.BootFailure, why)
	w.says(at(20, 59), "c-1", 2, "queue position 1: small does not boot: "+why+" (failed 2 times in a row, next try at %s)", clock(at(21, 0)))
	w.says(at(21, 1), "c-1", 3, "waiting for a small instance to boot; small has failed to boot 2 times in a row: "+why, time.Time{})
	w.created(at(21, 2), 2)
	w.told(at(22, 0), 2, 2, api.Report{State: api.StateIdle, CloudID: "i-2", BootOutcome: api.BootSuccess})
	next := request("c-2")
	next.VCPUs = 2
	w.signal(at(22, 1), api.SignalRequest, next)
	w.says(at(22, 2), "c-2", 4, "waiting for a small instance to boot", time.Time{}) // it is forgotten
	w.runs(at(23, 0), 2)
	w.manage(smallOnly)
}

func TestInstancesBoughtTogetherThatDoNotBootCountOnceAndOneIsTriedThen(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"c-1", "c-2", "c-3"} {
		r := request(id)
		r.VCPUs = 2
		w.signal(time.Second, api.SignalRequest, r)
	}
	for k := range 3 {
		w.created(time.Duration(2+k)*time.Second, k)
		w.bootEnds(10*time.Minute+time.Duration(k)*40*time.Second, k, api.BootFailure, "connection refused")
	}
	w.after(12*time.Minute, func() { assert.Len(t, w.started, 4, "one is tried") })
	w.says(12*time.Minute, "c-1", 4, "waiting for a small instance to boot; small has failed to boot once: connection refused", time.Time{})
	w.says(12*time.Minute, "c-2", 4, "queue position 1: one instance is tried first, since small has failed to boot once: connection refused", time.Time{})
	w.created(12*time.Minute+time.Second, 3)
	w.after(15*time.Minute, func() { assert.Len(t, w.started, 4, "that it is created says nothing of whether it boots") })
	w.told(16*time.Minute, 3, 2, api.Report{State: api.StateIdle, CloudID: "i-3", BootOutcome: api.BootSuccess})
	w.after(16*time.Minute+time.Second, func() { assert.Len(t, w.started, 6, "then as many as are wanted") })
	w.runs(17*time.Minute, 3)
	w.manage(smallOnly)
}

func TestWhileATypeDoesNotBootTheNextCheapestIsBought(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.created(2*time.Second, 0)
	w.bootEnds(10*time.Minute, 0, api.BootFailure, "connection refused")
	w.says(10*time.Minute+time.Second, "c-1", 2, "waiting for a medium instance to boot", time.Time{})
	w.runs(11*time.Minute, 1)
	w.manage(func(s *fleetspec.Spec) {
		smallOnly(s)
		medium := s.InstanceTypes[0]
		medium.Name, medium.Price = "medium", medium.Price*1.2
		s.InstanceTypes = append(s.InstanceTypes, medium)
	})
}

func TestWhatBecomesOfABootSaysWhatItSays(t *testing.T) {
	preemptible := func(s *fleetspec.Spec) {
		smallOnly(s)
		s.InstanceTypes[0].Preemptible = true
	}
	late := &api.CreateRefusal{Class: "capacity", Scope: "type", Message: "no capacity to launch it"}
	for _, c := range []struct {
		name    string
		change  func(*fleetspec.Spec)
		outcome string
		refusal *api.CreateRefusal
		bought  int
		want    string // of the status
	}{
		{"an image that ends its machine", smallOnly, api.BootDisappeared, nil, 1, "small does not boot: disappeared (failed once, next try at "},
		{"a spot instance that is taken", preemptible, api.BootDisappeared, nil, 1, "the cloud takes small back before it is up: disappeared (once, next try at "},
		{"capacity that was not there after all", smallOnly, api.BootDisappeared, late, 1, "the cloud takes small back before it is up: no capacity to launch it (once, next try at "},
		{"one that a person has ended", smallOnly, api.BootAborted, nil, 2, "waiting for a small instance to boot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			r := request("c-1")
			r.Preemptible = true
			w.signal(time.Second, api.SignalRequest, r)
			w.created(2*time.Second, 0)
			report := api.Report{State: api.StateShutdown, CloudID: "i-0", BootOutcome: c.outcome, Reason: "disappeared", Refusal: c.refusal}
			w.told(time.Minute, 0, 2, report)
			report.State, report.Gone, report.Refusal = api.StateGone, true, nil
			w.told(time.Minute+time.Second, 0, 3, report)
			w.after(time.Minute+10*time.Second, func() {
				assert.Len(t, w.started, c.bought)
				assert.Contains(t, w.containers()[0].Status, c.want)
			})
			w.runs(3*time.Minute, 1)
			w.manage(c.change)
		})
	}
}

func TestThatTheCloudTakesBackWhatItCreatesIsTriedEverLater(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	late := api.CreateRefusal{Class: "quota", Scope: "type", Message: "no"}
	for k, d := range []time.Duration{0, 2 * time.Minute, 5 * time.Minute} {
		w.created(d+2*time.Second, k)
		report := api.Report{State: api.StateShutdown, CloudID: fmt.Sprint("i-", k), BootOutcome: api.BootDisappeared, Refusal: &late}
		w.told(d+3*time.Second, k, 2, report)
		report.State, report.Gone, report.Refusal = api.StateGone, true, nil
		w.told(d+4*time.Second, k, 3, report)
		w.after(d+5*time.Second, func() {
			if k > 0 {
				assert.Contains(t, w.containers()[0].Status, fmt.Sprintf("%d times in a row", k+1))
			}
		})
	}
	w.after(4*time.Minute, func() { assert.Len(t, w.started, 2, "two minutes after the second") })
	w.runs(10*time.Minute, 3)
	w.manage(smallOnly)
}

func TestAfterAChangeOfTheSpecTheBootsOfBeforeSayNothing(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.created(2*time.Second, 0)
	w.after(5*time.Minute, func() {
		spec := fleetspec.Default("default")
		smallOnly(&spec)
		spec.InitCommand = "modprobe what-was-missing"
		w.env.UpdateWorkflow(api.UpdateApply, "mend", &updates{reject: func(err error) { t.Errorf("refused: %v", err) }}, spec)
	})
	w.bootEnds(10*time.Minute, 0, api.BootFailure, "connection refused")
	w.says(10*time.Minute+time.Second, "c-1", 2, "waiting for a small instance to boot", time.Time{})
	w.runs(11*time.Minute, 1)
	w.manage(smallOnly)
}

func TestAFoundInstanceThatNeverAnswersSaysNothingOfItsType(t *testing.T) {
	w := newWorld(t)
	w.found = []api.Found{{Name: "default-old", CloudID: "i-0", Type: "small", Behavior: api.Run}}
	w.told(time.Second, 0, 1, api.Report{State: api.StateUnknown, CloudID: "i-0"})
	w.told(10*time.Minute, 0, 2, api.Report{State: api.StateShutdown, CloudID: "i-0", BootOutcome: api.BootFailure, Reason: "boot timeout"})
	w.told(10*time.Minute+time.Second, 0, 3, api.Report{State: api.StateGone, CloudID: "i-0", BootOutcome: api.BootFailure, Reason: "boot timeout", Gone: true})
	w.signal(10*time.Minute+2*time.Second, api.SignalRequest, request("c-1"))
	w.says(10*time.Minute+3*time.Second, "c-1", 2, "waiting for a small instance to boot", time.Time{})
	w.runs(11*time.Minute, 1)
	w.manage(smallOnly)
}

func TestAnInstanceThatIsOnlyHeardOfSaysNothingOfItsType(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalReport, api.Report{
		Instance: "default-old", Type: "small", Seq: 7, State: api.StateShutdown, CloudID: "i-old", BootOutcome: api.BootFailure, Reason: "boot timeout", Behavior: api.Run,
	})
	w.signal(2*time.Second, api.SignalRequest, request("c-1"))
	w.says(3*time.Second, "c-1", 1, "waiting for a small instance to boot", time.Time{})
	w.runs(time.Minute, 0)
	w.manage(smallOnly)
}

func TestACreationThatFailsIsSaidAndTriedAgain(t *testing.T) {
	w := newWorld(t)
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w.env.SetStartTime(start)
	for _, id := range []string{"c-1", "c-2"} {
		r := request(id)
		r.VCPUs = 2
		w.signal(time.Second, api.SignalRequest, r)
	}
	failed := api.CreateRefusal{Class: api.RefusedFailed, Message: "create instance: InternalError", Doubtful: true}
	for k := range 2 {
		w.told(5*time.Second, k, 1, api.Report{State: api.StateShutdown, BootOutcome: api.BootFailure, Refusal: &failed})
	}
	w.says(6*time.Second, "c-1", 2, "queue position 1: creating small failed: create instance: InternalError (next try at %s)", start.Add(15*time.Second))
	w.told(14*time.Second, 0, 2, api.Report{State: api.StateGone, BootOutcome: api.BootFailure, Gone: true})
	w.says(16*time.Second, "c-1", 2, "queue position 1: one instance is tried first, since creating small failed: create instance: InternalError", time.Time{})
	w.told(20*time.Second, 1, 2, api.Report{State: api.StateGone, BootOutcome: api.BootFailure, Gone: true})
	w.says(21*time.Second, "c-1", 3, "waiting for a small instance to boot; creating small failed: create instance: InternalError", time.Time{})
	w.says(21*time.Second, "c-2", 3, "queue position 1: one instance is tried first, since creating small failed: create instance: InternalError", time.Time{})
	w.created(22*time.Second, 2)
	w.says(23*time.Second, "c-1", 4, "waiting for a small instance to boot", time.Time{})
	w.runs(30*time.Second, 2)
	w.manage(smallOnly)
}

func TestAnErrorThatCanNotGetBetterIsSaidAtOnceAndTheCloudIsNotAskedAgain(t *testing.T) {
	for class, want := range map[string]string{
		"denied":  "queue position 1: creating any instance is not possible until somebody acts: no (next try at 12:10:02)",
		"invalid": "queue position 1: creating small is not possible until somebody acts: no (next try at 12:10:02)",
	} {
		t.Run(class, func(t *testing.T) {
			w := newWorld(t)
			w.env.SetStartTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
			w.signal(time.Second, api.SignalRequest, request("c-1"))
			w.refuses(2*time.Second, 0, api.CreateRefusal{Class: class, Message: "no"})
			w.says(3*time.Second, "c-1", 1, want, time.Time{})
			w.says(10*time.Minute, "c-1", 1, want, time.Time{})
			w.runs(11*time.Minute, 1)
			w.manage(smallOnly)
		})
	}
}

func TestAQuotaOfAGroupLeavesTheOthers(t *testing.T) {
	w := newWorld(t)
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w.env.SetStartTime(start)
	for k, id := range []string{"c-1", "c-2", "c-3", "c-4"} {
		r := request(id)
		r.VCPUs = 2
		if id == "c-2" {
			r.GPUs = 1
		}
		w.signal(time.Duration(1+10*k)*time.Second, api.SignalRequest, r)
	}
	w.told(5*time.Second, 0, 1, api.Report{State: api.StateIdle, CloudID: "i-0", BootOutcome: api.BootSuccess})
	w.refuses(12*time.Second, 1, api.CreateRefusal{Class: "quota", Scope: "group", Group: "L-1", Message: "VcpuLimitExceeded"})
	w.says(13*time.Second, "c-2", 2, "queue position 1: the quota of group accelerated is used up: VcpuLimitExceeded (next try at %s)", start.Add(72*time.Second))
	w.says(22*time.Second, "c-3", 3, "waiting for a small instance to boot", time.Time{}) // with as many alive as when the group was refused
	w.says(32*time.Second, "c-4", 4, "waiting for a small instance to boot", time.Time{}) // and not one at a time
	w.runs(40*time.Second, 0)
	w.manage(func(s *fleetspec.Spec) {
		smallOnly(s)
		gpu := s.InstanceTypes[0]
		gpu.Name, gpu.GPUs, gpu.Price, gpu.QuotaGroup = "gpu", 1, 1, "accelerated"
		s.InstanceTypes = append(s.InstanceTypes, gpu)
	})
}

func TestWhatBootsHaveTaughtIsCarriedOver(t *testing.T) {
	w := newWorld(t)
	w.signal(time.Second, api.SignalRequest, request("c-1"))
	w.created(2*time.Second, 0)
	w.bootEnds(10*time.Minute, 0, api.BootFailure, "connection refused")
	w.created(11*time.Minute, 1)
	w.bootEnds(20*time.Minute, 1, api.BootFailure, "connection refused")
	w.after(20*time.Minute+20*time.Second, func() { w.env.SetContinueAsNewSuggested(true) })
	w.signal(20*time.Minute+30*time.Second, api.SignalRequest, api.Request{Kind: api.Prioritize, ID: "nobody"})
	w.startFleet(smallOnly)
	in := next[api.FleetInput](w)

	w2 := newWorld(t)
	w2.env.SetStartTime(w.env.Now())
	w2.after(time.Second, func() {
		assert.Empty(t, w2.started)
		assert.Contains(t, w2.containers()[0].Status, "small does not boot: connection refused (failed 2 times in a row, next try at ")
	})
	w2.created(time.Minute, 0)
	w2.bootEnds(11*time.Minute, 0, api.BootFailure, "connection refused")
	w2.after(11*time.Minute+20*time.Second, func() {
		assert.Contains(t, w2.containers()[0].Status, "(failed 3 times in a row, next try at ")
	})
	w2.runs(15*time.Minute, 1)
	w2.runFleet(in)
}
