package whole

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// applyNamed creates a fleet of that name.
func (s *system) applyNamed(name string, change func(*fleetspec.Spec)) {
	s.apply(func(spec *fleetspec.Spec) {
		*spec = fleetspec.Default(name)
		spec.InstanceTypes = spec.InstanceTypes[:1] // small
		if change != nil {
			change(spec)
		}
	})
}

// why says what the command shows of a container: its state and why it is in it.
func (s *system) why(id string) (state, status string) {
	stdout, _, _ := s.drover("ps", id, "-o", "json")
	var rows []api.ContainerState
	if json.Unmarshal([]byte(stdout), &rows) != nil || len(rows) != 1 {
		return "", stdout
	}
	return rows[0].State, rows[0].Status
}

const clock = `\d\d:\d\d:\d\d`

// TestEveryWaitingContainerSaysWhy has fleets in every plight that can be rehearsed, and
// asks the command why their containers wait.
func TestEveryWaitingContainerSaysWhy(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.startWorker()
	faults := func(f fleetspec.Faults) func(*fleetspec.Spec) {
		return func(spec *fleetspec.Spec) { spec.Faults = &f }
	}
	twoTypes := func(spec *fleetspec.Spec) {
		spec.InstanceTypes = fleetspec.Default("x").InstanceTypes
		spec.InstanceTypes = append(spec.InstanceTypes[:1], spec.InstanceTypes[2])
		spec.Limits.MaxPriceFactor = 10
	}
	for _, c := range []struct {
		fleet      string
		change     func(*fleetspec.Spec)
		before     int // containers that take a whole instance each
		priority   int
		state, why string // of the one after them
	}{
		{"booting", func(spec *fleetspec.Spec) { spec.Local.BootDelay = fleetspec.Duration(time.Hour) }, 0, 0,
			api.ContainerAssigned, `waiting for a small instance to boot`},
		{"hold", nil, 0, -1, api.ContainerQueued, `on hold: priority is negative`},
		{"max", func(spec *fleetspec.Spec) { spec.Limits.MaxInstances = 1 }, 1, 0,
			api.ContainerQueued, `queue position 1: fleet is at its limit of 1 instance \(max_instances\)`},
		{"third", func(spec *fleetspec.Spec) { spec.Limits.MaxInstances = 1 }, 3, 0,
			api.ContainerQueued, `queue position 3: fleet is at its limit of 1 instance \(max_instances\)`},
		{"urgent", func(spec *fleetspec.Spec) { spec.Limits.MaxInstances = 1 }, 3, 7,
			api.ContainerQueued, `queue position 1: fleet is at its limit of 1 instance \(max_instances\)`},
		{"quota", faults(fleetspec.Faults{Quota: 1}), 1, 0,
			api.ContainerQueued, `queue position 1: fleet is at its quota of 1 instance(, one more is tried at ` + clock + `)?`},
		{"local-quota", func(spec *fleetspec.Spec) { spec.Local.Quota = 1 }, 1, 0,
			api.ContainerQueued, `queue position 1: fleet is at its quota of 1 instance(, one more is tried at ` + clock + `)?`},
		{"capacity", faults(fleetspec.Faults{NoCapacity: []string{"small"}}), 0, 0,
			api.ContainerQueued, `queue position 1: no capacity for small until ` + clock + ` \(create instance [a-z0-9-]+: capacity: injected fault: there is no small to be had\)`},
		{"next-type", func(spec *fleetspec.Spec) {
			twoTypes(spec)
			spec.Faults = &fleetspec.Faults{NoCapacity: []string{"small"}}
			spec.Local.BootDelay = fleetspec.Duration(time.Hour)
		}, 0, 0, api.ContainerAssigned, `waiting for a medium instance to boot`},
		{"no-capacity", func(spec *fleetspec.Spec) {
			twoTypes(spec)
			spec.Faults = &fleetspec.Faults{NoCapacity: []string{"small", "medium"}}
		}, 0, 0, api.ContainerQueued, `queue position 1: no capacity for small until ` + clock + ` \(.*there is no small to be had\), no capacity for medium until ` + clock + ` \(.*there is no medium to be had\)`},
		{"rate", faults(fleetspec.Faults{Create: fleetspec.CreateFaults{PerMinute: 1}}), 1, 0,
			api.ContainerQueued, `queue position 1: the cloud limits the rate of requests, next try at ` + clock},
		{"error", func(spec *fleetspec.Spec) {
			spec.Timeouts.Boot = fleetspec.Duration(5 * time.Second)
			spec.Faults = &fleetspec.Faults{Create: fleetspec.CreateFaults{Fail: 1}}
		}, 0, 0, api.ContainerQueued, `queue position 1: .*injected fault.*`},
		{"denied", faults(fleetspec.Faults{Denied: true}), 0, 0,
			api.ContainerQueued, `the fleet can't work: .*injected fault: the credentials are not valid.*`},
		{"no-key", func(spec *fleetspec.Spec) { spec.SSH.KeyFile = filepath.Join(s.dir, "no-key") }, 0, 0,
			api.ContainerQueued, `the fleet can't work: ssh\.key_file: stat ` + regexp.QuoteMeta(s.dir) + `/no-key: no such file or directory`},
		{"slow", faults(fleetspec.Faults{List: fleetspec.CallFaults{Late: 1, Delay: fleetspec.Duration(time.Hour)}}), 0, 0,
			api.ContainerQueued, `waiting for a worker to prepare the fleet`},
	} {
		s.applyNamed(c.fleet, c.change)
		for k := range c.before {
			id := c.fleet + "-" + string(rune('a'+k))
			s.submit(id, map[string]any{"fleet": c.fleet, "command": []string{"sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"}, "vcpus": 2})
			s.eventually(45*time.Second, func() bool {
				state, status := s.why(id)
				return k == 0 && state == api.ContainerRunning || k > 0 && strings.HasPrefix(status, fmt.Sprintf("queue position %d:", k))
			}, "%s has its place", id)
		}
		s.submit(c.fleet+"-last", map[string]any{"fleet": c.fleet, "command": []string{"true"}, "vcpus": 2, "priority": c.priority})
		t.Run(c.fleet, func(t *testing.T) {
			var state, status string
			whole := regexp.MustCompile(`^` + c.why + `$`)
			assert.Eventually(t, func() bool {
				state, status = s.why(c.fleet + "-last")
				return state == c.state && whole.MatchString(status)
			}, 45*time.Second, 100*time.Millisecond)
			assert.Regexp(t, whole, status)
			assert.Equal(t, c.state, state)
		})
	}
	t.Run("running, and being killed", func(t *testing.T) {
		var runs api.ContainerState
		s.eventually(20*time.Second, func() bool { s.query(api.ContainerWorkflowID("max-a"), &runs); return runs.Instance != "" }, "it says where it runs")
		_, status := s.why("max-a")
		assert.Regexp(t, `^runs on max-[a-z0-9]+$`, status)
		s.must("cancel", "max-a")
		s.eventually(20*time.Second, func() bool { _, status = s.why("max-a"); return !strings.HasPrefix(status, "runs") }, "it is being killed")
		assert.Equal(t, "being killed on "+runs.Instance, status)
	})
	t.Run("no worker", func(t *testing.T) {
		s.workers[0].stop(9)
		var said string
		s.eventually(time.Minute, func() bool {
			_, stderr, code := s.drover("ps", "max-last")
			said = stderr
			return code == 1
		}, "it is noticed")
		assert.Regexp(t, `^drover: fleet max: no (worker answers: start one with .drover-worker., and see that it uses the same task queue and namespace|answer in time: is a worker running\?)[^\n]*\n$`, said)
	})
}
