package whole

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

func TestTheTimingsOfAnInstanceAreMetrics(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	s.startWorker("--metrics", address)
	s.apply(func(spec *fleetspec.Spec) { spec.Timeouts.Idle = fleetspec.Duration(time.Second) })
	ran, err := s.result(s.submit("brief", map[string]any{"command": []string{"true"}}))
	require.NoError(t, err)
	s.gone(api.InstanceState{WorkflowID: api.InstanceWorkflowID("default", ran.Instance)})

	reply, err := http.Get("http://" + address + "/metrics")
	require.NoError(t, err)
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	require.NoError(t, err)
	for _, name := range []string{"drover_boots", "drover_ssh_duration", "drover_boot_duration", "drover_first_container_duration", "drover_destroy_duration"} {
		assert.True(t, countsOne(string(text), name), "%s is counted once, in\n%s", name, linesWith(string(text), "drover_"))
	}
}

// countsOne reports whether the number of what a metric counts or times is 1.
func countsOne(text, name string) bool {
	for line := range strings.Lines(linesWith(text, name)) {
		metric, labels, _ := strings.Cut(strings.TrimSpace(line), "{")
		counts := strings.HasSuffix(metric, "_total") || strings.HasSuffix(metric, "_count") || metric == name
		if counts && strings.Contains(labels, `fleet="default"`) && strings.HasSuffix(labels, "} 1") {
			return true
		}
	}
	return false
}

func linesWith(text, prefix string) string {
	var all strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			fmt.Fprint(&all, line)
		}
	}
	return all.String()
}
