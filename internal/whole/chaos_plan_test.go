package whole

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
)

// event is something that goes wrong, or that somebody wants.
type event struct {
	at   time.Duration // from the beginning
	kind string
	// pick chooses whom it happens to, among those that are there then, and variant how.
	pick, variant uint64
	lasts         time.Duration
}

// kind is a kind of event.
type kind struct {
	often    int // how many there are in a bag of events
	from, to time.Duration
	do       func(*chaos, event)
}

const submission = "container submitted"

// kinds are all kinds of events. Those that last longer than an instance may be out of
// reach come in a short form as well.
var kinds map[string]kind

func init() {
	kinds = map[string]kind{
		submission:                     {0, 0, 0, (*chaos).submitContainer},
		"burst":                        {2, 0, 0, (*chaos).burst},
		"worker killed":                {3, 0, 0, (*chaos).killWorker},
		"worker stopped":               {2, 0, 0, (*chaos).stopWorker},
		"worker hung":                  {1, 2 * time.Second, 40 * time.Second, (*chaos).hangWorker},
		"all workers killed":           {1, time.Second, 10 * time.Second, (*chaos).killAllWorkers},
		"server killed":                {1, 0, 3 * time.Second, (*chaos).killServer},
		"power cut":                    {3, 0, 0, (*chaos).cutPower},
		"hang":                         {2, time.Second, 7 * time.Second, (*chaos).hang},
		"long hang":                    {1, 35 * time.Second, 60 * time.Second, (*chaos).hang},
		"slow instance":                {2, 3 * time.Second, 10 * time.Second, (*chaos).slowDown},
		"network loss":                 {2, time.Second, 7 * time.Second, (*chaos).cutNetwork},
		"long network loss":            {1, 35 * time.Second, 60 * time.Second, (*chaos).cutNetwork},
		"spot notice":                  {2, 4 * time.Second, 20 * time.Second, (*chaos).preempt},
		"order":                        {6, 0, 0, (*chaos).order},
		"container cancelled":          {2, 0, 0, (*chaos).cancelContainer},
		"priority set":                 {2, 0, 0, (*chaos).setPriority},
		"instance workflow terminated": {2, 0, 0, (*chaos).terminateInstance},
		"cloud outage":                 {2, 5 * time.Second, 15 * time.Second, (*chaos).failCloud},
		"fleet workflow terminated":    {1, 0, 4 * time.Second, (*chaos).terminateFleet},
		"flood of signals":             {3, 0, 0, (*chaos).flood},
	}
}

// plan draws what happens, and when.
func plan(seed uint64, duration time.Duration) []event {
	var events []event
	draw := random(seed, 1)
	var bag []string
	for at := 2 * time.Second; at < duration; at += between(draw, 200*time.Millisecond, 1800*time.Millisecond) {
		if len(bag) == 0 {
			bag = fill(draw)
		}
		e := event{at: at, kind: bag[0], pick: draw.Uint64(), variant: draw.Uint64()}
		e.lasts = between(draw, kinds[e.kind].from, kinds[e.kind].to)
		bag = bag[1:]
		events = append(events, e)
	}
	draw = random(seed, 2)
	const first = 12 // are there from the beginning
	for k, at := 0, time.Duration(0); at < duration*4/5; k++ {
		events = append(events, event{at: at, kind: submission, pick: draw.Uint64(), variant: draw.Uint64(), lasts: between(draw, time.Second, 15*time.Second)})
		if k > first {
			at += between(draw, 0, 2*time.Second)
		}
	}
	return events
}

// fill returns one bag of events, shuffled.
func fill(draw *rand.Rand) (bag []string) {
	names := make([]string, 0, len(kinds))
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for range kinds[name].often {
			bag = append(bag, name)
		}
	}
	draw.Shuffle(len(bag), func(a, b int) { bag[a], bag[b] = bag[b], bag[a] })
	return bag
}

func between(draw *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(draw.Int64N(int64(max(to-from, 1))))
}

// enough is how long things must go wrong for everything to have gone wrong.
const enough = 2 * time.Minute

// judgeCoverage checks that a run that was long enough has met what it is for.
func (c *chaos) judgeCoverage(duration time.Duration) {
	if duration < enough {
		return
	}
	for name := range kinds {
		assert.Positive(c, c.counts[name]-c.counts["without a victim: "+name], "%s: it has not happened", name)
	}
	for _, what := range []string{
		"workflows: Fleet ContinuedAsNew", "workflows: Instance ContinuedAsNew",
		"attempts that were sent ahead", "containers that exited", "containers that were cancelled",
	} {
		assert.Positive(c, c.counts[what], "%s: there is none", what)
	}
}
