package whole

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"drover/internal/api"
	"drover/internal/output"
)

// What must hold of the containers, whatever has happened.

// fate is how one workflow of an instance ended.
type fate struct {
	terminated bool
	last       api.InstanceState // unless it was terminated
}

// judge has what the verdicts need.
type judge struct {
	*chaos
	booted time.Time
	fates  map[string][]fate // by instance
	store  *output.Store
}

// judgeContainers checks each container: one result, the right one; one attempt at a
// time; none after one that ended by itself, except where its result was lost.
func (c *chaos) judgeContainers() {
	store, err := output.Open(c.Context(), "file://"+filepath.Join(c.dir, "output"))
	require.NoError(c, err)
	defer func() { require.NoError(c, store.Close()) }()
	j := judge{chaos: c, booted: booted(c), fates: c.fates(), store: store}
	for _, k := range c.witness.containers {
		attempts, overlaps := c.witness.of(c, k.id)
		c.counts["containers"]++
		c.counts["attempts that started"] += len(attempts)
		if !assert.Empty(c, overlaps, "container %s ran in two places at once", k.id) {
			j.tell(k, attempts)
		}
		j.startedOnce(k, attempts)
		j.result(k, attempts)
	}
}

// tell prints what is known of a container.
func (j judge) tell(k *contained, attempts []*seen) {
	for _, s := range attempts {
		j.Logf("container %s: %s on %s, process %d, from %s to %s", k.id, s.name, s.instance, s.pid, j.sinceBegan(s.start), j.sinceBegan(s.end))
	}
	j.dump(k.run.GetID())
	for _, s := range attempts {
		j.dump(api.InstanceWorkflowID("default", s.instance))
	}
}

// sinceBegan is an uptime in the times that events are printed with.
func (j judge) sinceBegan(up time.Duration) string {
	if up == 0 {
		return "an end that it has not seen"
	}
	return fmt.Sprintf("%.2fs", j.booted.Add(up).Sub(j.began).Seconds())
}

// startedOnce checks that no attempt was started twice, and none after one that ended
// by itself.
func (j judge) startedOnce(k *contained, attempts []*seen) {
	names := map[string]bool{}
	for n, s := range attempts {
		place := s.instance + " " + s.name
		if names[place] {
			j.Errorf("container %s: %s was started twice on %s", k.id, s.name, s.instance)
			j.tell(k, attempts)
		}
		names[place] = true
		if !s.exited || n == len(attempts)-1 {
			continue
		}
		excuse, ok := j.excuse(s)
		if !ok {
			j.Errorf("container %s had exited by itself on %s at %s, and was started again: %s", k.id, s.instance, j.sinceBegan(s.end), excuse)
			j.tell(k, attempts)
			continue
		}
		j.counts["started again although it had exited: "+excuse]++
	}
}

// excuse says why the result of an attempt was lost.
func (j judge) excuse(s *seen) (why string, ok bool) {
	ended := j.booted.Add(s.end)
	why = "its instance is not known"
	terminated := slices.ContainsFunc(j.fates[s.instance], func(f fate) bool { return f.terminated })
	if terminated && j.wasWithoutFleet(j.booted.Add(s.start)) {
		return "neither its instance's workflow nor its fleet knew of it any more", true
	}
	// Nobody was there to see it, and what ran was left running until somebody looked.
	if off, ok := j.unplugged[s.instance]; ok && terminated && j.undisturbed(s.instance, ended, off) <= 15*time.Second {
		return "its instance lost its power, or was taken, while it had no workflow", true
	}
	for _, f := range j.fates[s.instance] {
		switch left := f.last; {
		case !left.NoticeAt.IsZero() && s.code != 0:
			return "it was being killed for a spot notice", true
		case left.Outcome == api.OutcomeDisappeared || hasAnyPrefix(left.Reason, "destroyed", "unreachable"):
			if free := j.undisturbed(s.instance, ended, left.LeftAt.Time); free > 15*time.Second {
				return fmt.Sprintf("its instance could be reached for %s before it was lost", free), false
			}
			return "its instance was lost before its result could be fetched", true
		default:
			why = fmt.Sprintf("its instance was not lost, but %s: %s", left.State, left.Reason)
		}
	}
	return why, false
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

// undisturbed returns the longest time between two in which neither the instance nor
// everything was in trouble.
func (j judge) undisturbed(instance string, from, to time.Time) (longest time.Duration) {
	troubles := slices.DeleteFunc(slices.Clone(j.troubles), func(t trouble) bool { return t.instance != "" && t.instance != instance })
	slices.SortFunc(troubles, func(a, b trouble) int { return a.from.Compare(b.from) })
	for _, t := range append(troubles, trouble{"", to, to}) {
		if begin := earlier(t.from, to); begin.After(from) {
			longest = max(longest, begin.Sub(from))
		}
		if t.to.After(from) {
			from = t.to
		}
	}
	return longest
}

// result checks the result of a container against what it has seen itself.
func (j judge) result(k *contained, attempts []*seen) {
	var result api.ContainerResult
	err := k.run.Get(j.Context(), &result)
	var failed *temporal.ApplicationError
	switch {
	case err == nil:
		j.counts["containers that exited"]++
	case k.cancelled && temporal.IsCanceledError(err):
		j.counts["containers that were cancelled"]++
		return
	case errors.As(err, &failed) && failed.Type() == api.ErrorNoFleet && len(attempts) == 0 && j.wasWithoutFleet(k.submitted):
		j.counts["containers that found no fleet"]++
		return
	default:
		j.Errorf("container %s: %v", k.id, err)
		j.tell(k, attempts)
		return
	}
	j.counts["attempts according to the results"] += result.Attempts
	at := slices.IndexFunc(attempts, func(s *seen) bool { return s.exited && j.isOf(s, result) })
	if !assert.Equal(j, k.code, result.ExitCode, "exit code of container %s (%s)", k.id, result.Error) ||
		!assert.GreaterOrEqual(j, at, 0, "container %s has a result of %s, and none of its attempts there has ended by itself then", k.id, result.Instance) ||
		!assert.LessOrEqual(j, len(attempts), result.Attempts+j.forgotten(k, attempts), "container %s was started more often than it was tried", k.id) {
		j.tell(k, attempts)
		return
	}
	stored, printed := j.stored(k, attempts[at]), j.witness.printed(j, attempts[at])
	j.counts["bytes of output that were compared"] += len(stored)
	if stored != printed {
		j.Errorf("container %s: %d bytes of output are stored, and it has printed %d; they differ from %q on",
			k.id, len(stored), len(printed), from(stored, printed))
		j.tell(k, attempts)
	}
}

// isOf reports whether a result is that of an attempt: of the instance and the time.
func (j judge) isOf(s *seen, result api.ContainerResult) bool {
	const clocks = 500 * time.Millisecond // may differ by that
	began := j.booted.Add(s.start)
	return s.instance == result.Instance && began.After(result.StartedAt.Add(-clocks)) && began.Before(result.FinishedAt.Add(clocks))
}

// stored returns the output that is stored of an attempt.
func (j judge) stored(k *contained, s *seen) string {
	_, attempt, err := api.ParseOnInstance(s.name)
	require.NoError(j, err)
	var stored bytes.Buffer
	_, err = j.store.Read(j.Context(), output.Stream{Fleet: "default", Container: k.id, Attempt: attempt}, &stored, 0)
	require.NoError(j, err)
	return stored.String()
}

// from returns the beginning of where a text differs from another.
func from(text, other string) string {
	k := 0
	for k < len(text) && k < len(other) && text[k] == other[k] {
		k++
	}
	return text[k:min(len(text), k+120)]
}

// wasWithoutFleet reports whether there was no fleet at some time after that.
func (j judge) wasWithoutFleet(after time.Time) bool {
	return slices.ContainsFunc(j.fleetDown, func(t trouble) bool { return t.to.After(after) })
}

// forgotten returns how many starts of a container the fleet can't know of, because it
// was created anew since.
func (j judge) forgotten(k *contained, attempts []*seen) (n int) {
	for _, s := range attempts {
		if j.wasWithoutFleet(j.booted.Add(s.start)) {
			n++
		}
	}
	return n
}

// bad are signs of errors in workflow code, in the workers' logs.
var bad = regexp.MustCompile(`(?i)TMPRL1100|nondetermin|panic|deadlock`)

// stalled reports whether a text says that a workflow did not yield for a second. That
// is what the SDK sees when a worker hangs, or gets no processor, in its midst; a
// workflow that really does not yield is found by what does not end.
func stalled(text string) bool { return strings.Contains(text, "TMPRL1101") }

// overtaken reports whether a text says that the SDK could not replay a history. Workflow
// tasks that fail so are in the histories, which are judged and replayed as well. What is
// left are queries of a workflow that went on while a worker that did not know it read its
// history; they are asked again.
func overtaken(text string) bool { return strings.Contains(text, "invalid state transition") }

// expired is what a worker says that has answered a query for which nobody waits any more: it
// hung, and the history that it then read went on beyond what it was asked about. What it
// could not replay of that is no sign of anything; workflow tasks that fail so are in the
// histories.
const expired = "query task not found, or already expired"

// judgeLogs looks for signs of trouble in the logs of all workers that there were.
func (c *chaos) judgeLogs() {
	for _, p := range c.workers {
		text, err := os.ReadFile(p.log)
		require.NoError(c, err)
		for line := range strings.Lines(string(text)) {
			switch {
			case stalled(line):
				c.counts["signs of stalls in the workers' logs"]++
			case overtaken(line), strings.Contains(line, "TMPRL1100") && strings.Contains(string(text), expired):
				c.counts["signs of queries that were overtaken"]++
			case bad.MatchString(line):
				c.Errorf("%s says: %.2000s", p.name, line)
			}
		}
	}
}
