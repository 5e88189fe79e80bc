package chart

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
	"time"
)

// x returns where a time, in seconds since the beginning, is.
func (p *picture) x(seconds float64) float64 {
	return left + min(seconds/p.length, 1)*(width-left-right)
}

// panel draws a plot below top.
func (p *picture) panel(pl *panel, top float64) {
	bottom := top + pl.height
	most := pl.most()
	scale := ticks(most, 4)
	most = max(most, scale[len(scale)-1])
	y := func(value float64) float64 { return bottom - value/most*pl.height }
	p.text(left, top-14, 15, ink, "start", ` font-weight="600"`, pl.title)
	p.legend(pl, top-14)
	for _, tick := range scale {
		p.printf(`<line x1="%g" y1="%.1f" x2="%g" y2="%.1f" stroke="%s"/>`, left, y(tick), width-right, y(tick), rule)
		p.text(left-10, y(tick)+4, 12, faint, "end", "", number(tick))
	}
	for _, at := range p.times() {
		p.printf(`<line x1="%.1f" y1="%g" x2="%.1f" y2="%g" stroke="%s"/>`, p.x(at), top, p.x(at), bottom, rule)
	}
	below := make([]float64, pl.columns())
	for _, l := range pl.layers {
		above := make([]float64, len(below))
		for i := range above {
			above[i] = below[i] + l.values[i]
		}
		p.printf(`<path d="%s" fill="%s"/>`, p.area(below, above, y), l.color)
		below = above
	}
	p.printf(`<line x1="%g" y1="%g" x2="%g" y2="%g" stroke="%s"/>`, left, bottom, width-right, bottom, faint)
}

// area is the path around what lies between two step functions.
func (p *picture) area(below, above []float64, y func(float64) float64) string {
	var b strings.Builder
	from, to := 0, len(above)
	for from < to && above[from] <= below[from] {
		from++
	}
	for to > from && above[to-1] <= below[to-1] {
		to--
	}
	for i := from; i < to; i++ {
		verb := "L"
		if i == from {
			verb = "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1fH%.1f", verb, p.x(float64(i)*p.step), y(above[i]), p.x(float64(i+1)*p.step))
	}
	for i := to - 1; i >= from; i-- {
		fmt.Fprintf(&b, "L%.1f %.1fH%.1f", p.x(float64(i+1)*p.step), y(below[i]), p.x(float64(i)*p.step))
	}
	if b.Len() > 0 {
		b.WriteString("Z")
	}
	return b.String()
}

// legend names the layers in one text, which fits whatever font there is.
func (p *picture) legend(pl *panel, y float64) {
	var b strings.Builder
	space := 0
	for _, l := range pl.layers {
		if l.name != "" {
			fmt.Fprintf(&b, `<tspan dx="%d" font-size="17" fill="%s">■</tspan><tspan dx="5">%s</tspan>`, space, l.color, html.EscapeString(l.name))
			space = 18
		}
	}
	p.printf(`<text x="%g" y="%g" font-size="13" fill="%s" text-anchor="end">%s</text>`, width-right, y, faint, b.String())
}

// axis draws the times below the last panel.
func (p *picture) axis(top float64) {
	for _, at := range p.times() {
		p.text(p.x(at), top+20, 12, faint, "middle", "", span(at))
	}
}

// times returns the seconds since the beginning that are marked.
func (p *picture) times() []float64 {
	const minute, hour, day = 60, 3600, 24 * 3600
	steps := []float64{1, 2, 5, 10, 15, 30, minute, 2 * minute, 5 * minute, 10 * minute, 15 * minute, 30 * minute,
		hour, 2 * hour, 3 * hour, 6 * hour, 12 * hour, day, 2 * day, 7 * day, 14 * day, 28 * day}
	step := steps[len(steps)-1]
	for _, s := range steps {
		if p.length/s <= 12 {
			step = s
			break
		}
	}
	for p.length/step > 12 {
		step *= 2
	}
	var times []float64
	for at := 0.0; at <= p.length; at += step {
		times = append(times, at)
	}
	return times
}

func (pl *panel) columns() int {
	if len(pl.layers) == 0 {
		return 0
	}
	return len(pl.layers[0].values)
}

// most is the largest sum of the layers.
func (pl *panel) most() float64 {
	most := 0.0
	for i := range pl.columns() {
		sum := 0.0
		for _, l := range pl.layers {
			sum += l.values[i]
		}
		most = max(most, sum)
	}
	return most
}

// ticks returns round numbers from 0 to at least most, about n steps.
func ticks(most float64, n int) []float64 {
	step := 1.0
	if most > 0 {
		raw := most / float64(n)
		power := math.Pow(10, math.Floor(math.Log10(raw)))
		for _, m := range []float64{1, 2, 5, 10} {
			if step = m * power; step >= raw {
				break
			}
		}
		step = max(step, 1)
	}
	all := []float64{0}
	for all[len(all)-1] < most || len(all) < 2 {
		all = append(all, float64(len(all))*step)
	}
	return all
}

func number(v float64) string {
	if v == math.Trunc(v) {
		return grouped(int(v))
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// grouped says a whole number with a space between thousands.
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}

// span says a duration, in seconds, in at most two units.
func span(seconds float64) string {
	d := time.Duration(math.Round(seconds)) * time.Second
	units := []struct {
		name string
		long time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}
	var parts []string
	for i, u := range units {
		if n := d / u.long; n > 0 {
			parts = append(parts, fmt.Sprintf("%d%s", n, u.name))
			d %= u.long
			if i+1 < len(units) && d/units[i+1].long > 0 {
				parts = append(parts, fmt.Sprintf("%d%s", d/units[i+1].long, units[i+1].name))
			}
			break
		}
	}
	if parts == nil {
		return "0"
	}
	return strings.Join(parts, " ")
}
