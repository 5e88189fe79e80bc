package simulate

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// longest bounds times in a workload: ten years.
const longest = 10 * 365 * 24 * time.Hour

// row is a container in the making.
type row struct {
	Container
	line int
	day  time.Time // of its submission, if that is a time of day
}

// column is one that a workload may have.
type column struct {
	name     string
	required bool
	set      func(r *row, text string) error
}

var columns = []column{
	{"submit", true, setSubmit},
	{"run_time", true, setRunTime},
	{"id", false, setID},
	{"vcpus", false, setVCPUs},
	{"memory", false, func(r *row, text string) error { return setSize(&r.Memory, text) }},
	{"scratch", false, func(r *row, text string) error { return setSize(&r.Scratch, text) }},
	{"gpus", false, func(r *row, text string) error { return setWhole(&r.GPUs, text, 0, 1e6) }},
	{"priority", false, func(r *row, text string) error { return setWhole(&r.Priority, text, math.MinInt32, math.MaxInt32) }},
	{"preemptible", false, setPreemptible},
	{"attempts", false, func(r *row, text string) error { return setWhole(&r.Attempts, text, 1, 100) }},
}

func columnNames() string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

func setSubmit(r *row, text string) error {
	if day, err := time.Parse(time.RFC3339, text); err == nil {
		r.day = day
		return nil
	}
	d, ok := seconds(text)
	if !ok {
		return fmt.Errorf("%q is not a time; allowed: seconds or a duration since the beginning, such as 90 or 1h30m, or a time such as 2026-03-01T08:00:00Z", text)
	}
	r.Submit = d
	return nil
}

func setRunTime(r *row, text string) error {
	d, ok := seconds(text)
	if !ok {
		return fmt.Errorf("%q is not how long it runs; allowed: seconds or a duration, such as 90 or 1h30m", text)
	}
	r.RunTime = d
	return nil
}

// seconds reads a duration, or a number of seconds.
func seconds(text string) (time.Duration, bool) {
	d, err := time.ParseDuration(text)
	if err != nil {
		var s float64
		if s, err = strconv.ParseFloat(text, 64); err != nil || !(math.Abs(s) <= longest.Seconds()) {
			return 0, false
		}
		d = time.Duration(math.Round(s * float64(time.Second)))
	}
	return d, d >= 0 && d <= longest
}

func setID(r *row, text string) error {
	r.ID = text
	return api.CheckContainerID(text)
}

func setVCPUs(r *row, text string) error {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n > 0 && n <= 1e6) {
		return fmt.Errorf("%q is not allowed: a number above 0, and at most 1000000", text)
	}
	r.VCPUs = n
	return nil
}

func setSize(target *fleetspec.Size, text string) error {
	if err := target.UnmarshalText([]byte(text)); err != nil {
		return err
	}
	if *target > 1<<60 {
		return fmt.Errorf("%q is not allowed: a size of 0 or more, at most 1048576TiB", text)
	}
	return nil
}

func setWhole(target *int, text string, least, most int) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return fmt.Errorf("%q is not allowed: a whole number from %d to %d", text, least, most)
	}
	*target = n
	return nil
}

func setPreemptible(r *row, text string) error {
	switch strings.ToLower(text) {
	case "true", "yes", "1":
		r.Preemptible = true
	case "false", "no", "0":
		r.Preemptible = false
	default:
		return errors.New(strconv.Quote(text) + " is not allowed: true or false")
	}
	return nil
}
