package whole

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"drover/internal/api"
	"drover/internal/fleetspec"
	"drover/internal/instancetest"
)

// TestTable runs the table of cases on a real server: each with a fleet and an instance
// of its own, a boot probe and a runner that are scripts, and real SSH.
func TestTable(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.startWorker()
	t.Run("cases", func(t *testing.T) {
		for _, c := range instancetest.Cases() {
			t.Run(c.Name(), func(t *testing.T) {
				t.Parallel()
				newTable(t, s, c).play()
			})
		}
	})
}

// table plays one case.
type table struct {
	*system
	c       instancetest.Case
	control string // the directory in which the scripts find what to answer
	fleet   string
	job     string // the container
	timeout time.Duration
}

func newTable(t *testing.T, s *system, c instancetest.Case) *table {
	own := *s
	own.TB = t
	p := &table{system: &own, c: c, control: t.TempDir(), fleet: fmt.Sprintf("case-%d", c.Number), job: fmt.Sprintf("job-%d", c.Number)}
	p.timeout = 10 * time.Minute
	if c.Late {
		p.timeout = 9 * time.Second
	}
	p.write("answers", `at=$(cat `+p.control+`/at 2>/dev/null)
if [ -n "$at" ] && [ "$(date +%s%N)" -ge "$at" ]; then . `+p.control+`/next; else . `+p.control+`/now; fi`)
	p.write("boot", "echo boot >>"+p.control+"/log; . "+p.control+"/answers; [ $boot = ok ] || { echo scripted failure >&2; exit 1; }")
	p.write("runner", strings.NewReplacer("CONTROL", p.control, "JOB", p.job).Replace(runnerScript))
	return p
}

const runnerScript = `#!/bin/sh
. CONTROL/answers
case $1 in
version) echo scripted ;;
list)
	echo list >>CONTROL/log
	case $run in
	lists) echo JOB ;;
	nothing) ;;
	*) echo scripted failure >&2; exit 1 ;;
	esac ;;
start) cat >/dev/null; while [ -e CONTROL/starting ]; do sleep 0.2; done ;;
wait | logs)
	while [ "$run" != nothing ]; do sleep 0.2; . CONTROL/answers; done
	[ $1 = logs ] || echo '{"exit_code": 0, "started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:01Z"}' ;;
kill) exit 1 ;;
esac
`

func (p *table) write(name, content string) {
	path := filepath.Join(p.control, name)
	require.NoError(p, os.WriteFile(path+".new", []byte(content+"\n"), 0o755))
	require.NoError(p, os.Rename(path+".new", path))
}

// answer sets what the scripts say from now on, or from a file named next.
func (p *table) answer(file string, boot, run instancetest.Answer) {
	said := map[instancetest.Answer]string{instancetest.OK: "ok", instancetest.Lists: "lists", instancetest.Nothing: "nothing"}
	p.write(file, fmt.Sprintf("boot=%s run=%s", or(said[boot], "fails"), or(said[run], "fails")))
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// asked counts how often a probe has been answered.
func (p *table) asked(probe string) int {
	text, err := os.ReadFile(filepath.Join(p.control, "log"))
	if err != nil {
		return 0
	}
	return strings.Count(string(text), probe)
}

func (p *table) spec() fleetspec.Spec {
	spec := fleetspec.Default(p.fleet)
	spec.BootProbe = "sh " + p.control + "/boot"
	spec.Timeouts.Boot, spec.Timeouts.Probe = fleetspec.Duration(p.timeout), fleetspec.Duration(p.timeout)
	spec.Timeouts.Idle = fleetspec.Duration(time.Hour)
	spec.Timeouts.ShutdownRetry = fleetspec.Duration(time.Second)
	spec.Intervals.Probe, spec.Intervals.Sync = fleetspec.Duration(time.Second), fleetspec.Duration(time.Hour)
	spec.Limits.MinIdle, spec.Limits.MaxInstances = 1, 1
	spec.Runner.Source = p.control + "/runner"
	install := "mkdir -p $DROVER_ROOT/var/lib/drover && cp " + p.control + "/runner $DROVER_ROOT/var/lib/drover/runner"
	switch {
	case p.c.State != api.StateBooting:
	case p.c.Copy == instancetest.Fails:
		spec.InitCommand = "touch $DROVER_ROOT/var"
	case p.c.Copy == instancetest.Needless:
		spec.Runner.Source, spec.InitCommand = "", install
	}
	// What is shut down stays to be looked at.
	spec.Faults = &fleetspec.Faults{Destroy: fleetspec.CallFaults{Fail: 1}}
	return spec
}

func (p *table) applyFleet() {
	_, err := p.client.ExecuteWorkflow(p.Context(), client.StartWorkflowOptions{
		ID: api.FleetWorkflowID(p.fleet), TaskQueue: api.DefaultTaskQueue,
	}, api.FleetWorkflow, api.FleetInput{Spec: p.spec()})
	require.NoError(p, err)
}

// await waits for the fleet's only instance to be in a state with so many containers.
func (p *table) await(state string, containers int) (i api.InstanceState) {
	p.eventually(time.Minute, func() bool {
		var fleet api.FleetState
		p.query(api.FleetWorkflowID(p.fleet), &fleet)
		if len(fleet.Instances) == 0 {
			return false
		}
		p.query(api.InstanceWorkflowID(p.fleet, fleet.Instances[0].Name), &i)
		return i.State == state && len(i.Running) == containers
	}, "case %d: the instance is %s with %d containers", p.c.Number, state, containers)
	return i
}

func (p *table) submitJob(priority int) {
	p.submit(p.job, map[string]any{"command": []string{"true"}, "fleet": p.fleet, "priority": priority})
}

func (p *table) play() {
	switch p.c.State {
	case api.StateUnknown:
		p.becomeUnknown()
	case api.StateBooting:
		p.startBooting()
	default:
		p.comeUp()
	}
	i := p.await(p.c.Then, p.c.ThenRunning+p.c.ThenStarting)
	if p.c.Then == p.c.State || p.c.Then == api.StateUnknown { // it stays so
		boots, lists := p.asked("boot"), p.asked("list")
		p.eventually(time.Minute, func() bool {
			return p.asked("boot") > boots+1 || p.asked("list") > lists+1 || p.c.Copy == instancetest.Fails
		}, "case %d: it is probed again", p.c.Number)
		p.query(i.WorkflowID, &i)
		assert.Equal(p, p.c.Then, i.State)
		assert.Len(p, i.Running, p.c.ThenRunning+p.c.ThenStarting)
	}
	if p.c.Then == api.StateShutdown && p.c.Running > 0 {
		var job api.ContainerState
		p.query(api.ContainerWorkflowID(p.job), &job)
		assert.Zero(p, job.FinishedAt, "it is not lost while its instance may exist")
	}
}

// answerWhenLate has the answers of the case given once the boot timeout has passed
// since the workflow's start, or at once.
func (p *table) answerWhenLate(i api.InstanceState) {
	p.answer("next", p.c.Boot, p.c.Run)
	at := time.Now()
	if p.c.Late {
		described, err := p.client.DescribeWorkflowExecution(p.Context(), i.WorkflowID, i.RunID)
		require.NoError(p, err)
		at = described.GetWorkflowExecutionInfo().GetStartTime().AsTime().Add(p.timeout)
	}
	p.write("at", fmt.Sprint(at.UnixNano()))
}

func (p *table) startBooting() {
	p.answer("now", instancetest.Fails, instancetest.Fails)
	if p.c.Run == instancetest.Lists {
		defer p.submitJob(-1)
	}
	p.applyFleet()
	p.answerWhenLate(p.await(api.StateBooting, 0))
}

// becomeUnknown has an instance created, and found again by a fleet that knows nothing.
func (p *table) becomeUnknown() {
	p.answer("now", instancetest.OK, instancetest.Nothing)
	p.applyFleet()
	i := p.await(api.StateIdle, 0)
	if p.c.Running > 0 {
		p.answer("now", instancetest.OK, instancetest.Lists)
		p.submitJob(0)
		p.await(api.StateRunning, 1)
	}
	for _, id := range []string{api.FleetWorkflowID(p.fleet), i.WorkflowID} {
		require.NoError(p, p.client.TerminateWorkflow(p.Context(), id, "", "test"))
	}
	root := filepath.Join(p.dir, "instances", p.fleet, i.Name, "root", "var")
	switch p.c.Copy {
	case instancetest.OK:
		require.NoError(p, os.RemoveAll(root))
	case instancetest.Fails:
		require.NoError(p, os.RemoveAll(root))
		require.NoError(p, os.WriteFile(root, nil, 0o600))
	}
	known := instancetest.Fails
	if p.c.Running > 0 {
		known = instancetest.Lists
	}
	p.answer("now", instancetest.Fails, known)
	if p.c.Run == instancetest.Lists {
		p.submitJob(-1)
	}
	p.applyFleet()
	if i = p.await(api.StateUnknown, p.c.Running); p.c.Running > 0 {
		p.answer("now", p.c.Boot, p.c.Run)
		return
	}
	p.answerWhenLate(i)
}

// comeUp has an instance come up and be given its containers, and then be late.
func (p *table) comeUp() {
	p.answer("now", instancetest.OK, instancetest.Nothing)
	p.applyFleet()
	i := p.await(api.StateIdle, 0)
	if p.c.Starting > 0 {
		p.write("starting", "")
	}
	if p.c.Running+p.c.Starting > 0 {
		if p.c.Running > 0 {
			p.answer("now", instancetest.OK, instancetest.Lists)
		}
		p.submitJob(0)
		p.await(api.StateRunning, 1)
		lists := p.asked("list")
		p.eventually(time.Minute, func() bool { return p.asked("list") > lists+1 }, "case %d: it is listed", p.c.Number)
	}
	if p.c.Late && p.c.Run != instancetest.Fails {
		p.signal(i, api.SignalSetIdleBehavior, "hold") // or it would be shut down
		p.answer("now", instancetest.OK, instancetest.Fails)
		p.eventually(time.Minute, func() bool {
			p.query(i.WorkflowID, &i)
			return strings.Contains(strings.Join(i.Notes, " "), "unreachable")
		}, "case %d: it is late", p.c.Number)
		if p.c.Running == 0 && p.c.Run == instancetest.Lists {
			p.submitJob(-1)
		}
		before := i.LastProbe
		p.answer("now", p.c.Boot, p.c.Run)
		p.eventually(time.Minute, func() bool { p.query(i.WorkflowID, &i); return i.LastProbe.After(before.Time) }, "case %d: it is seen again", p.c.Number)
		p.signal(i, api.SignalSetIdleBehavior, "run")
		return
	}
	p.answer("now", p.c.Boot, p.c.Run)
}
