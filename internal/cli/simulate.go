package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"drover/internal/simulate"
	"drover/internal/simulate/chart"
)

// Simulation is what `drover simulate` is told to do.
type Simulation struct {
	// File is the fleet's YAML and Workload the CSV; "-" is stdin.
	File, Workload string
	Stdin          io.Reader
	Options        simulate.Options
	// Every is the length of a row of the timeline. 0: one that gives a screenful.
	Every time.Duration
	// Chart is the file that the chart is drawn into. Empty: none.
	Chart string
}

// Run simulates, and shows what it comes to.
func (s Simulation) Run(ctx context.Context, print *Printer) error {
	if s.File == "-" && s.Workload == "-" {
		return Usagef("simulate: the fleet and the workload can't both be stdin")
	}
	if s.Every < 0 {
		return Usagef("--every: %v is not allowed: a duration such as 1h", s.Every)
	}
	spec, err := readSpec(Apply{File: s.File, Stdin: s.Stdin})
	if err != nil {
		return err
	}
	if err := s.Options.Check(spec); err != nil {
		return &UsageError{Err: err}
	}
	workload, err := s.readWorkload()
	if err != nil {
		return err
	}
	result, err := simulate.Run(ctx, spec, workload, s.Options)
	if err != nil {
		return err
	}
	if s.Every > 0 {
		if result.Timeline, err = result.Over(s.Every); err != nil {
			return Usagef("--every: %w", err)
		}
	}
	if err := s.draw(&result); err != nil {
		return err
	}
	if print.JSON {
		return print.Encode(result)
	}
	return s.show(print, &result)
}

func (s Simulation) readWorkload() (simulate.Workload, error) {
	if s.Workload == "-" {
		data, err := io.ReadAll(s.Stdin)
		if err != nil {
			return simulate.Workload{}, fmt.Errorf("read stdin: %w", err)
		}
		return simulate.ParseWorkload("stdin", data)
	}
	data, err := os.ReadFile(s.Workload)
	if err != nil {
		return simulate.Workload{}, fmt.Errorf("workload: %w", err)
	}
	return simulate.ParseWorkload(s.Workload, data)
}

func (s Simulation) draw(r *simulate.Result) error {
	if s.Chart == "" {
		return nil
	}
	var svg bytes.Buffer
	if err := chart.SVG(&svg, r); err != nil {
		return err
	}
	if err := os.WriteFile(s.Chart, svg.Bytes(), 0o644); err != nil {
		return fmt.Errorf("--chart: %w", err)
	}
	return nil
}

// show shows a result to a person.
func (s Simulation) show(print *Printer, r *simulate.Result) error {
	c := r.Containers
	print.Linef("fleet %s: %s, %d finished, in %s", r.Fleet, countOf(c.Submitted, "container"), c.Finished, Short(inSeconds(r.Makespan)))
	for _, n := range r.NotRun {
		print.Linef("%s not finished, %s first: %s", countOf(n.Containers, "container"), n.First, clean(n.Why))
	}
	if n := r.Instances.Interrupted; n > 0 {
		print.Linef("the cloud took back %d of %s: %s lost, %.1f vCPU hours of work", n,
			countOf(r.Instances.Created, "instance"), countOf(c.AttemptsLost, "attempt"), r.VCPUHours.Lost)
	}
	if n := r.Instances.CreateRefused; n > 0 {
		print.Linef("the cloud refused %s", countOf(n, "create request"))
	}
	print.Linef("")
	rows := make([][]string, 0, len(r.Waits))
	for _, w := range r.Waits {
		name := "all"
		if w.Priority != nil {
			name = fmt.Sprintf("priority %d", *w.Priority)
		}
		row := []string{name, fmt.Sprint(w.Started)}
		for _, t := range []float64{w.Min, w.Median, w.P95, w.Max} {
			row = append(row, Short(inSeconds(t)))
		}
		rows = append(rows, row)
	}
	if err := print.Table([]string{"WAIT", "STARTED", "MIN", "MEDIAN", "P95", "MAX"}, rows); err != nil {
		return err
	}
	print.Linef("")
	if err := showMoney(print, r); err != nil {
		return err
	}
	print.Linef("\nutilization: %.0f%% of the %.1f vCPU hours that are paid for", 100*r.VCPUHours.Utilization, r.VCPUHours.Paid)
	print.Linef("")
	return s.showTimeline(print, r)
}
