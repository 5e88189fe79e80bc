// Package chart draws the result of a simulation as SVG, for people to look at in a
// browser or a document. It writes SVG by hand: three plots of steps over one axis are
// little code, and the libraries that draw plots would add a dozen modules to drover.
package chart

import (
	"fmt"
	"html"
	"io"
	"time"

	"drover/internal/simulate"
)

// The measures of the picture, in its own units.
const (
	width   = 1200.0
	left    = 84.0
	right   = 28.0
	head    = 142.0 // above the first panel
	gap     = 54.0  // above every panel, for its title
	foot    = 46.0
	columns = 400 // parts of the time, at most
)

// The colors: told apart also by those who see few.
const (
	ink     = "#1f2937"
	faint   = "#6b7280"
	rule    = "#e5e7eb"
	used    = "#1d4ed8"
	unused  = "#bfdbfe"
	changes = "#f59e0b"
	waiting = "#be123c"
)

// palette are the colors of instance types, used in turn.
var palette = []string{"#0f766e", "#f59e0b", "#6d28d9", "#0ea5e9", "#be123c", "#84cc16", "#78716c", "#db2777"}

// layer is one of the quantities that are stacked in a panel.
type layer struct {
	name   string
	color  string
	values []float64 // by column
}

// panel is a plot over time.
type panel struct {
	title  string
	height float64
	layers []layer // from the bottom to the top
}

// picture is an SVG in the making.
type picture struct {
	w      io.Writer
	step   float64 // seconds of a column
	length float64 // seconds of all
}

// SVG draws a result.
func SVG(w io.Writer, r *simulate.Result) error {
	step := r.Width(columns)
	spans, err := r.Over(step)
	if err != nil {
		return err
	}
	p := picture{w: w, step: step.Seconds(), length: max(r.Length, 1)}
	panels := []panel{vcpus(spans), queue(spans), instances(r, step)}
	height := head + foot
	for _, panel := range panels {
		height += gap + panel.height
	}
	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" font-family="system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif">`,
		width, height, width, height)
	p.printf(`<rect width="%g" height="%g" fill="#ffffff"/>`, width, height)
	p.heading(r)
	top := head
	for _, panel := range panels {
		top += gap
		p.panel(&panel, top)
		top += panel.height
	}
	p.axis(top)
	p.printf(`</svg>`)
	return nil
}

func vcpus(spans []simulate.TimelineSpan) panel {
	n := len(spans)
	a, b, c := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range spans {
		t := &spans[i]
		a[i], b[i], c[i] = t.UsedVCPUs, max(t.UpVCPUs-t.UsedVCPUs, 0), max(t.PaidVCPUs-t.UpVCPUs, 0)
	}
	return panel{title: "vCPUs that are paid for", height: 250, layers: []layer{
		{"used by containers", used, a}, {"up and not used", unused, b}, {"booting or shutting down", changes, c},
	}}
}

func queue(spans []simulate.TimelineSpan) panel {
	values := make([]float64, len(spans))
	for i := range spans {
		values[i] = float64(spans[i].Waiting)
	}
	return panel{title: "Containers that wait", height: 110, layers: []layer{{"", waiting, values}}}
}

func instances(r *simulate.Result, step time.Duration) panel {
	p := panel{title: "Instances", height: 150}
	for i, means := range r.TypesOver(step) {
		if r.Types[i].Created > 0 {
			p.layers = append(p.layers, layer{r.Types[i].Name, palette[len(p.layers)%len(palette)], means})
		}
	}
	return p
}

func (p *picture) printf(format string, values ...any) { fmt.Fprintf(p.w, format+"\n", values...) }

// text writes a text at a point. The anchor is start, middle or end.
func (p *picture) text(x, y, size float64, color, anchor, style, text string) {
	p.printf(`<text x="%.1f" y="%.1f" font-size="%g" fill="%s" text-anchor="%s"%s>%s</text>`, x, y, size, color, anchor, style, html.EscapeString(text))
}

// heading says the result in a line and a row of figures.
func (p *picture) heading(r *simulate.Result) {
	c := r.Containers
	title := fmt.Sprintf("Fleet %s: %s containers", r.Fleet, grouped(c.Submitted))
	if not := c.Submitted - c.Finished; not > 0 {
		title += fmt.Sprintf(", %s not finished", grouped(not))
	}
	p.text(left, 44, 22, ink, "start", ` font-weight="600"`, title)
	if !r.Start.IsZero() {
		p.text(width-right, 44, 14, faint, "end", "", "from "+r.Start.UTC().Format("2006-01-02 15:04 UTC"))
	}
	share := 0.0
	if r.Money.Paid > 0 {
		share = r.Money.Idle / r.Money.Paid
	}
	figures := [][2]string{
		{"makespan", span(r.Makespan)},
		{"median wait", span(r.Waits[0].Median)},
		{"p95 wait", span(r.Waits[0].P95)},
		{"paid", fmt.Sprintf("%.2f", r.Money.Paid)},
		{"of it idle", fmt.Sprintf("%.2f (%.0f%%)", r.Money.Idle, 100*share)},
		{"vCPUs used", fmt.Sprintf("%.0f%%", 100*r.VCPUHours.Utilization)},
		{"instances at once", fmt.Sprint(r.Instances.Peak)},
		{"attempts lost", grouped(c.AttemptsLost)},
	}
	for i, f := range figures {
		x := left + float64(i)*(width-left-right)/float64(len(figures))
		p.text(x, 84, 13, faint, "start", "", f[0])
		p.text(x, 110, 20, ink, "start", ` font-weight="600"`, f[1])
	}
	p.printf(`<line x1="%g" y1="%g" x2="%g" y2="%g" stroke="%s"/>`, left, head-10, width-right, head-10, rule)
}
