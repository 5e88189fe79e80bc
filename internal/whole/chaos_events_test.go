package whole

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"drover/internal/api"
)

// What happens to workers, to Temporal and to workflows.

const (
	// handover is how long after a worker's death others have surely taken over.
	handover = 25 * time.Second
	// adoption is how long after the termination of an instance's workflow the next one
	// has surely found out what was on it: two syncs, which may fail, and some seconds
	// until activities have ended.
	adoption = 30 * time.Second
)

func (c *chaos) trouble(instance string, lasts time.Duration) {
	now := time.Now()
	c.troubles = append(c.troubles, trouble{instance, now, now.Add(lasts)})
}

func (c *chaos) startWorkers(n int) {
	for range n {
		c.alive = append(c.alive, c.startWorker())
	}
}

// takeWorker chooses a worker, which is no longer counted on.
func (c *chaos) takeWorker(e event) (*process, bool) {
	p, ok := choose(e.pick, c.alive)
	c.alive = slices.DeleteFunc(c.alive, func(o *process) bool { return o == p })
	return p, ok
}

func (c *chaos) killWorker(e event) {
	p, ok := c.takeWorker(e)
	if !ok {
		c.say(e.kind, "there is none")
		return
	}
	c.say(e.kind, "%s", p.name)
	c.trouble("", handover)
	p.stop(syscall.SIGKILL)
	c.startWorkers(1)
}

func (c *chaos) stopWorker(e event) {
	p, ok := c.takeWorker(e)
	if !ok {
		c.say(e.kind, "there is none")
		return
	}
	c.say(e.kind, "%s", p.name)
	c.trouble("", handover)
	c.startWorkers(1)
	p.stop(syscall.SIGTERM)
}

// hangWorker stops a worker, which then goes on with what another one may have done
// since.
func (c *chaos) hangWorker(e event) {
	p, ok := c.takeWorker(e)
	if !ok {
		c.say(e.kind, "there is none")
		return
	}
	c.say(e.kind, "%s for %s", p.name, e.lasts.Round(time.Millisecond))
	c.trouble("", handover)
	signal := func(signal syscall.Signal) {
		c.try(e.kind, func() error { return p.cmd.Process.Signal(signal) })
	}
	signal(syscall.SIGSTOP)
	c.later(e.lasts, func() {
		signal(syscall.SIGCONT)
		c.alive = append(c.alive, p)
	})
	c.startWorkers(1)
}

func (c *chaos) killAllWorkers(e event) {
	c.say(e.kind, "%d, for %s", len(c.alive), e.lasts.Round(time.Millisecond))
	c.trouble("", e.lasts+handover)
	for _, p := range c.alive {
		p.stop(syscall.SIGKILL)
	}
	c.alive = nil
	c.later(e.lasts, func() { c.startWorkers(2 - min(len(c.alive), 2)) })
}

// killServer kills Temporal and starts it again where it was. Nobody can do anything
// meanwhile, so this is waited for.
func (c *chaos) killServer(e event) {
	c.say(e.kind, "for %s", e.lasts.Round(time.Millisecond))
	c.trouble("", e.lasts+handover)
	c.server.stop(syscall.SIGKILL)
	<-time.After(e.lasts)
	c.restartServer()
	c.eventually(30*time.Second, func() bool {
		_, err := c.client.CheckHealth(c.Context(), &client.CheckHealthRequest{})
		return err == nil
	}, "the server is back")
}

// try does what may fail now because something else has gone wrong: then it was not
// done, or nobody knows.
func (c *chaos) try(what string, do func() error) bool {
	err := do()
	var missing *serviceerror.NotFound
	switch {
	case err == nil:
		return true
	case errors.As(err, &missing):
		c.counts["too late: "+what]++
	default:
		c.say("not done", "%s: %v", what, err)
		c.counts["not done: "+what]++
	}
	return false
}

// chaosPatience is how long somebody waits for an answer.
const chaosPatience = 5 * time.Second

// update sends an update and waits for its answer.
func (c *chaos) update(workflowID, name string, payload any) error {
	ctx, cancel := context.WithTimeout(c.Context(), chaosPatience)
	defer cancel()
	handle, err := c.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflowID, UpdateName: name, Args: []any{payload}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, nil)
}

// busy returns how many containers the fleet has on its instances, if it answers.
func (c *chaos) busy() map[string]int {
	ctx, cancel := context.WithTimeout(c.Context(), chaosPatience)
	defer cancel()
	var state api.FleetState
	answer, err := c.client.QueryWorkflow(ctx, api.FleetWorkflowID("default"), "", api.QueryState)
	if err == nil {
		err = answer.Get(&state)
	}
	if err != nil {
		c.say("not answered", "by the fleet: %v", err)
	}
	busy := map[string]int{}
	for _, i := range state.Instances {
		busy[i.Name] = i.Containers
	}
	return busy
}

// state returns the state of an instance's workflow, if it answers.
func (c *chaos) state(workflowID string) (state api.InstanceState, err error) {
	ctx, cancel := context.WithTimeout(c.Context(), chaosPatience)
	defer cancel()
	answer, err := c.client.QueryWorkflow(ctx, workflowID, "", api.QueryState)
	if err == nil {
		err = answer.Get(&state)
	}
	return state, err
}

// openInstances returns the instances whose workflows run, as far as these answer.
func (c *chaos) openInstances() (open []api.InstanceState) {
	for _, x := range c.executions("WorkflowType = 'Instance' AND ExecutionStatus = 'Running'") {
		if state, err := c.state(x.GetExecution().GetWorkflowId()); err == nil {
			open = append(open, state)
		}
	}
	return open
}

func (c *chaos) terminateInstance(e event) {
	i, ok := c.pickInstance(e, func(victim) bool { return true })
	if !ok {
		return
	}
	c.say(e.kind, "%s", i.name)
	c.killed[i.name] = true
	c.trouble(i.name, adoption)
	c.try(e.kind, func() error {
		ctx, cancel := context.WithTimeout(c.Context(), chaosPatience)
		defer cancel()
		return c.client.TerminateWorkflow(ctx, api.InstanceWorkflowID("default", i.name), "", "chaos")
	})
}

// terminateFleet terminates the fleet's workflow, and applies the fleet again.
func (c *chaos) terminateFleet(e event) {
	if c.down {
		c.say(e.kind, "there is none")
		return
	}
	c.say(e.kind, "for %s", e.lasts.Round(time.Millisecond))
	from := time.Now()
	c.down = true
	c.try(e.kind, func() error {
		ctx, cancel := context.WithTimeout(c.Context(), chaosPatience)
		defer cancel()
		return c.client.TerminateWorkflow(ctx, api.FleetWorkflowID("default"), "", "chaos")
	})
	c.later(e.lasts, func() {
		c.applyFleet()
		c.down = false
		c.fleetDown = append(c.fleetDown, trouble{"", from, time.Now()})
	})
}

// failCloud has the cloud refuse every call, or to destroy anything, just when an
// instance is to be destroyed: what runs on it must not run elsewhere before it is.
func (c *chaos) failCloud(e event) {
	if c.down || c.outage {
		c.say(e.kind, "not now")
		return
	}
	fleet := api.FleetWorkflowID("default")
	c.outage, c.keeps = true, e.variant%3 > 0
	c.say(e.kind, "for %s; only of destructions: %v", e.lasts.Round(time.Millisecond), c.keeps)
	c.try(e.kind, func() error { return c.update(fleet, api.UpdateApply, c.spec()) })
	busy := c.busy()
	if i, ok := c.pickInstance(e, func(v victim) bool { return busy[v.name] > 0 }); ok {
		c.say(e.kind, "meanwhile, %s is to be destroyed, with %d containers", i.name, busy[i.name])
		c.try(e.kind, func() error {
			ctx, cancel := context.WithTimeout(c.Context(), chaosPatience)
			defer cancel()
			return c.client.SignalWorkflow(ctx, api.InstanceWorkflowID("default", i.name), "", api.SignalDestroy, "chaos")
		})
	}
	var end func()
	end = func() {
		c.outage = false
		if c.calm || c.down || c.update(fleet, api.UpdateApply, c.spec()) == nil {
			return // or it is applied when there is a fleet again, or in the end
		}
		c.later(time.Second, end)
	}
	c.later(e.lasts, end)
}

// closed reports whether a workflow has closed, if Temporal says so.
func (c *chaos) closed(workflowID string) bool {
	ctx, cancel := context.WithTimeout(c.Context(), chaosPatience)
	defer cancel()
	described, err := c.client.DescribeWorkflowExecution(ctx, workflowID, "")
	return err == nil && described.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
}
