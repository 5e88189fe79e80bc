package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// throttled is a cloud that accepts so many create requests a second, and so many at
// once, and answers after a while.
type throttled struct {
	rate, burst float64
	answers     time.Duration // up to half as much longer
	names       bool          // the time at which it accepts the next
}

// attempt is a create request that is out.
type attempt struct {
	name          string
	asked, answer time.Time
}

// buy has a fleet buy that many instances, and returns how long that took and how many
// requests were refused.
func (c throttled) buy(t *testing.T, n int) (took time.Duration, refused int) {
	const tick = 20 * time.Millisecond
	w := fleet()
	for i := range n {
		w.queue(two, fmt.Sprintf("c%d", i))
	}
	random := rand.New(rand.NewPCG(1, 2))
	tokens, alive, serial := c.burst, 0, 0
	var out []attempt
	var wake time.Time // when the fleet decides again, unless it hears something
	for ; alive < n; w.Now = w.Now.Add(tick) {
		require.True(t, w.Now.Before(noon.Add(2*time.Hour)), "%d of %d after two hours", alive, n)
		tokens = min(c.burst, tokens+c.rate*tick.Seconds())
		left := out[:0]
		for _, a := range out {
			switch {
			case a.answer.After(w.Now):
				left = append(left, a)
				continue
			case tokens >= 1:
				tokens--
				alive++
				w.at(a.name).Phase = Booting
				w.Learnt.Created(smallType, alive, w.Now)
				w.Learnt.Passed(a.asked, w.Now)
			default:
				refused++
				w.Instances = slices.DeleteFunc(w.Instances, func(in Instance) bool { return in.Name == a.name })
				var until time.Time
				if c.names {
					until = w.Now.Add(time.Duration((1 - tokens) / c.rate * float64(time.Second)))
				}
				w.Learnt.RateLimited(a.asked, until, w.Now)
			}
			wake = w.Now
		}
		if out = left; wake.After(w.Now) {
			continue
		}
		limited := w.Learnt.RateLimitedUntil.After(w.Now)
		d := Decide(&w.World)
		if wake = d.Wake; wake.IsZero() {
			wake = w.Now.Add(time.Hour)
		}
		require.False(t, limited && len(d.Create) > 0, "asked too early")
		for _, create := range d.Create {
			serial++
			a := attempt{name: fmt.Sprintf("i%d", serial), asked: w.Now,
				answer: w.Now.Add(c.answers + time.Duration(random.Int64N(int64(c.answers)/2)))}
			out = append(out, a)
			w.add(Creating, create.Type, a.name)
		}
	}
	return w.Now.Sub(noon), refused
}

func (w *world) at(name string) *Instance {
	return &w.Instances[slices.IndexFunc(w.Instances, func(in Instance) bool { return in.Name == name })]
}

func TestOverTimeAThousandAreAskedForAsFastAsTheCloudAllows(t *testing.T) {
	for _, c := range []throttled{
		{rate: 20, burst: 20, answers: 200 * time.Millisecond},
		{rate: 20, burst: 20, answers: 2 * time.Second},
		{rate: 20, burst: 20, answers: 200 * time.Millisecond, names: true},
		{rate: 20, burst: 5, answers: time.Second},
		{rate: 20, burst: 200, answers: time.Second},
		{rate: 2, burst: 5, answers: 2 * time.Second},
		{rate: 2, burst: 5, answers: 2 * time.Second, names: true},
		{rate: 100, burst: 100, answers: 500 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%v a second, %v at once, after %v, says when: %v", c.rate, c.burst, c.answers, c.names), func(t *testing.T) {
			const n = 1000
			took, refused := c.buy(t, n)
			best := time.Duration((n - c.burst) / c.rate * float64(time.Second))
			t.Logf("%v, at best %v; %d refused", took, best, refused)
			if c.burst < c.rate {
				best = best * 3 / 2 // its bucket is full again within a moment, and what it could give is lost
			}
			assert.Less(t, took, best*5/4+5*time.Second)
			assert.Less(t, refused, n+n/2, "those of the first burst, and few more")
		})
	}
}

func TestAfterARateLimitThePaceIsFound(t *testing.T) {
	var l Learnt
	at := func(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }
	l.Passed(at(0), at(0))
	assert.Equal(t, Learnt{}, l, "there is no limit")
	l.RateLimited(at(0), time.Time{}, at(1))
	assert.Equal(t, at(1.5), l.RateLimitedUntil, "the cloud did not say")
	assert.Equal(t, 2, l.Pace.Window)
	l.RateLimited(at(0), time.Time{}, at(1.2))
	assert.Equal(t, at(1.7), l.RateLimitedUntil)
	assert.Equal(t, 1, l.Pace.Times, "one of the burst")
	for range 6 {
		l.Passed(at(0), at(2))
	}
	assert.Equal(t, 8, l.Pace.Window, "what passed of the burst")
	l.RateLimited(at(2), at(9), at(3))
	assert.Equal(t, at(9), l.RateLimitedUntil, "the cloud said")
	assert.Equal(t, 6, l.Pace.Window)
	l.Passed(at(2), at(3))
	for range 5 {
		assert.Equal(t, 6, l.Pace.Window)
		l.Passed(at(10), at(11))
	}
	assert.Equal(t, 6, l.Pace.Window, "what was asked before it shrank does not count")
	l.Passed(at(10), at(11))
	assert.Equal(t, 7, l.Pace.Window)
	for k := range 10 {
		l.RateLimited(at(float64(20+100*k)), time.Time{}, at(float64(21+100*k)))
	}
	assert.Equal(t, at(921+30), l.RateLimitedUntil, "ever less often, while nothing passes")
	assert.Equal(t, 2, l.Pace.Window)
	for k := range 3 {
		l.Passed(at(2000), at(2001))
		assert.Equal(t, 3+k, l.Pace.Window, "nothing was refused for a while")
	}
	l.RateLimited(at(2001), time.Time{}, at(2002))
	assert.Equal(t, at(2002.5), l.RateLimitedUntil)
}
