package simulate

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"drover/internal/schedule"
)

// Result is what a simulation comes to. Money is in the currency of the spec's prices,
// times are in seconds.
type Result struct {
	Fleet string `json:"fleet"`
	// Start is the time of day of the beginning. Absent: the workload says none.
	Start      time.Time  `json:"start,omitzero"`
	Containers Containers `json:"containers"`
	// Makespan is from the first submission to the end of the last container.
	Makespan float64 `json:"makespan_seconds"`
	// Length is from the beginning until the last instance was gone.
	Length float64 `json:"length_seconds"`
	// Waits are those of all containers, and then, if there are several priorities,
	// those of each, highest first.
	Waits     []Wait         `json:"waits"`
	Money     Money          `json:"money"`
	VCPUHours VCPUHours      `json:"vcpu_hours"`
	Instances Instances      `json:"instances"`
	Types     []TypeResult   `json:"instance_types"`
	NotRun    []NotRun       `json:"not_run"`
	Timeline  []TimelineSpan `json:"timeline"`

	ledger ledger
	length time.Duration
}

// Containers counts the workload's containers by what became of them.
type Containers struct {
	Submitted int `json:"submitted"`
	Finished  int `json:"finished"`
	Failed    int `json:"failed"`  // the cloud took their instances back too often
	Refused   int `json:"refused"` // no instance type fits
	Waiting   int `json:"waiting"` // the simulation ended before they could run
	OnHold    int `json:"on_hold"` // their priority is negative
	// AttemptsLost counts the attempts that were lost with their instance.
	AttemptsLost int `json:"attempts_lost"`
}

// Wait is how long containers waited, from their submission until they first started.
type Wait struct {
	// Priority is absent where it is about containers of all priorities.
	Priority *int    `json:"priority,omitempty"`
	Started  int     `json:"started"`
	Min      float64 `json:"min_seconds"`
	Median   float64 `json:"median_seconds"`
	P95      float64 `json:"p95_seconds"`
	Max      float64 `json:"max_seconds"`
}

// Money is what is paid, from the cloud's acceptance of an instance until it is gone,
// and what it is paid for.
type Money struct {
	Paid     float64 `json:"paid"`
	Busy     float64 `json:"busy"`     // at least one container runs
	Idle     float64 `json:"idle"`     // up, and nothing runs
	Booting  float64 `json:"booting"`  // not up yet
	Shutdown float64 `json:"shutdown"` // shutting down
}

// VCPUHours is work, in vCPUs for an hour.
type VCPUHours struct {
	Paid float64 `json:"paid"`
	Used float64 `json:"used"` // by containers
	Lost float64 `json:"lost"` // of Used: by attempts that were lost
	// Utilization is Used by Paid, 0 to 1.
	Utilization float64 `json:"utilization"`
}

// Instances counts instances.
type Instances struct {
	Created       int `json:"created"`
	Peak          int `json:"peak"` // at one time
	Interrupted   int `json:"interrupted"`
	CreateRefused int `json:"create_refused"` // requests that the cloud refused
}

// TypeResult is the part that an instance type has.
type TypeResult struct {
	Name    string  `json:"name"`
	Created int     `json:"created"`
	Peak    int     `json:"peak"`
	Hours   float64 `json:"hours"` // of instances
	Money
}

// NotRun says why containers did not run, or not to their end.
type NotRun struct {
	Containers int    `json:"containers"`
	First      string `json:"first"` // the ID of one of them
	Why        string `json:"why"`
}

// result returns what the simulation has come to.
func (s *simulation) result() Result {
	for _, m := range s.machines { // if it ended before they were gone
		s.ledger.charge(m, s.now)
		m.since = s.now
	}
	l := &s.ledger
	r := Result{
		Fleet: s.spec.Name, Length: s.now.Seconds(), NotRun: s.notRun(), ledger: *l, length: s.now,
		Instances: Instances{Peak: l.peak, Interrupted: l.interruptions, CreateRefused: l.createRefused},
		VCPUHours: VCPUHours{Used: l.work.hours() / 1000, Lost: l.lost.hours() / 1000},
	}
	if s.dated {
		r.Start = s.epoch
	}
	for i := range s.types {
		s.addType(&r, i)
	}
	if r.VCPUHours.Paid > 0 {
		r.VCPUHours.Utilization = r.VCPUHours.Used / r.VCPUHours.Paid
	}
	s.countContainers(&r)
	r.Waits = s.waits()
	r.Timeline = r.over(r.Width(timelineSpans))
	return r
}

func (s *simulation) addType(r *Result, i int) {
	l, t := &s.ledger.perType[i], &s.types[i]
	money := func(u use) float64 { return l.spent[u].hours() * t.Price }
	typ := TypeResult{Name: t.Name, Created: l.created, Peak: l.peak, Money: Money{
		Busy: money(useBusy), Idle: money(useIdle), Booting: money(useBooting), Shutdown: money(useShutdown),
	}}
	for u := useNone + 1; u < uses; u++ {
		typ.Hours += l.spent[u].hours()
	}
	typ.Paid = typ.Hours * t.Price
	r.Types = append(r.Types, typ)
	r.Instances.Created += typ.Created
	r.VCPUHours.Paid += typ.Hours * float64(t.MilliCPU) / 1000
	r.Money.Paid += typ.Paid
	r.Money.Busy += typ.Busy
	r.Money.Idle += typ.Idle
	r.Money.Booting += typ.Booting
	r.Money.Shutdown += typ.Shutdown
}

func (s *simulation) countContainers(r *Result) {
	c := &r.Containers
	c.Submitted, c.AttemptsLost = len(s.jobs), s.ledger.lostAttempts
	for i := range s.jobs {
		switch j := &s.jobs[i]; {
		case j.ending == finished:
			c.Finished++
		case j.ending == failed:
			c.Failed++
		case j.ending == refused:
			c.Refused++
		case j.Priority < 0:
			c.OnHold++
		default:
			c.Waiting++
		}
	}
	if len(s.jobs) > 0 {
		r.Makespan = max(0, s.ledger.last-s.jobs[0].Submit).Seconds()
	}
}

// waits returns how long containers waited: all, and by priority.
func (s *simulation) waits() []Wait {
	var all []time.Duration
	byPriority := map[int][]time.Duration{}
	for i := range s.jobs {
		if j := &s.jobs[i]; j.started != never {
			all = append(all, j.started-j.Submit)
			byPriority[j.Priority] = append(byPriority[j.Priority], j.started-j.Submit)
		}
	}
	waits := []Wait{waitOf(all)}
	if len(byPriority) < 2 {
		return waits
	}
	var priorities []int
	for p := range byPriority {
		priorities = append(priorities, p)
	}
	slices.Sort(priorities)
	slices.Reverse(priorities)
	for _, p := range priorities {
		w := waitOf(byPriority[p])
		w.Priority = &p
		waits = append(waits, w)
	}
	return waits
}

func waitOf(waits []time.Duration) Wait {
	w := Wait{Started: len(waits)}
	if len(waits) == 0 {
		return w
	}
	slices.Sort(waits)
	at := func(share float64) float64 { // the nearest rank
		return waits[max(int(math.Ceil(share*float64(len(waits))))-1, 0)].Seconds()
	}
	w.Min, w.Median, w.P95, w.Max = at(0), at(0.5), at(0.95), at(1)
	return w
}

// notRun says what did not run, by why.
func (s *simulation) notRun() []NotRun {
	found := []NotRun{}
	add := func(j *job, why string) {
		at := slices.IndexFunc(found, func(n NotRun) bool { return n.Why == why })
		if at < 0 {
			at = len(found)
			found = append(found, NotRun{First: j.ID, Why: why})
		}
		found[at].Containers++
	}
	waiting := s.whyWaiting()
	for i := range s.jobs {
		switch j := &s.jobs[i]; {
		case j.ending == refused:
			add(j, schedule.Check(s.shapes[j.shape], s.types).Error())
		case j.ending == failed:
			add(j, fmt.Sprintf("the cloud took its instance back %d times, as often as it is tried", j.Attempts))
		case j.ending == unfinished && j.Priority < 0:
			add(j, "on hold: priority is negative")
		case j.ending == unfinished:
			add(j, waiting[j.shape])
		}
	}
	return found
}

// whyWaiting returns, by shape, what the first container that waits waits for, in the
// words of the last decision.
func (s *simulation) whyWaiting() []string {
	why := make([]string, len(s.shapes))
	for i, j := range s.fed {
		if j.binding != schedule.Running && j.ending == unfinished && why[j.shape] == "" {
			status := s.decision.StatusAt(i)
			if _, reason, ok := strings.Cut(status, ": "); ok { // without the position
				status = reason
			}
			why[j.shape] = "nothing could start any more: " + status
		}
	}
	return why
}
