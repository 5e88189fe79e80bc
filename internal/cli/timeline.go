package cli

import (
	"fmt"
	"math"
	"strings"
	"time"

	"drover/internal/simulate"
)

// timelineRows is about how many rows of a timeline a person looks at.
const timelineRows = 24

// barWidth is the length of the longest bar, in characters.
const barWidth = 40

// showMoney shows what instances cost, by type.
func showMoney(print *Printer, r *simulate.Result) error {
	row := func(name string, created, peak int, hours float64, m simulate.Money) []string {
		cells := []string{name, fmt.Sprint(created), fmt.Sprint(peak), fmt.Sprintf("%.1f", hours), price(m.Paid)}
		for _, part := range []float64{m.Busy, m.Idle, m.Booting, m.Shutdown} {
			share := 0.0
			if m.Paid > 0 {
				share = 100 * part / m.Paid
			}
			cells = append(cells, fmt.Sprintf("%s (%.0f%%)", price(part), share))
		}
		return cells
	}
	var rows [][]string
	hours := 0.0
	for _, t := range r.Types {
		if hours += t.Hours; t.Created > 0 {
			rows = append(rows, row(t.Name, t.Created, t.Peak, t.Hours, t.Money))
		}
	}
	if len(rows) != 1 {
		rows = append(rows, row("all", r.Instances.Created, r.Instances.Peak, hours, r.Money))
	}
	return print.Table([]string{"TYPE", "CREATED", "PEAK", "HOURS", "PAID", "BUSY", "IDLE", "BOOTING", "SHUTDOWN"}, rows)
}

// showTimeline shows how things are over time, with a bar for the vCPUs: those that are
// used, and the rest of those that are paid for.
func (s Simulation) showTimeline(print *Printer, r *simulate.Result) error {
	spans := r.Timeline
	if s.Every == 0 {
		var err error
		if spans, err = r.Over(r.Width(timelineRows)); err != nil {
			return err
		}
	}
	most := 0.0
	for i := range spans {
		most = max(most, spans[i].PaidVCPUs)
	}
	rows := make([][]string, 0, len(spans))
	for i := range spans {
		t := &spans[i]
		used := "-"
		if t.PaidVCPUs > 0 {
			used = fmt.Sprintf("%.0f%%", 100*t.Utilization())
		}
		rows = append(rows, []string{
			offset(t.From), fmt.Sprintf("%.1f", t.Instances), fmt.Sprintf("%.1f", t.Running), fmt.Sprint(t.Waiting),
			price(t.Paid), fmt.Sprintf("%.0f", t.PaidVCPUs), used, bar(t.UsedVCPUs, t.PaidVCPUs, most),
		})
	}
	return print.Table([]string{"FROM", "INSTANCES", "RUNNING", "WAITING", "PAID", "VCPUS", "USED", "█ USED  ░ PAID FOR AND NOT USED"}, rows)
}

// bar draws a part of a whole, to the scale on which most is the longest bar.
func bar(part, whole, most float64) string {
	if most <= 0 {
		return ""
	}
	const eighths = " ▏▎▍▌▋▊▉"
	length := int(math.Round(whole / most * barWidth))
	filled := int(math.Round(part / most * barWidth * 8))
	b := strings.Repeat("█", filled/8)
	if filled%8 > 0 {
		b += string([]rune(eighths)[filled%8])
	}
	return b + strings.Repeat("░", max(length-len([]rune(b)), 0))
}

// offset says a time since the beginning as hours and minutes, days before them.
func offset(s float64) string {
	d := inSeconds(s)
	days, d := d/(24*time.Hour), d%(24*time.Hour)
	text := fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
	if d%time.Minute != 0 {
		text += fmt.Sprintf(":%02d", int(d.Seconds())%60)
	}
	if days > 0 {
		text = fmt.Sprintf("%dd ", days) + text
	}
	return text
}

// price says an amount with as many digits as it needs.
func price(amount float64) string {
	switch {
	case amount == 0:
		return "0"
	case amount < 1:
		return fmt.Sprintf("%.4f", amount)
	}
	return fmt.Sprintf("%.2f", amount)
}

func inSeconds(s float64) time.Duration { return time.Duration(math.Round(s * float64(time.Second))) }

// countOf says a number of things whose plural takes an s.
func countOf(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
