//go:build chaos

package whole

import (
	"fmt"
	"math/rand/v2"
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

// TestChaos runs containers while workers are killed and instances die. At the end
// every container has exactly one result, none ran in two places at once, and no
// instance is left. DROVER_CHAOS_SEED repeats a run, as far as the machine does.
func TestChaos(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("DROVER_CHAOS_SEED"); text != "" {
		_, err := fmt.Sscan(text, &seed)
		require.NoError(t, err)
	}
	t.Logf("DROVER_CHAOS_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := newSystem(t, func(spec *fleetspec.Spec) {
		spec.Intervals.Probe, spec.Intervals.Sync = fleetspec.Duration(time.Second), fleetspec.Duration(2*time.Second)
		spec.Local.BootDelay = fleetspec.Duration(300 * time.Millisecond)
	})
	witness := t.TempDir()
	const count = 60
	runs := make([]client.WorkflowRun, count)
	for k := range runs {
		// A lock that another attempt still holds is two places at once.
		script := fmt.Sprintf(`exec 8>%[1]s/%[2]d.lock; flock -n 8 || echo %[2]d >>%[1]s/overlaps; echo x >>%[1]s/%[2]d; sleep %[3]d; exit %[2]d`, witness, k, 1+random.IntN(8))
		runs[k] = s.submit(fmt.Sprintf("chaos-%d", k), map[string]any{"command": []string{"sh", "-c", script}, "attempts": 100})
	}
	for range 12 {
		s.passes(time.Duration(500+random.IntN(3000)) * time.Millisecond)
		if random.IntN(3) == 0 {
			t.Log("a worker is killed")
			s.workers[len(s.workers)-1].stop(syscall.SIGKILL)
			s.startWorker()
			continue
		}
		if alive := s.fleet().Instances; len(alive) > 0 {
			victim := alive[random.IntN(len(alive))]
			t.Logf("instance %s loses its power", victim.Name)
			if pid, err := s.pid(victim.Name); err == nil { // else it has not started, or is gone
				_ = syscall.Kill(pid, syscall.SIGKILL) // likewise
			}
		}
	}
	for k, run := range runs {
		var result api.ContainerResult
		require.NoError(t, run.Get(t.Context(), &result), "container %d", k)
		assert.Equal(t, k, result.ExitCode)
		starts, err := os.ReadFile(filepath.Join(witness, fmt.Sprint(k)))
		require.NoError(t, err)
		assert.LessOrEqual(t, strings.Count(string(starts), "x"), result.Attempts, "container %d was started more often than it was tried", k)
	}
	assert.NoFileExists(t, filepath.Join(witness, "overlaps"), "containers ran in two places at once")
	s.eventually(2*time.Minute, func() bool { return len(s.fleet().Instances) == 0 }, "all instances go")
	assert.Empty(t, processesUnder(t, filepath.Join(s.dir, "instances")))
}
