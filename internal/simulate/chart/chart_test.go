package chart

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/fleetspec"
	"drover/internal/simulate"
)

// draw simulates containers of an hour, and returns the SVG's texts and paths.
func draw(t *testing.T, n int, start time.Time) (texts, paths []string) {
	w := simulate.Workload{Start: start}
	for i := range n {
		w.Containers = append(w.Containers, simulate.Container{ID: fmt.Sprint("c", i), RunTime: time.Hour, VCPUs: 2, Memory: 1 << 30, Attempts: 1})
	}
	r, err := simulate.Run(context.Background(), fleetspec.Default("chart"), w, simulate.DefaultOptions())
	require.NoError(t, err)
	var svg bytes.Buffer
	require.NoError(t, SVG(&svg, &r))
	d := xml.NewDecoder(&svg)
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts, paths
		}
		require.NoError(t, err)
		switch e := token.(type) {
		case xml.CharData:
			if text := strings.TrimSpace(string(e)); text != "" {
				texts = append(texts, text)
			}
		case xml.StartElement:
			for _, a := range e.Attr {
				assert.NotContains(t, a.Value, "NaN")
				assert.NotContains(t, a.Value, "Inf")
				if e.Name.Local == "path" && a.Name.Local == "d" {
					paths = append(paths, a.Value)
				}
			}
		}
	}
}

func TestThePictureSaysAndShowsTheResult(t *testing.T) {
	texts, paths := draw(t, 1200, time.Date(2026, 3, 1, 7, 0, 0, 0, time.UTC))
	for _, text := range []string{"Fleet chart: 1\u202f200 containers", "from 2026-03-01 07:00 UTC", "instances at once", "64", "vCPUs that are paid for",
		"used by containers", "Containers that wait", "Instances", "small", "12h"} {
		assert.Contains(t, texts, text)
	}
	require.Len(t, paths, 5, "three layers of vCPUs, the queue, one type of instance")
	for _, path := range paths {
		assert.Regexp(t, `^M[0-9.]+ [0-9.]+H.*Z$`, path)
	}
}

func TestAFleetThatDoesNothingIsAnEmptyPicture(t *testing.T) {
	texts, paths := draw(t, 0, time.Time{})
	assert.Contains(t, texts, "Fleet chart: 0 containers")
	assert.Equal(t, []string{"", "", "", ""}, paths)
}

func TestAreasAreCutWhereThereIsNothing(t *testing.T) {
	p := picture{step: 1, length: 4}
	flat := func(v float64) float64 { return 100 - v }
	at := func(seconds float64) string { return fmt.Sprintf("%.1f", p.x(seconds)) }
	assert.Equal(t, "M"+at(1)+" 90.0H"+at(2)+"L"+at(2)+" 95.0H"+at(3)+"L"+at(3)+" 100.0H"+at(2)+"L"+at(2)+" 98.0H"+at(1)+"Z",
		p.area([]float64{0, 2, 0, 0}, []float64{0, 10, 5, 0}, flat))
	assert.Empty(t, p.area([]float64{1, 2}, []float64{1, 2}, flat))
}

func TestScalesAreRound(t *testing.T) {
	for most, want := range map[float64][]float64{
		0: {0, 1}, 1: {0, 1}, 3: {0, 1, 2, 3}, 7: {0, 2, 4, 6, 8}, 194: {0, 50, 100, 150, 200}, 2000: {0, 500, 1000, 1500, 2000},
	} {
		assert.Equal(t, want, ticks(most, 4), "%v", most)
	}
	for seconds, want := range map[float64]string{0: "0", 59: "59s", 60: "1m", 3661: "1h 1m", 90000: "1d 1h", 86400: "1d", 86401: "1d"} {
		assert.Equal(t, want, span(seconds))
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1\u202f000", 1234567: "1\u202f234\u202f567"} {
		assert.Equal(t, want, grouped(n))
	}
	for _, length := range []float64{1, 59, 3600, 86400, 30 * 86400, 3650 * 86400} {
		p := picture{length: length}
		assert.LessOrEqual(t, len(p.times()), 13, "%v", length)
	}
}
