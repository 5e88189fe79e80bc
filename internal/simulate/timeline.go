package simulate

import (
	"fmt"
	"time"
)

// timelineSpans is into about how many parts Result.Timeline divides the time.
const timelineSpans = 100

// TimelineSpan is how things are during a part of the time. Numbers that are not whole
// are means.
type TimelineSpan struct {
	From      float64 `json:"from_seconds"` // since the beginning
	Seconds   float64 `json:"seconds"`      // its length
	Instances float64 `json:"instances"`    // that are paid for
	Running   float64 `json:"running"`      // containers
	// Waiting is the largest number of containers that waited at one time.
	Waiting int `json:"waiting"`
	// The vCPUs that are paid for, those of them that are up, and those that
	// containers have.
	PaidVCPUs float64 `json:"paid_vcpus"`
	UpVCPUs   float64 `json:"up_vcpus"`
	UsedVCPUs float64 `json:"used_vcpus"`
	Paid      float64 `json:"paid"` // money, during this part
}

// Utilization is how much of what is paid for is used, 0 to 1.
func (t *TimelineSpan) Utilization() float64 {
	if t.PaidVCPUs <= 0 {
		return 0
	}
	return t.UsedVCPUs / t.PaidVCPUs
}

// widths are into what parts a person divides time.
var widths = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
}

// Width returns the length of a part, a round one, if the whole time is to be divided
// into at most so many.
func (r *Result) Width(most int) time.Duration {
	for _, w := range widths {
		if parts(r.length, w) <= most {
			return w
		}
	}
	w := widths[len(widths)-1]
	return w * time.Duration(1+(parts(r.length, w)-1)/max(most, 1))
}

func parts(length, width time.Duration) int { return int((length + width - 1) / width) }

// maxSpans is more parts than anybody looks at.
const maxSpans = 100_000

// Over returns the timeline in parts of a length, which is positive. The last part may
// be shorter. Too many parts are an error.
func (r *Result) Over(width time.Duration) ([]TimelineSpan, error) {
	if n := parts(r.length, width); n > maxSpans {
		return nil, fmt.Errorf("%v is not allowed: it would give %d rows, more than %d", width, n, maxSpans)
	}
	return r.over(width), nil
}

func (r *Result) over(width time.Duration) []TimelineSpan {
	spans := make([]TimelineSpan, parts(r.length, width))
	for i := range spans {
		from := time.Duration(i) * width
		spans[i].From, spans[i].Seconds = from.Seconds(), min(width, r.length-from).Seconds()
	}
	moments := r.ledger.moments
	for i := range moments {
		m, until := &moments[i], r.length
		if i+1 < len(moments) {
			until = moments[i+1].at
		}
		for at := m.at; at < until; {
			k := int(at / width)
			end := min(time.Duration(k+1)*width, until)
			spans[k].add(m, end-at)
			at = end
		}
	}
	return spans
}

// add accounts for how things were during a part of the span.
func (t *TimelineSpan) add(m *moment, d time.Duration) {
	share := d.Seconds() / t.Seconds
	t.Instances += share * float64(m.instances)
	t.Running += share * float64(m.running)
	t.Waiting = max(t.Waiting, int(m.waiting))
	t.PaidVCPUs += share * float64(m.paid) / 1000
	t.UpVCPUs += share * float64(m.up) / 1000
	t.UsedVCPUs += share * float64(m.used) / 1000
	t.Paid += d.Hours() * m.rate
}

// TypesOver returns, by index into Types, the mean number of instances that are paid
// for, in parts of a length.
func (r *Result) TypesOver(width time.Duration) [][]float64 {
	n := parts(r.length, width)
	means := make([][]float64, len(r.Types))
	since, now := make([]time.Duration, len(means)), make([]int32, len(means))
	for i := range means {
		means[i] = make([]float64, n)
	}
	spread := func(typ int, until time.Duration) {
		for at := since[typ]; at < until && now[typ] > 0; {
			k := int(at / width)
			end := min(time.Duration(k+1)*width, until)
			part := min(width, r.length-time.Duration(k)*width)
			means[typ][k] += float64(now[typ]) * (end - at).Seconds() / part.Seconds()
			at = end
		}
	}
	for _, c := range r.ledger.counts {
		spread(int(c.typ), c.at)
		since[c.typ], now[c.typ] = c.at, c.n
	}
	for typ := range means {
		spread(typ, r.length)
	}
	return means
}
