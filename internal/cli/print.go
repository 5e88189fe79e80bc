package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"golang.org/x/term"

	"drover/internal/api"
)

// The formats of what is shown.
const (
	FormatTable = "table"
	FormatJSON  = "json"
)

// Printer shows results on stdout, and notices on stderr.
type Printer struct {
	Out, Err io.Writer
	JSON     bool
	// now is the time that ages are counted from.
	now func() time.Time
}

// NewPrinter returns a printer for a format: table or json.
func NewPrinter(format string, stdout, stderr io.Writer) (*Printer, error) {
	if format != FormatTable && format != FormatJSON {
		return nil, Usagef("-o: %q is not allowed: table or json", format)
	}
	return &Printer{Out: stdout, Err: stderr, JSON: format == FormatJSON, now: time.Now}, nil
}

// IsTerminal reports whether a person sees what is written to w.
func IsTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Encode writes a value as indented JSON.
func (p *Printer) Encode(value any) error {
	e := json.NewEncoder(p.Out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(value)
}

// Table writes aligned lines. Cells never contain more than a line.
func (p *Printer) Table(header []string, rows [][]string) error {
	w := tabwriter.NewWriter(p.Out, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = clean(cell); cells[i] == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// Linef writes one line to stdout.
func (p *Printer) Linef(format string, values ...any) {
	fmt.Fprintf(p.Out, format+"\n", values...)
}

// Notef writes one line to stderr.
func (p *Printer) Notef(format string, values ...any) {
	fmt.Fprintf(p.Err, "drover: %s\n", OneLine(fmt.Sprintf(format, values...)))
}

// Ago returns how long ago a time was, shortly: 3m, 2h5m.
func (p *Printer) Ago(t api.Time) string {
	if t.IsZero() {
		return ""
	}
	return Short(p.now().Sub(t.Time))
}

// Short returns a duration in at most two units.
func Short(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// clean makes text harmless for a terminal and a table: one line, no control
// characters.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// shorten cuts text to at most n characters.
func shorten(text string, n int) string {
	if runes := []rune(text); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return text
}
