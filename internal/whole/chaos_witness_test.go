package whole

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"drover/internal/api"
)

// witnessScript is what the containers run. It holds a lock for as long as the attempt
// and its children live, and writes down when it began and when it ended by itself, by
// the machine's clock that never jumps, and the attempt that it is. What it prints, it
// also writes into a file of its own.
const witnessScript = `
dir=$1 id=$2 what=$3 length=$4 code=$5
attempt="$DROVER_CONTAINER_DIRECTORY $DROVER_CONTAINER_ID $$"
record() { read -r up idle </proc/uptime; echo "$1 $up $attempt $2" >>"$dir/$id.log"; }
out="$dir/$DROVER_CONTAINER_ID.$$.out"
print() { echo "$1" >>"$out"; echo "$1"; }
exec 8>>"$dir/$id.lock"
flock -n 8 || record overlap
record start
print "attempt $attempt"
case $what in
wait) sleep "$length" ;;
leave) (setsid sleep 1000 &) ; sleep "$length" ;;
print)
	k=0 end=$((length * 4))
	while [ $k -lt $end ]; do
		k=$((k + 1)) j=0
		while [ $j -lt 10 ]; do
			j=$((j + 1))
			print "$attempt line $k.$j of what is compared byte for byte with what has been stored of it"
		done
		sleep 0.25
	done ;;
esac
trap '' TERM
record end "$code"
exit "$code"
`

// witness is what the containers have seen.
type witness struct {
	dir        string
	containers []*contained
}

// contained is a container that was submitted.
type contained struct {
	id        string
	run       client.WorkflowRun
	submitted time.Time
	code      int // with which it exits by itself
	priority  int
	cancelled bool // somebody has cancelled it, or tried to
	ended     bool // as far as is known
}

// seen is what one attempt has written down. Times are the machine's uptime.
type seen struct {
	instance, name string
	pid            int
	start, end     time.Duration
	exited         bool // by itself
	code           int
}

func newWitness(t testing.TB) *witness {
	w := &witness{dir: t.TempDir()}
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "witness.sh"), []byte(witnessScript), 0o600))
	return w
}

// submitContainer submits a container, once there is a fleet.
func (c *chaos) submitContainer(e event) {
	if !c.waitsForFleet(e) {
		c.submitWitness(e, 0.5)
	}
}

// burst submits short containers of which each takes a whole instance: most are sent ahead.
func (c *chaos) burst(e event) {
	if c.waitsForFleet(e) {
		return
	}
	c.say(e.kind, "of short containers")
	for k := range uint64(15) {
		c.submitWitness(event{pick: e.pick + k, variant: e.variant + k, lasts: time.Duration(k%3) * time.Second}, 2)
	}
}

// waitsForFleet has an event happen later if there is no fleet now.
func (c *chaos) waitsForFleet(e event) bool {
	if c.down {
		c.counts[e.kind]--
		c.later(500*time.Millisecond, func() { c.happens(e) })
	}
	return c.down
}

// submitWitness submits a container that writes down what it sees.
func (c *chaos) submitWitness(e event, vcpus float64) {
	k := &contained{id: fmt.Sprintf("chaos-%d", len(c.witness.containers)), submitted: time.Now(), code: int(e.variant / 64 % 3 * 7)}
	what := []string{"trivial", "wait", "wait", "print", "print", "leave"}[e.pick%6]
	spec := map[string]any{
		"command": []string{"sh", filepath.Join(c.witness.dir, "witness.sh"), c.witness.dir, k.id, what,
			strconv.Itoa(int(e.lasts.Seconds())), strconv.Itoa(k.code)},
		"attempts": 100, "vcpus": vcpus, "memory": "100MiB", "preemptible": e.variant%2 == 0, "priority": e.variant / 8 % 3,
	}
	options := client.StartWorkflowOptions{ID: api.ContainerWorkflowID(k.id), TaskQueue: api.DefaultTaskQueue}
	c.eventually(30*time.Second, func() (done bool) {
		run, err := c.client.ExecuteWorkflow(c.Context(), options, api.ContainerWorkflow, spec)
		k.run = run
		return err == nil
	}, "container %s is submitted", k.id)
	c.witness.containers = append(c.witness.containers, k)
}

// open returns the containers whose workflows have not closed.
func (w *witness) open(c *chaos) (open []*contained) {
	for _, k := range w.containers {
		k.ended = k.ended || c.closed(k.run.GetID())
		if !k.ended {
			open = append(open, k)
		}
	}
	return open
}

// of returns the attempts of a container in the order of their start, and the overlaps
// that they have seen.
func (w *witness) of(t testing.TB, id string) (attempts []*seen, overlaps []string) {
	text, err := os.ReadFile(filepath.Join(w.dir, id+".log"))
	if os.IsNotExist(err) {
		return nil, nil
	}
	require.NoError(t, err)
	byPID := map[string]*seen{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		require.GreaterOrEqual(t, len(fields), 5, "%q", line)
		what, key := fields[0], strings.Join(fields[2:5], " ")
		up, err := strconv.ParseFloat(fields[1], 64)
		require.NoError(t, err)
		at := time.Duration(up * float64(time.Second))
		switch what {
		case "overlap":
			overlaps = append(overlaps, line)
		case "start":
			s := &seen{instance: instanceIn(fields[2]), name: fields[3], start: at}
			s.pid, err = strconv.Atoi(fields[4])
			require.NoError(t, err)
			byPID[key] = s
			attempts = append(attempts, s)
		case "end":
			s := byPID[key]
			require.NotNil(t, s, "an end without a beginning: %q", line)
			s.exited, s.end = true, at
			s.code, err = strconv.Atoi(fields[5])
			require.NoError(t, err)
		}
	}
	return attempts, overlaps
}

// instanceIn returns the name of the instance whose directory a path leads through.
func instanceIn(path string) string {
	_, below, _ := strings.Cut(path, "/instances/default/")
	name, _, _ := strings.Cut(below, "/")
	return name
}

// printed returns what an attempt has printed.
func (w *witness) printed(t testing.TB, s *seen) string {
	text, err := os.ReadFile(filepath.Join(w.dir, fmt.Sprintf("%s.%d.out", s.name, s.pid)))
	require.NoError(t, err)
	return string(text)
}

// booted is when the machine was started: what uptimes count from.
func booted(t testing.TB) time.Time {
	text, err := os.ReadFile("/proc/uptime")
	require.NoError(t, err)
	var up float64
	_, err = fmt.Sscan(string(text), &up)
	require.NoError(t, err)
	return time.Now().Add(-time.Duration(up * float64(time.Second)))
}
