package schedule

import (
	"cmp"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
)

// ledger is what a decision leads to, worked out from the world and the decision alone.
type ledger struct {
	t      require.TestingT
	w      *World
	d      *Decision
	on     [][]int         // containers on each instance: those running, then as placed
	types  []*InstanceType // of each instance, those to be created at the end; nil: unknown
	place  []int           // index of the instance that each container was placed on, -1: none
	served []int           // containers that wait, by priority and time of submission
	kept   []bool          // containers that keep their place on an instance that boots
}

// checkDecision holds a decision against every rule that must hold of all of them.
func checkDecision(t require.TestingT, w *World, d *Decision) {
	l := newLedger(t, w, d)
	l.checkPlaces()
	l.checkRoom()
	l.checkNobodyIsOvertaken()
	l.checkPlacesAreKept()
	l.checkNobodyWaitsBesideRoom()
	l.checkCreations()
	l.checkIdle()
	l.checkAhead()
	l.checkStatus()
}

func newLedger(t require.TestingT, w *World, d *Decision) *ledger {
	l := &ledger{t: t, w: w, d: d, place: make([]int, len(w.Containers)), kept: make([]bool, len(w.Containers))}
	for i := range w.Instances {
		l.types = append(l.types, l.typeNamed(w.Instances[i].Type))
	}
	for _, c := range d.Create {
		require.NotNil(t, l.typeNamed(c.Type))
		l.types = append(l.types, l.typeNamed(c.Type))
	}
	l.on = make([][]int, len(l.types))
	for i := range w.Containers {
		l.place[i] = -1
		if c := &w.Containers[i]; c.Binding != Running {
			l.served = append(l.served, i)
		} else if c.Next {
			continue
		} else if on := l.instance(c.Instance); on >= 0 {
			l.on[on] = append(l.on[on], i)
		}
	}
	slices.SortFunc(l.served, func(a, b int) int {
		x, y := &w.Containers[a], &w.Containers[b]
		return cmp.Or(cmp.Compare(y.Priority, x.Priority), cmp.Compare(x.Order, y.Order), cmp.Compare(x.ID, y.ID))
	})
	return l
}

func (l *ledger) typeNamed(name string) *InstanceType {
	i := slices.IndexFunc(l.w.Types, func(t InstanceType) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return &l.w.Types[i]
}

func (l *ledger) instance(name string) int {
	return slices.IndexFunc(l.w.Instances, func(i Instance) bool { return i.Name == name })
}

func (l *ledger) boots(i int) bool {
	return l.types[i] != nil && (l.w.Instances[i].Phase == Booting || l.w.Instances[i].Phase == Creating)
}

// allowed is Fits within the price factor, the long way.
func (l *ledger) allowed(c int, t *InstanceType) bool {
	s := l.w.Shapes[l.w.Containers[c].Shape]
	if t == nil || !Fits(s, *t) {
		return false
	}
	for _, o := range l.w.Types {
		if l.w.Limits.OnDemandFallback && !t.Preemptible && o.Preemptible {
			continue
		}
		if f := l.w.Limits.MaxPriceFactor; f > 0 && Fits(s, o) && t.Price > o.Price*max(f, 1) {
			return false
		}
	}
	return true
}

// checkPlaces sees that what waits is placed at most once, and where it may be.
func (l *ledger) checkPlaces() {
	put := func(index int, id string, on int) {
		c := &l.w.Containers[index]
		require.Equal(l.t, id, c.ID)
		require.NotEqual(l.t, Running, c.Binding)
		require.GreaterOrEqual(l.t, c.Priority, 0, "on hold")
		require.Equal(l.t, -1, l.place[index], "placed twice")
		require.True(l.t, l.allowed(index, l.types[on]), "fits, at an allowed price")
		l.place[index] = on
	}
	for _, a := range l.d.Assign {
		on := l.instance(a.Instance)
		require.Equal(l.t, Up, l.w.Instances[on].Phase)
		put(a.Index, a.Container, on)
	}
	for _, r := range l.d.Reserve {
		on := len(l.w.Instances) + r.Creation
		if r.Creation < 0 {
			on = l.instance(r.Instance)
			require.True(l.t, l.boots(on))
		}
		put(r.Index, r.Container, on)
		c := &l.w.Containers[r.Index]
		l.kept[r.Index] = r.Instance != "" && c.Binding == Assigned && c.Instance == r.Instance
	}
	for _, kept := range []bool{true, false} {
		for _, c := range l.served {
			if on := l.place[c]; on >= 0 && l.kept[c] == kept {
				l.on[on] = append(l.on[on], c)
			}
		}
	}
}

// hasRoom reports whether a container fits on an instance beside others.
func (l *ledger) hasRoom(c, on int, beside []int) bool {
	if !l.allowed(c, l.types[on]) {
		return false
	}
	room := l.types[on].Resources
	for _, o := range beside {
		room.take(&l.w.Shapes[l.w.Containers[o].Shape].Resources)
	}
	most := l.w.Limits.MaxContainersPerInstance
	return l.w.Shapes[l.w.Containers[c].Shape].within(&room) && (most == 0 || len(beside) < most)
}

// checkRoom sees that each container fitted beside those that were before it.
func (l *ledger) checkRoom() {
	for on := range l.on {
		for i, c := range l.on[on] {
			if l.w.Containers[c].Binding != Running {
				require.True(l.t, l.hasRoom(c, on, l.on[on][:i]))
			}
		}
	}
}

// checkNobodyIsOvertaken sees that none was placed where one of a higher priority or
// submitted earlier, which waits or got a worse place, would have fitted; unless it was
// assigned to that instance while it boots, and so keeps its place.
func (l *ledger) checkNobodyIsOvertaken() {
	for rank, high := range l.served {
		if l.w.Containers[high].Priority < 0 || l.place[high] >= 0 && l.isUp(l.place[high]) {
			continue
		}
		for on := range l.on {
			if l.place[high] >= 0 && !l.isUp(on) {
				continue // booting, as that which it waits for
			}
			var before []int
			overtaken := false
			for _, c := range l.on[on] {
				if !l.kept[c] && slices.Index(l.served, c) > rank {
					overtaken = true
				} else {
					before = append(before, c)
				}
			}
			require.False(l.t, overtaken && l.hasRoom(high, on, before),
				"%s is overtaken", l.w.Containers[high].ID)
		}
	}
}

func (l *ledger) isUp(on int) bool { return on < len(l.w.Instances) && l.w.Instances[on].Phase == Up }

// checkNobodyWaitsBesideRoom sees that room is left unused by those who wait for it only
// on instances that are being shut down, and at a limit on one that is being emptied.
func (l *ledger) checkNobodyWaitsBesideRoom() {
	spared := map[int]bool{}
	limited := false
	for _, c := range l.served {
		if l.place[c] >= 0 || l.w.Containers[c].Priority < 0 {
			continue
		}
		limited = limited || l.atLimit(c)
		for on := range l.on {
			leaves := on < len(l.w.Instances) && (slices.Contains(l.d.ShutDown, l.w.Instances[on].Name) || !l.isUp(on) && !l.boots(on))
			if !leaves && l.hasRoom(c, on, l.on[on]) {
				spared[on] = true
			}
		}
	}
	require.True(l.t, len(spared) == 0 || limited && len(spared) == 1, "%v have room", spared)
}

// atLimit reports whether a container is said to wait because of a limit at which room
// is made.
func (l *ledger) atLimit(c int) bool {
	s := l.d.StatusAt(c)
	return strings.Contains(s, "fleet is at its") || strings.Contains(s, "the cloud's quota allows no")
}

// checkPlacesAreKept sees that what was assigned to an instance that boots waits for
// it still, unless it runs sooner or there is no room for all that was assigned.
// Where room is made at a limit, it may lose its place to one that comes before it.
func (l *ledger) checkPlacesAreKept() {
	limited := slices.ContainsFunc(l.served, l.atLimit)
	for _, c := range l.served {
		own := l.instance(l.w.Containers[c].Instance)
		if l.w.Containers[c].Binding != Assigned || own < 0 || !l.boots(own) || l.w.Containers[c].Priority < 0 || l.kept[c] ||
			l.place[c] >= 0 && l.isUp(l.place[c]) {
			continue
		}
		var before []int
		for _, o := range l.on[own] {
			if l.kept[o] || l.w.Containers[o].Binding == Running {
				before = append(before, o)
			}
		}
		require.True(l.t, limited || !l.hasRoom(c, own, before), "%s lost its place", l.w.Containers[c].ID)
	}
}
