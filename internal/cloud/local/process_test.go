package local

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func sleeper(t *testing.T, environment ...string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), "sleep", "1008")
	command.Env = environment
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill() // it may have ended
		_ = command.Wait()         // killed
	})
	return command
}

func TestAProcessIsRecognisedByItsEnvironmentToo(t *testing.T) {
	t.Parallel()
	m := markOf("/nowhere/" + t.Name())
	ours := sleeper(t, markVariable+"="+m.directory)
	theirs := sleeper(t, markVariable+"="+m.directory+"-2")
	found, err := m.scan()
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, ours.Process.Pid, found[0].pid)
	require.NoError(t, m.killAll(context.Background()))
	assert.False(t, runs(ours.Process.Pid))
	assert.True(t, runs(theirs.Process.Pid))
}

func TestKillSparesALaterProcessWithTheSameID(t *testing.T) {
	t.Parallel()
	other := sleeper(t)
	p, running := look(other.Process.Pid)
	require.True(t, running)
	earlier := p
	earlier.start--
	handle, err := earlier.kill()
	require.NoError(t, err)
	assert.Nil(t, handle)
	assert.True(t, runs(p.pid))
	handle, err = p.kill()
	require.NoError(t, err)
	require.NoError(t, waitReadable(handle, patience))
	require.NoError(t, handle.Close())
	assert.False(t, runs(p.pid))
	handle, err = p.kill()
	require.NoError(t, err)
	assert.Nil(t, handle, "it has ended")
}

func TestScanSparesItsCaller(t *testing.T) {
	t.Parallel()
	// As if this very process, and its parent, ran on an instance.
	m := markOf("/nowhere/" + t.Name())
	child := exec.CommandContext(t.Context(), "/proc/self/exe")
	child.Env = []string{markVariable + "=" + m.directory, scannerVariable + "=" + m.directory}
	output, err := child.CombinedOutput()
	require.NoError(t, err, string(output))
	assert.Equal(t, "[]", string(output))
}

func TestBrandIn(t *testing.T) {
	t.Parallel()
	own, err := os.ReadFile("/proc/self/limits")
	require.NoError(t, err)
	for limits, brand := range map[string]uint64{
		string(own): 0,
		"":          0,
		"Limit\nMax realtime timeout      1152921504606859321  1152921504606859321  us        \n": 1152921504606859321,
		"Limit\nMax realtime timeout      unlimited            unlimited            us        \n": 0,
		"Limit\nMax realtime timeout      200000               200000               us        \n": 0,
		"Limit\nMax realtime timeout      unlimited":                                              0,
	} {
		assert.Equal(t, brand, brandIn([]byte(limits)), limits)
	}
}

func TestUnescape(t *testing.T) {
	t.Parallel()
	for field, plain := range map[string]string{
		`/a`: "/a", `/a\040b`: "/a b", `\134`: `\`, `/a\04`: `/a\04`, `/a\999`: `/a\999`, "": "",
	} {
		assert.Equal(t, plain, unescape(field))
	}
}
