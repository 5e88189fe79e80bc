package simulate

import "drover/internal/schedule"

// decide has package schedule say what to do now, and does it.
func (s *simulation) decide() {
	if !s.news && s.quiet && (s.wake == 0 || s.now < s.wake) && !s.options.whole {
		return // it would be the last decision again
	}
	s.news, s.quiet, s.wake = false, false, 0
	if s.left == 0 {
		s.limits.MinIdle = 0 // nothing is to come: the last instances may go
	}
	if s.ledger.waiting == 0 && s.limits.MinIdle == 0 && !s.options.whole {
		s.keepWarm(nil)
		return // Decide would say: nothing
	}
	s.batch++
	s.show()
	s.decision = schedule.Decide(&s.world)
	s.quiet = s.changesNothing()
	s.carryOut()
	if at := s.decision.Wake; !at.IsZero() {
		s.wake = max(at.Sub(s.epoch), s.now+1)
	}
}

// changesNothing reports whether everything is as the decision wants it already.
func (s *simulation) changesNothing() bool {
	d := &s.decision
	if len(d.Assign)+len(d.Create)+len(d.ShutDown)+len(d.Keep)+s.kept > 0 || len(d.Reserve) != len(s.assigned.jobs) {
		return false
	}
	for _, r := range d.Reserve {
		if m := s.fed[r.Index].machine; m == nil || m.name != r.Instance {
			return false
		}
	}
	return true
}

// carryOut does what was decided, as the fleet's workflow does.
func (s *simulation) carryOut() {
	d := &s.decision
	created := make([]*machine, len(d.Create))
	for i, c := range d.Create {
		created[i] = s.ask(c.Type)
	}
	for _, r := range d.Reserve {
		m := s.byName[r.Instance]
		if r.Instance == "" {
			m = created[r.Creation]
		}
		s.assign(s.fed[r.Index], m)
	}
	for _, a := range d.Assign {
		s.start(s.fed[a.Index], s.byName[a.Instance])
	}
	for i := 0; i < len(s.assigned.jobs); {
		if j := s.assigned.jobs[i]; j.batch != s.batch {
			s.queueAgain(j) // another one takes its place in the list
			continue
		}
		i++
	}
	for _, name := range d.ShutDown {
		s.leave(s.byName[name])
	}
	s.keepWarm(d.Keep)
}

// keepWarm notes which instances are kept beyond their idle timeout. Those that are no
// longer, and are past it, leave.
func (s *simulation) keepWarm(names []string) {
	if len(names) == 0 && s.kept == 0 {
		return
	}
	s.kept = len(names)
	keep := make(map[*machine]bool, len(names))
	for _, name := range names {
		keep[s.byName[name]] = true
	}
	for _, m := range s.machines {
		was := m.kept
		if m.kept = keep[m]; was && !m.kept {
			s.agenda.add(event{at: max(m.idleSince+s.spec.Timeouts.Idle.D(), s.now), kind: idled, m: m})
		}
	}
}
