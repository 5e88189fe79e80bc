package whole

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// pair is a container that runs, and one that was sent ahead to begin after it.
type pair struct {
	*system
	runs, next client.WorkflowRun
	runsID     string
	nextID     string
	instance   string
	gate       string // the first ends when this file is there
	witness    string // a line of this file is a beginning of the second
}

// sendAhead has a fleet with one instance run a container, after short ones, and send
// another one ahead.
func (s *system) sendAhead(fleet string) *pair {
	s.applyNamed(fleet, func(spec *fleetspec.Spec) { spec.Limits.MaxInstances, spec.Limits.MinIdle = 1, 1 })
	p := &pair{system: s, witness: filepath.Join(s.dir, fleet+"-witness")}
	submit := func(id string, command ...string) client.WorkflowRun {
		return s.submit(id, map[string]any{"fleet": fleet, "command": command, "vcpus": 2})
	}
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); { // a busy machine takes a short one for a long one
		k := time.Now().UnixNano()
		p.runsID, p.nextID, p.gate = fmt.Sprintf("%s-%d", fleet, k), fmt.Sprintf("%s-%d-next", fleet, k), filepath.Join(s.dir, fmt.Sprintf("%s-gate-%d", fleet, k))
		_, err := s.result(submit(fmt.Sprintf("%s-%d-short", fleet, k), "true"))
		require.NoError(s, err)
		require.NoError(s, os.RemoveAll(p.witness))
		p.runs, p.next = submit(p.runsID, waits(p.gate, "0")...), submit(p.nextID, "sh", "-c", `echo "begins in $DROVER_CONTAINER_DIRECTORY" >>`+p.witness)
		p.instance = s.instanceOf(p.runsID)
		s.eventually(20*time.Second, func() bool { state, _ := s.why(p.nextID); return state != "" }, "the fleet knows it")
		state, status := s.why(p.nextID)
		if state == api.ContainerAssigned && status == fmt.Sprintf("next on %s: begins when %s ends", p.instance, p.runsID) {
			return p
		}
		p.open()
		p.ended()
	}
	require.Fail(s, "none is sent ahead")
	return p
}

// open lets the one that runs end.
func (p *pair) open() { require.NoError(p, os.WriteFile(p.gate, nil, 0o600)) }

// begun is how often the one that was sent ahead has begun, on the instance of that name;
// empty: on any.
func (p *pair) begun(instance string) (n int) {
	data, err := os.ReadFile(p.witness)
	if !os.IsNotExist(err) {
		require.NoError(p, err)
	}
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, "/"+instance) {
			n++
		}
	}
	return n
}

// ended returns the results of both. The second has begun where it has ended.
func (p *pair) ended() (runs, next api.ContainerResult) {
	runs, err := p.result(p.runs)
	require.NoError(p, err)
	next, err = p.result(p.next)
	require.NoError(p, err)
	require.Equal(p, 1, p.begun(next.Instance))
	return runs, next
}

func TestTheNextContainerIsSentAhead(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.startWorker()
	t.Run("it is called back when it waits for long", func(t *testing.T) {
		p := s.sendAhead("back")
		p.eventually(20*time.Second, func() bool { state, _ := s.why(p.nextID); return state == api.ContainerQueued }, "it is queued again")
		require.Zero(t, p.begun(""))
		p.open()
		runs, next := p.ended()
		require.Equal(t, 1, p.begun(""))
		assert.Equal(t, runs.Instance, next.Instance)
		assert.Equal(t, 1, next.Attempts, "no attempt was used up")
	})
	t.Run("it is cancelled", func(t *testing.T) {
		p := s.sendAhead("cancel")
		p.must("cancel", p.nextID)
		_, err := p.result(p.next)
		require.ErrorContains(t, err, "canceled")
		state, status := p.why(p.nextID)
		assert.Equal(t, []string{api.ContainerCancelled, "cancelled"}, []string{state, status})
		p.open()
		_, err = p.result(p.runs)
		require.NoError(t, err)
		assert.Zero(t, p.begun(""))
	})
	t.Run("another has a higher priority", func(t *testing.T) {
		p := s.sendAhead("priority")
		urgent := p.submit("urgent", map[string]any{"fleet": "priority", "command": []string{"true"}, "vcpus": 2, "priority": 5})
		p.eventually(20*time.Second, func() bool { state, _ := s.why(p.nextID); return state == api.ContainerQueued }, "it is called back")
		p.open()
		_, next := p.ended()
		require.Equal(t, 1, p.begun(""))
		first, err := p.result(urgent)
		require.NoError(t, err)
		assert.True(t, first.FinishedAt.Before(next.StartedAt.Time), "it comes after that one")
	})
	t.Run("its instance drains", func(t *testing.T) {
		p := s.sendAhead("drain")
		p.must("instance", "drain", p.instance)
		p.eventually(20*time.Second, func() bool { state, _ := s.why(p.nextID); return state == api.ContainerQueued }, "it is called back")
		p.open()
		runs, next := p.ended()
		require.Equal(t, 1, p.begun(""))
		assert.NotEqual(t, runs.Instance, next.Instance)
		assert.Equal(t, 1, next.Attempts)
	})
	t.Run("its instance is destroyed", func(t *testing.T) {
		p := s.sendAhead("destroy")
		p.must("instance", "destroy", p.instance)
		var destroyed api.InstanceState
		require.NoError(t, s.client.GetWorkflow(t.Context(), api.InstanceWorkflowID("destroy", p.instance), "").Get(t.Context(), &destroyed))
		p.open()
		_, next := p.ended()
		assert.NotEqual(t, p.instance, next.Instance)
		// Its processes end one by one: the second may see the first one's end before its own.
		assert.LessOrEqual(t, p.begun(p.instance), 1)
		assert.False(t, next.StartedAt.Before(destroyed.GoneAt.Time), "never in two places")
	})
	t.Run("it begins without anybody's help", func(t *testing.T) {
		p := s.sendAhead("alone")
		record := filepath.Join(s.dir, "instances", "alone", p.instance, "root/var/lib/drover/containers", p.nextID, "waiting")
		p.eventually(20*time.Second, func() bool { _, err := os.Stat(record); return err == nil }, "it is on record")
		s.workers[0].stop(syscall.SIGKILL)
		p.open()
		p.eventually(20*time.Second, func() bool { return p.begun("") == 1 }, "it has begun")
		s.startWorker()
		runs, next := p.ended()
		require.Equal(t, 1, p.begun(""))
		assert.False(t, next.StartedAt.Before(runs.FinishedAt.Time))
		assert.Less(t, next.StartedAt.Sub(runs.FinishedAt.Time), time.Second)
		assert.Equal(t, 1, next.Attempts)
	})
}
