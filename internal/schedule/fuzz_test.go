package schedule

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// FuzzDecide looks for a world of the properties' kind in which a decision is unsound.
func FuzzDecide(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		w := drawWorld(t)
		d := Decide(w)
		checkDecision(t, w, &d)
	}))
}

// FuzzWorld looks for one among all worlds that a few bytes can describe, those
// included that no fleet should be in: types that offer nothing, containers that run on
// instances which are gone or don't fit, holdoffs of what doesn't exist.
func FuzzWorld(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("a world of letters, with something of everything in it, some of it twice: 0123456789"))
	f.Add([]byte{0, 3, 1, 0, 2, 0, 2, 4, 1, 1, 0, 0, 1, 2, 9, 9, 1, 1, 1, 0, 3, 2, 1, 1, 0, 0, 4, 0, 4, 1, 4, 2, 8, 0, 1, 0, 0, 1, 1, 1, 2, 0, 1, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		w := decodeWorld(data)
		before := cloneWorld(w)
		d := Decide(w)
		require.Equal(t, before, w, "the world is unchanged")
		checkDecision(t, w, &d)
		e := Decide(w)
		require.Equal(t, said(w, &d), said(w, &e))
	})
}

// decoder takes a world from bytes, and zeros when they are used up.
type decoder struct{ data []byte }

// below takes a number below n.
func (d *decoder) below(n int) int {
	if len(d.data) == 0 {
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return int(b) % n
}

func (d *decoder) resources() Resources {
	return Resources{MilliCPU: int64(d.below(9)), Memory: int64(d.below(9)), Scratch: int64(d.below(3)), GPUs: int64(d.below(7) / 5)}
}

func (d *decoder) architecture() string { return []string{"", "", "", "amd64", "arm64"}[d.below(5)] }

func (d *decoder) time() time.Time { return noon.Add(time.Duration(d.below(41)-20) * time.Minute) }

func decodeWorld(data []byte) *World {
	d := &decoder{data}
	w := &World{Now: noon, Limits: Limits{MaxInstances: d.below(10), MaxContainersPerInstance: d.below(5),
		MaxPriceFactor: float64(d.below(9)) / 2, OnDemandFallback: d.below(2) == 1, CreateConcurrency: d.below(5), MinIdle: d.below(4)}}
	for i := range d.below(6) {
		w.Types = append(w.Types, InstanceType{Name: fmt.Sprint("t", i), Resources: d.resources(), Price: float64(d.below(5)),
			Preemptible: d.below(3) == 1, Architecture: d.architecture(), Group: []string{"", "g", "h"}[d.below(3)]})
	}
	for range 1 + d.below(5) {
		w.Shapes = append(w.Shapes, Shape{Resources: d.resources(), Preemptible: d.below(2) == 1, Architecture: d.architecture()})
	}
	for i := range d.below(12) {
		w.Instances = append(w.Instances, Instance{Name: fmt.Sprint("i", i), Type: fmt.Sprint("t", d.below(6)),
			Phase: Phase(d.below(5)), IdleSince: d.time(), Doubtful: d.below(5) == 1})
	}
	if d.below(2) == 1 {
		w.Learnt.Quota = Quota{Worked: d.below(9), Limited: true, Level: d.below(9), Refused: d.below(9), Next: d.time(), Times: d.below(70)}
	}
	w.Learnt.RateLimitedUntil, w.Learnt.Pace.Window = d.time(), d.below(4)
	for range d.below(5) {
		w.Learnt.Holdoffs = append(w.Learnt.Holdoffs, Holdoff{Kind: []Kind{NoCapacity, Failed, Denied, "?", OverQuota, NoBoot, TakenBack}[d.below(7)],
			Scope: []Scope{ScopeType, ScopeGroup, ScopeAll, "?"}[d.below(4)], Name: []string{"", "g", "h", "t0", "t1", "t9"}[d.below(6)],
			Until: d.time(), Times: d.below(70), Reason: "x"})
	}
	for i := range d.below(30) {
		c := Container{ID: fmt.Sprint("c", i), Shape: d.below(len(w.Shapes)), Priority: d.below(5) - 1, Order: int64(d.below(9)),
			Binding: Binding(d.below(3))}
		if c.Binding != Queued {
			c.Instance = fmt.Sprint("i", d.below(13))
		}
		w.Containers = append(w.Containers, c)
	}
	return w
}

// FuzzLearnt has what a fleet has learnt, as an earlier version or a person may have
// left it in a workflow's state, learn more, and a fleet decide by it.
func FuzzLearnt(f *testing.F) {
	l := NewLearnt(2)
	l.QuotaRefused(3, noon)
	l.CapacityRefused(ScopeGroup, "standard", "x", noon)
	l.CreateFailed("small", "x", true, noon)
	l.RateLimited(noon, noon, noon)
	data, err := json.Marshal(l)
	require.NoError(f, err)
	f.Add(data, []byte{0, 1, 2, 3, 4, 5})
	f.Add(data, []byte{8, 9, 10, 11, 8, 0, 8, 9})
	f.Add([]byte(`{"quota":{"limited":true,"level":-1,"refused":-3,"times":-9},"holdoffs":[{"scope":"?","times":9223372036854775807}]}`), []byte{1, 4})
	f.Fuzz(func(t *testing.T, data, news []byte) {
		var l Learnt
		if json.Unmarshal(data, &l) != nil {
			return
		}
		w := fleet().limits(full(5)).up("small", "a").add(Creating, "spot", "b").queue(one, "q1 q2 q3").queue(four, "q4").queue(spot, "q5")
		held := len(l.Holdoffs)
		for i, n := range news {
			typ := w.Types[int(n/12)%len(w.Types)]
			hear(&l, typ, int(n%12), noon.Add(time.Duration(i)*time.Minute))
		}
		require.LessOrEqual(t, len(l.Holdoffs), held+5*len(w.Types)+7, "stays small")
		encoded, err := json.Marshal(l)
		if err != nil {
			return // of a year that JSON can't say
		}
		w.Learnt = Learnt{}
		require.NoError(t, json.Unmarshal(encoded, &w.Learnt))
		d := Decide(&w.World)
		checkDecision(t, &w.World, &d)
	})
}

// hear tells l one of the things that a cloud may say about an instance of that type.
func hear(l *Learnt, typ InstanceType, what int, now time.Time) {
	scope, name := typ.RuledOut([]Scope{ScopeType, ScopeGroup, ScopeAll}[what%3])
	switch what {
	case 0:
		l.Created(typ, 3, now)
		l.Passed(time.Time{}, now)
	case 1:
		l.QuotaRefused(2, now)
	case 2, 3:
		l.CapacityRefused(scope, name, "x", now)
	case 4:
		l.CreateFailed(typ.Name, "x", false, now)
	case 5:
		l.CreateFailed("", "x", true, now)
	case 6:
		l.RateLimited(time.Time{}, time.Time{}, now)
	case 7:
		l.Forget(now)
	case 8:
		l.BootFailed(typ.Name, "x", now.Add(-10*time.Minute), now)
	case 9:
		l.TakenBack(typ.Name, "x", now.Add(-time.Second), now)
	case 10:
		l.Booted(typ.Name)
	case 11:
		l.QuotaExceeded(scope, name, "x", now)
	}
}
