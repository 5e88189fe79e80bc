// Package instancetest is the table of what becomes of an instance, by what it was and
// what its probes say: once, as data, for the tests of the workflow in skipped time and
// for those of the whole system on a real server.
package instancetest

import "fmt"

// Answer is what one probe says.
type Answer string

// The answers. Not every probe has all of them.
const (
	Fails    Answer = "fails"
	OK       Answer = "ok"
	Needless Answer = "not needed" // the runner is on the instance already
	Unasked  Answer = "not asked"  // an earlier probe fails
	Lists    Answer = "lists c"    // the container of the case
	Nothing  Answer = "lists nothing"
)

// Case is one row of the table.
type Case struct {
	Number int
	// State is that of the instance before the probes.
	State string
	// Late: the relevant timeout has passed since the last successful probe.
	Late bool
	// Running and Starting are how many containers the workflow knows before.
	Running, Starting int
	// Boot, Copy and Run are what the boot probe, the copying of the runner and its
	// list say.
	Boot, Copy, Run Answer
	// Then is the state after the probes, ThenRunning and ThenStarting the containers.
	Then                      string
	ThenRunning, ThenStarting int
}

// Name says what the case is about, for a test's name.
func (c Case) Name() string {
	late := ""
	if c.Late {
		late = "late "
	}
	return fmt.Sprintf("%d %s%s %d+%d, boot %s, copy %s, run %s", c.Number, late, c.State, c.Running, c.Starting, c.Boot, c.Copy, c.Run)
}

// Cases returns the table. The cases from 25 on are not in the design's table, but
// follow from its rules.
func Cases() []Case {
	const unknown, booting, idle, running, shutdown = "unknown", "booting", "idle", "running", "shutdown"
	const late, timely = true, false
	return []Case{
		{1, unknown, timely, 0, 0, Fails, Needless, Fails, unknown, 0, 0},
		{2, unknown, timely, 0, 0, Fails, Needless, Lists, unknown, 1, 0},
		{3, unknown, timely, 1, 0, Fails, Needless, Nothing, unknown, 0, 0},
		{4, unknown, late, 0, 0, Fails, Needless, Fails, shutdown, 0, 0},
		{5, unknown, late, 0, 0, OK, Needless, Fails, shutdown, 0, 0},
		{6, unknown, late, 0, 0, Fails, Needless, Nothing, shutdown, 0, 0},
		{7, unknown, late, 0, 0, Fails, Needless, Lists, unknown, 1, 0},
		{8, unknown, timely, 0, 0, Fails, OK, Lists, unknown, 1, 0},
		{9, unknown, late, 0, 0, Fails, OK, Lists, unknown, 1, 0},
		{10, unknown, late, 0, 0, Fails, OK, Fails, shutdown, 0, 0},
		{11, booting, timely, 0, 0, Fails, Needless, Fails, booting, 0, 0},
		{12, booting, timely, 0, 0, Fails, Needless, Unasked, booting, 0, 0},
		{13, booting, timely, 0, 0, OK, Needless, Fails, booting, 0, 0},
		{14, booting, timely, 0, 0, OK, Needless, Nothing, idle, 0, 0},
		{15, booting, timely, 0, 0, OK, Needless, Lists, running, 1, 0},
		{16, booting, late, 0, 0, OK, Needless, Fails, shutdown, 0, 0},
		{17, booting, timely, 0, 0, OK, OK, Lists, running, 1, 0},
		{18, booting, timely, 0, 0, OK, Fails, Unasked, booting, 0, 0},
		{19, idle, late, 0, 0, OK, Needless, Lists, running, 1, 0},
		{20, running, late, 1, 0, OK, Needless, Fails, shutdown, 1, 0},
		{21, idle, late, 0, 0, OK, Needless, Fails, shutdown, 0, 0},
		{22, running, timely, 1, 0, OK, Needless, Lists, running, 1, 0},
		{23, running, timely, 1, 0, OK, Needless, Nothing, idle, 0, 0},
		{24, running, late, 0, 1, OK, Needless, Nothing, running, 0, 1},

		{25, unknown, timely, 0, 0, OK, Needless, Nothing, idle, 0, 0},
		{26, unknown, timely, 0, 0, OK, OK, Lists, running, 1, 0},
		{27, unknown, timely, 0, 0, OK, Needless, Fails, unknown, 0, 0},
		{28, unknown, late, 0, 0, OK, Needless, Lists, running, 1, 0},
		{29, unknown, late, 0, 0, OK, Needless, Nothing, idle, 0, 0},
		{30, unknown, late, 1, 0, Fails, Needless, Fails, shutdown, 1, 0},
		{31, unknown, late, 0, 0, Fails, Fails, Unasked, shutdown, 0, 0},
		{32, booting, late, 0, 0, OK, Needless, Nothing, idle, 0, 0},
		{33, booting, late, 0, 0, OK, OK, Lists, running, 1, 0},
		{34, booting, late, 0, 0, Fails, Needless, Unasked, shutdown, 0, 0},
		{35, running, late, 1, 0, OK, Needless, Lists, running, 1, 0},
	}
}
