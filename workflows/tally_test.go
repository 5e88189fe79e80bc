package workflows_test

import (
	"strings"
	"time"

	"go.temporal.io/sdk/client"
)

// tally counts how often drover's metrics are written: by name and, where they have one, by
// outcome.
type tally struct {
	counts  map[string]int
	outcome string
}

func (m tally) WithTags(tags map[string]string) client.MetricsHandler {
	if outcome := tags["outcome"]; outcome != "" {
		m.outcome = " " + outcome
	}
	return m
}

func (m tally) count(name string) {
	if strings.HasPrefix(name, "drover_") {
		m.counts[name+m.outcome]++
	}
}

func (m tally) Counter(name string) client.MetricsCounter { return counter{m, name} }
func (m tally) Timer(name string) client.MetricsTimer     { return timer{m, name} }
func (m tally) Gauge(string) client.MetricsGauge          { return client.MetricsNopHandler.Gauge("") }

type counter struct {
	tally
	name string
}

func (c counter) Inc(int64) { c.count(c.name) }

type timer struct {
	tally
	name string
}

func (t timer) Record(time.Duration) { t.count(t.name) }
