package whole

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"drover/internal/api"
	"drover/internal/cloud/local"
	"drover/internal/fleetspec"
)

// change has `drover fleet apply` change the running fleet.
func (s *system) change(to func(*fleetspec.Spec)) {
	s.Helper()
	spec := s.fleet().Spec
	to(&spec)
	yaml, err := fleetspec.Marshal(spec)
	require.NoError(s, err)
	file := filepath.Join(s.dir, "changed.yaml")
	require.NoError(s, os.WriteFile(file, yaml, 0o600))
	s.must("fleet", "apply", "--yes", "-f", file)
}

// TestContainersSurviveARehearsal runs containers while everything that can be
// rehearsed goes wrong: each runs once, and no instance is left.
func TestContainersSurviveARehearsal(t *testing.T) {
	t.Parallel()
	const quota = 3
	s := newSystem(t, func(spec *fleetspec.Spec) {
		spec.Timeouts.Idle = fleetspec.Duration(time.Second)
		spec.Timeouts.ShutdownRetry = fleetspec.Duration(time.Second)
		spec.Intervals.Sync = fleetspec.Duration(time.Second)
		often := fleetspec.CallFaults{Fail: 0.2, Lose: 0.2, Late: 0.2, Delay: fleetspec.Duration(300 * time.Millisecond)}
		spec.Faults = &fleetspec.Faults{
			Quota: quota, Destroy: often, Get: often, List: often, Tag: often,
			Create: fleetspec.CreateFaults{Fail: 0.2, Lose: 0.2, Late: 0.2, Delay: often.Delay},
		}
	})
	runs := make([]client.WorkflowRun, 10)
	for k := range runs {
		runs[k] = s.submit(fmt.Sprint("rehearsed-", k), map[string]any{"command": []string{"sh", "-c", fmt.Sprint("exit ", k)}, "vcpus": 2})
	}
	d, err := local.New(local.Config{Fleet: "default", Directory: filepath.Join(s.dir, "instances")})
	require.NoError(t, err)
	most := 0
	// A quota that is met while nobody knows of an instance yet is waited out for a minute.
	s.eventually(5*time.Minute, func() bool {
		instances, err := d.List(t.Context())
		require.NoError(t, err)
		most = max(most, len(instances))
		return s.fleet().Totals.Exited == int64(len(runs))
	}, "all containers end")
	assert.Positive(t, most)
	assert.LessOrEqual(t, most, quota)
	for k, run := range runs {
		result, err := s.result(run)
		require.NoError(t, err)
		assert.Equal(t, k, result.ExitCode)
		assert.Equal(t, 1, result.Attempts)
	}
	s.eventually(time.Minute, func() bool {
		instances, err := d.List(t.Context())
		return err == nil && len(instances) == 0 && len(s.fleet().Instances) == 0
	}, "all instances go")
}

// TestAnInstanceThatCannotBeDestroyedIsSeenUntilItCan rehearses a provider that
// destroys nothing, and ends the rehearsal.
func TestAnInstanceThatCannotBeDestroyedIsSeenUntilItCan(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) {
		spec.Timeouts.Idle = fleetspec.Duration(time.Second)
		spec.Timeouts.ShutdownRetry = fleetspec.Duration(time.Second)
		spec.Faults = &fleetspec.Faults{Destroy: fleetspec.CallFaults{Fail: 1}}
	})
	s.must("run", "--", "true")
	i := s.instance(api.StateShutdown)
	s.eventually(30*time.Second, func() bool {
		described, err := s.client.DescribeWorkflowExecution(t.Context(), i.WorkflowID, "")
		require.NoError(t, err)
		for _, pending := range described.GetPendingActivities() {
			if pending.GetAttempt() > 2 && strings.Contains(pending.GetLastFailure().GetMessage(), "injected fault") {
				return true
			}
		}
		return false
	}, "the reason is in sight")
	assert.Len(t, s.fleet().Instances, 1)
	s.change(func(spec *fleetspec.Spec) { spec.Faults = nil })
	assert.Equal(t, api.StateGone, s.gone(i).State)
}

// TestADeniedFleetSaysSoUntilItIsNot rehearses credentials that are wrong, and then
// right.
func TestADeniedFleetSaysSoUntilItIsNot(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) { spec.Faults = &fleetspec.Faults{Denied: true} })
	run := s.submit("patient", map[string]any{"command": []string{"true"}})
	const why = "injected fault: the credentials are not valid"
	s.eventually(30*time.Second, func() bool { return strings.Contains(s.fleet().Problem, why) }, "the fleet says why")
	s.eventually(30*time.Second, func() bool { return strings.Contains(s.must("ps", "-o", "json"), why) }, "the container says why")
	s.change(func(spec *fleetspec.Spec) { spec.Faults = &fleetspec.Faults{} })
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Zero(t, result.ExitCode)
}

// says waits until drover ps says all that.
func (s *system) says(limit time.Duration, parts ...string) {
	s.Helper()
	var said string
	s.eventually(limit, func() bool {
		said = s.must("ps", "-o", "json")
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(said, part) })
	}, "drover ps says %q", parts)
	s.Log(said)
}

// bought returns how many instances the fleet has asked for, created or not.
func (s *system) bought() int64 {
	s.Helper()
	count, err := s.client.CountWorkflow(s.Context(), countRequest(fmt.Sprintf("WorkflowType = %q", api.InstanceWorkflow)))
	require.NoError(s, err)
	return count.GetCount()
}

// TestInstancesThatDoNotBootAreFewAndSaid has every boot fail, as a bad image would, and
// mends it.
func TestInstancesThatDoNotBootAreFewAndSaid(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) {
		spec.BootProbe = "echo no such device >&2; exit 1"
		spec.Timeouts.Boot = fleetspec.Duration(3 * time.Second)
		spec.Timeouts.Idle = fleetspec.Duration(time.Second)
		spec.InstanceTypes = spec.InstanceTypes[:1]
	})
	run := s.submit("patient", map[string]any{"command": []string{"true"}})
	s.says(time.Minute, "small does not boot: boot timeout 3s at boot probe of ", "no such device", " (failed once, next try at ")
	s.says(2*time.Minute, "small does not boot: boot timeout 3s at boot probe of ", " (failed 2 times in a row, next try at ")
	assert.EqualValues(t, 2, s.fleet().Totals.Created, "and not one every few seconds")
	s.change(func(spec *fleetspec.Spec) {
		spec.BootProbe, spec.Timeouts.Boot = "true", fleetspec.Duration(time.Minute)
	})
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Zero(t, result.ExitCode)
}

// TestACreationThatFailsIsSaidWhileItIsTriedAgain rehearses a cloud that does not answer,
// and ends the rehearsal.
func TestACreationThatFailsIsSaidWhileItIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) {
		spec.Timeouts.Idle = fleetspec.Duration(time.Second)
		spec.InstanceTypes = spec.InstanceTypes[:1]
		spec.Faults = &fleetspec.Faults{Create: fleetspec.CreateFaults{Fail: 1}}
	})
	run := s.submit("patient", map[string]any{"command": []string{"true"}})
	s.says(time.Minute, "creating small failed: create instance default-", "injected fault: the call did not reach the provider (next try at ")
	s.change(func(spec *fleetspec.Spec) { spec.Faults = &fleetspec.Faults{} })
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Zero(t, result.ExitCode)
	s.eventually(time.Minute, func() bool { return len(s.fleet().Instances) == 0 }, "nothing is left that may exist")
}

// TestAnAnswerThatIsLostCostsNoInstance rehearses a cloud that creates what it is asked
// for and never says so: what it has created is destroyed, and those who wait are told.
func TestAnAnswerThatIsLostCostsNoInstance(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) {
		spec.InstanceTypes = spec.InstanceTypes[:1]
		spec.Faults = &fleetspec.Faults{Create: fleetspec.CreateFaults{Lose: 1}}
	})
	s.submit("patient", map[string]any{"command": []string{"true"}})
	s.says(time.Minute, "creating small failed: create instance default-", "injected fault: the answer was lost (next try at ")
	d, err := local.New(local.Config{Fleet: "default", Directory: filepath.Join(s.dir, "instances")})
	require.NoError(t, err)
	s.must("cancel", "patient")
	s.eventually(time.Minute, func() bool {
		instances, err := d.List(t.Context())
		return err == nil && len(instances) == 0 && len(s.fleet().Instances) == 0
	}, "what was created is destroyed")
}

// TestCredentialsThatNoLongerHoldAreSaidAtOnceAndNotTriedAgain has them end while the
// fleet works.
func TestCredentialsThatNoLongerHoldAreSaidAtOnceAndNotTriedAgain(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(spec *fleetspec.Spec) {
		spec.Timeouts.Idle = fleetspec.Duration(time.Second)
		spec.Faults = &fleetspec.Faults{}
	})
	s.must("run", "--", "true")
	s.eventually(time.Minute, func() bool { return len(s.fleet().Instances) == 0 }, "the first instance goes")
	s.change(func(spec *fleetspec.Spec) { spec.Faults = &fleetspec.Faults{Denied: true} })
	before := s.bought()
	run := s.submit("patient", map[string]any{"command": []string{"true"}})
	s.says(time.Minute, "creating any instance is not possible until somebody acts: create instance default-",
		"denied: injected fault: the credentials are not valid (next try at ")
	s.submit("another", map[string]any{"command": []string{"true"}})
	s.says(time.Minute, "another", "queue position 2: creating any instance is not possible until somebody acts")
	s.eventually(time.Minute, func() bool { return len(s.fleet().Instances) == 0 }, "nothing is in doubt")
	assert.Equal(t, before+1, s.bought(), "one was asked for, once")
	s.change(func(spec *fleetspec.Spec) { spec.Faults = &fleetspec.Faults{} })
	result, err := s.result(run)
	require.NoError(t, err)
	assert.Zero(t, result.ExitCode)
}
