package simulate

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// Container is one container of a workload: when it is submitted, what it asks for, as
// in the Container workflow's input, and how long it would run if nothing ended it.
type Container struct {
	ID          string
	Submit      time.Duration // since the workload's beginning
	RunTime     time.Duration
	VCPUs       float64
	Memory      fleetspec.Size
	Scratch     fleetspec.Size
	GPUs        int
	Priority    int // below 0: on hold, never runs
	Preemptible bool
	Attempts    int
}

// Workload is what a fleet is given to do.
type Workload struct {
	// Start is the time of day of the beginning, if the workload says times of day:
	// that of its first submission. Zero: it does not.
	Start time.Time
	// Containers are in the order of their submission.
	Containers []Container
}

// ParseWorkload decodes the CSV of a workload. The first row names the columns, in any
// order: submit and run_time must be there, id, vcpus, memory, scratch, gpus, priority,
// preemptible and attempts may be; a column that is not there, or an empty field, has
// the default of `drover run`. Every submit is a number of seconds or a duration since
// the beginning, or every one is an RFC 3339 time.
//
// Every error is one line: filename:line: column: what is wrong; what is allowed.
func ParseWorkload(filename string, data []byte) (Workload, error) {
	w, err := parseWorkload(bytes.TrimPrefix(data, []byte("\ufeff"))) // of Windows editors
	if err == nil {
		return w, nil
	}
	var p *problem
	if !errors.As(err, &p) {
		return Workload{}, fmt.Errorf("%s: %w", filename, err)
	}
	return Workload{}, fmt.Errorf("%s:%d: %w", filename, p.line, p)
}

// problem is what is wrong with a field.
type problem struct {
	line   int
	column string // its name; empty: the whole line
	what   string
}

// Error is one line, without the place in the file.
func (p *problem) Error() string {
	if p.column == "" {
		return p.what
	}
	return p.column + ": " + p.what
}

func parseWorkload(data []byte) (Workload, error) {
	if !utf8.Valid(data) {
		return Workload{}, errors.New("is not text; allowed: CSV in UTF-8")
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.Comment = '#'
	r.TrimLeadingSpace = true
	r.ReuseRecord = true
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return Workload{}, fmt.Errorf("is empty; allowed: a row that names the columns (%s), then a row per container", columnNames())
	}
	if err != nil {
		return Workload{}, syntaxProblem(err)
	}
	d := decoder{reader: r, lines: map[string]int{}}
	if d.columns, err = d.columnsOf(header); err != nil {
		return Workload{}, err
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return d.workload()
		}
		if err != nil {
			return Workload{}, syntaxProblem(err)
		}
		if err := d.row(record); err != nil {
			return Workload{}, err
		}
	}
}

// syntaxProblem says what the CSV reader found.
func syntaxProblem(err error) error {
	var syntax *csv.ParseError
	switch {
	case !errors.As(err, &syntax):
		return err
	case errors.Is(err, csv.ErrFieldCount):
		return &problem{line: syntax.Line, what: "does not have as many fields as the first row; allowed: a field per column, empty for its default"}
	}
	return &problem{line: syntax.Line, what: fmt.Sprintf("is not CSV: %v; allowed: fields with commas between them, quoted with \" where they contain one", syntax.Err)}
}

// decoder makes a workload of rows.
type decoder struct {
	reader     *csv.Reader
	columns    []column
	containers []Container
	lines      map[string]int // of IDs
	days       []time.Time    // of submissions, if they are times of day
	first      int            // line of the first row
}

// columnsOf finds what is in which column.
func (d *decoder) columnsOf(header []string) ([]column, error) {
	found := make([]column, len(header))
	seen := map[string]bool{}
	for i, name := range header {
		line, _ := d.reader.FieldPos(i)
		name = strings.TrimSpace(name)
		at := slices.IndexFunc(columns, func(c column) bool { return c.name == name })
		switch {
		case at < 0:
			return nil, &problem{line: line, what: fmt.Sprintf("unknown column %q; allowed: %s", name, columnNames())}
		case seen[name]:
			return nil, &problem{line: line, column: name, what: "is there twice; allowed: once"}
		}
		found[i], seen[name] = columns[at], true
	}
	for _, c := range columns {
		if c.required && !seen[c.name] {
			line, _ := d.reader.FieldPos(0)
			return nil, &problem{line: line, column: c.name, what: "there is no such column; required: submit, run_time; allowed: " + columnNames()}
		}
	}
	return found, nil
}

// row adds a container.
func (d *decoder) row(record []string) error {
	defaults := api.DefaultContainerSpec()
	line, _ := d.reader.FieldPos(0)
	row := row{line: line, Container: Container{VCPUs: defaults.VCPUs, Memory: defaults.Memory, Attempts: defaults.Attempts}}
	for i, field := range record {
		if field = strings.TrimSpace(field); field == "" && !d.columns[i].required {
			continue
		}
		if err := d.columns[i].set(&row, field); err != nil {
			line, _ := d.reader.FieldPos(i)
			return &problem{line: line, column: d.columns[i].name, what: err.Error()}
		}
	}
	if row.ID == "" {
		row.ID = fmt.Sprintf("line-%d", line)
	}
	if other := d.lines[row.ID]; other != 0 {
		return &problem{line: line, column: "id", what: fmt.Sprintf("%q is in line %d, too; allowed: every ID once", row.ID, other)}
	}
	d.lines[row.ID] = line
	if d.first == 0 {
		d.first = line
	}
	if row.day.IsZero() != (len(d.days) == 0) && len(d.containers) > 0 {
		return &problem{line: line, column: "submit", what: fmt.Sprintf("is not of the same kind as in line %d; allowed: times everywhere, or seconds and durations everywhere", d.first)}
	}
	if !row.day.IsZero() {
		d.days = append(d.days, row.day)
	}
	d.containers = append(d.containers, row.Container)
	return nil
}

// workload returns what the rows come to.
func (d *decoder) workload() (Workload, error) {
	w := Workload{Containers: d.containers}
	if len(w.Containers) == 0 {
		return w, errors.New("has no containers; allowed: a row per container below the names of the columns")
	}
	if len(d.days) > 0 {
		w.Start = slices.MinFunc(d.days, time.Time.Compare)
		for i := range w.Containers {
			if w.Containers[i].Submit = d.days[i].Sub(w.Start); w.Containers[i].Submit > longest {
				return w, fmt.Errorf("spans from %v to %v; allowed: at most %v days", w.Start, d.days[i], longest.Hours()/24)
			}
		}
	}
	slices.SortStableFunc(w.Containers, func(a, b Container) int { return cmp.Compare(a.Submit, b.Submit) })
	return w, nil
}
