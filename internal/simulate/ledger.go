package simulate

import (
	"time"

	"drover/internal/schedule"
)

// use is what an instance that is paid for does.
type use uint8

const (
	useNone     use = iota // is not paid for
	useBooting             // is not up yet
	useBusy                // runs containers
	useIdle                // runs none
	useShutdown            // shuts down
	uses        = iota
)

func (m *machine) useNow() use {
	switch {
	case m.phase == schedule.Creating || m.phase == over:
		return useNone
	case m.phase == schedule.Booting:
		return useBooting
	case len(m.jobs) > 0:
		return useBusy
	case m.leaving:
		return useShutdown
	}
	return useIdle
}

// settle charges what an instance has been paid for, when that changes.
func (s *simulation) settle(m *machine) {
	now := m.useNow()
	if now == m.use {
		return
	}
	s.ledger.charge(m, s.now)
	s.ledger.turn(m, &s.types[m.typ], now, s.now)
	m.use, m.since = now, s.now
}

// ledger counts what has been paid for, and remembers how it was at every moment.
type ledger struct {
	perType []typeLedger
	waiting int           // containers that were submitted and neither run nor have ended
	used    int64         // thousandths of vCPUs that containers have now
	last    time.Duration // when a container last ended

	work, lost    total // thousandths of vCPUs × time
	lostAttempts  int
	interruptions int
	createRefused int

	vcpus     [uses]int64 // thousandths, of the instances that do so now
	instances int
	peak      int
	rate      float64 // paid per hour now
	moments   []moment
	counts    []count
}

// typeLedger is the ledger of one instance type.
type typeLedger struct {
	spent   [uses]total
	created int
	now     int
	peak    int
}

// total is a sum of times, exact, so that it does not depend on their order.
type total struct {
	seconds int64
	rest    time.Duration // less than a second
}

// add adds a time so many times over, a billion at most.
func (t *total) add(d time.Duration, times int64) {
	t.seconds += int64(d/time.Second) * times
	t.rest += d % time.Second * time.Duration(times)
	t.seconds += int64(t.rest / time.Second)
	t.rest %= time.Second
}

func (t *total) hours() float64 { return (float64(t.seconds) + t.rest.Seconds()) / 3600 }

// moment is how things are from a time on, until the next moment.
type moment struct {
	at               time.Duration
	instances        int32
	waiting, running int32
	used, up, paid   int64 // thousandths of vCPUs
	rate             float64
}

// count is how many instances of a type are paid for from a time on.
type count struct {
	at  time.Duration
	typ int32
	n   int32
}

func newLedger(types int) ledger { return ledger{perType: make([]typeLedger, types)} }

// charge counts what an instance has done since that last changed.
func (l *ledger) charge(m *machine, now time.Duration) {
	l.perType[m.typ].spent[m.use].add(now-m.since, 1)
}

// turn notes that an instance does something else from now on.
func (l *ledger) turn(m *machine, t *schedule.InstanceType, to use, now time.Duration) {
	l.vcpus[m.use] -= t.MilliCPU
	l.vcpus[to] += t.MilliCPU
	if (m.use == useNone) == (to == useNone) {
		return
	}
	p, step := &l.perType[m.typ], 1
	if to == useNone {
		step = -1
	} else {
		p.created++
	}
	p.now += step
	l.instances += step
	l.rate += float64(step) * t.Price
	if p.peak, l.peak = max(p.peak, p.now), max(l.peak, l.instances); l.instances == 0 {
		l.rate = 0 // and not what rounding has left
	}
	l.counts = append(l.counts, count{at: now, typ: int32(m.typ), n: int32(p.now)})
}

// ran counts the work of an attempt that has ended, in whichever way.
func (l *ledger) ran(took time.Duration, milliCPU int64) {
	l.used -= milliCPU
	l.work.add(took, milliCPU)
}

// lose counts work that has to be done again.
func (l *ledger) lose(took time.Duration, milliCPU int64) {
	l.lostAttempts++
	l.lost.add(took, milliCPU)
}

// note remembers how things are from now on.
func (l *ledger) note(now time.Duration, running int) {
	m := moment{
		at: now, instances: int32(l.instances), waiting: int32(l.waiting), running: int32(running), used: l.used, rate: l.rate,
		up: l.vcpus[useBusy] + l.vcpus[useIdle],
	}
	m.paid = m.up + l.vcpus[useBooting] + l.vcpus[useShutdown]
	if last := len(l.moments) - 1; last >= 0 {
		same := l.moments[last]
		if same.at == now {
			l.moments[last] = m
			return
		}
		if same.at = now; same == m {
			return
		}
	}
	l.moments = append(l.moments, m)
}
