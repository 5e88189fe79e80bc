package simulate

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAWorkloadIsRead(t *testing.T) {
	w, err := ParseWorkload("w.csv", []byte("\ufeff# comment\r\n"+`run_time, submit,vcpus,memory,scratch,gpus,priority,preemptible,attempts,id
1h30m,90,0.5,2GiB,1TB,1,-1,true,5,late
90,1m0.5s,,,,,,,,
`))
	require.NoError(t, err)
	assert.Equal(t, Workload{Containers: []Container{
		{ID: "line-4", Submit: 60500 * time.Millisecond, RunTime: 90 * time.Second, VCPUs: 1, Memory: 512 << 20, Attempts: 3},
		{ID: "late", Submit: 90 * time.Second, RunTime: 90 * time.Minute, VCPUs: 0.5, Memory: 2 << 30, Scratch: 1e12, GPUs: 1,
			Priority: -1, Preemptible: true, Attempts: 5},
	}}, w, "in the order of submission, defaults filled in")
}

func TestAWorkloadMayHaveTimesOfDay(t *testing.T) {
	w, err := ParseWorkload("w.csv", []byte("submit,run_time\n2026-03-01T08:00:10+01:00,5\n2026-03-01T07:00:00Z,6\n"))
	require.NoError(t, err)
	assert.Equal(t, time.Date(2026, 3, 1, 7, 0, 0, 0, time.UTC), w.Start)
	assert.Equal(t, "line-3", w.Containers[0].ID)
	assert.Equal(t, 10*time.Second, w.Containers[1].Submit)
}

func TestABadWorkloadIsRefusedWithThePlaceAndWhatIsAllowed(t *testing.T) {
	const all = "submit, run_time, id, vcpus, memory, scratch, gpus, priority, preemptible, attempts"
	for text, says := range map[string]string{
		"":                                                                  "w.csv: is empty; allowed: a row that names the columns (" + all + "), then a row per container",
		"submit,run_time\n":                                                 "w.csv: has no containers; allowed: a row per container below the names of the columns",
		"submit,run_time\n1,2\xff\n":                                        "w.csv: is not text; allowed: CSV in UTF-8",
		"submit\n1\n":                                                       "w.csv:1: run_time: there is no such column; required: submit, run_time; allowed: " + all,
		"submit,run_time,cpus\n1,2,3\n":                                     "w.csv:1: unknown column \"cpus\"; allowed: " + all,
		"submit,run_time,submit\n1,2,3\n":                                   "w.csv:1: submit: is there twice; allowed: once",
		"submit,run_time\n1,2\n3\n":                                         "w.csv:3: does not have as many fields as the first row; allowed: a field per column, empty for its default",
		"submit,run_time\n1,\"2\n":                                          "w.csv:2: is not CSV: extraneous or missing \" in quoted-field; allowed: fields with commas between them, quoted with \" where they contain one",
		"submit,run_time\n,2\n":                                             `w.csv:2: submit: "" is not a time; allowed: seconds or a duration since the beginning, such as 90 or 1h30m, or a time such as 2026-03-01T08:00:00Z`,
		"submit,run_time\n-1,2\n":                                           `w.csv:2: submit: "-1" is not a time; allowed: seconds or a duration since the beginning, such as 90 or 1h30m, or a time such as 2026-03-01T08:00:00Z`,
		"submit,run_time\n1,1d\n":                                           `w.csv:2: run_time: "1d" is not how long it runs; allowed: seconds or a duration, such as 90 or 1h30m`,
		"submit,run_time\n1,NaN\n":                                          `w.csv:2: run_time: "NaN" is not how long it runs; allowed: seconds or a duration, such as 90 or 1h30m`,
		"submit,run_time,vcpus\n1,2,0\n":                                    `w.csv:2: vcpus: "0" is not allowed: a number above 0, and at most 1000000`,
		"submit,run_time,memory\n1,2,4XB\n":                                 `w.csv:2: memory: "4XB" is not a size; allowed: a number with B, KiB, MiB, GiB, TiB, KB, MB, GB or TB, as in 512MiB, or 0`,
		"submit,run_time,scratch\n1,2,2000000TiB\n":                         `w.csv:2: scratch: "2000000TiB" is not allowed: a size of 0 or more, at most 1048576TiB`,
		"submit,run_time,vcpus\n1,2,Inf\n":                                  `w.csv:2: vcpus: "Inf" is not allowed: a number above 0, and at most 1000000`,
		"submit,run_time,gpus\n1,2,-1\n":                                    `w.csv:2: gpus: "-1" is not allowed: a whole number from 0 to 1000000`,
		"submit,run_time,priority\n1,2,high\n":                              `w.csv:2: priority: "high" is not allowed: a whole number from -2147483648 to 2147483647`,
		"submit,run_time,preemptible\n1,2,maybe\n":                          `w.csv:2: preemptible: "maybe" is not allowed: true or false`,
		"submit,run_time,attempts\n1,2,0\n":                                 `w.csv:2: attempts: "0" is not allowed: a whole number from 1 to 100`,
		"submit,run_time,id\n1,2,a/b\n":                                     `w.csv:2: id: container ID "a/b" is not allowed: 1 to 100 letters, digits, dots, dashes and underscores, a letter or digit first`,
		"submit,run_time,id\n1,2,a\n\n3,4,a\n":                              `w.csv:4: id: "a" is in line 2, too; allowed: every ID once`,
		"submit,run_time\n1,2\n2026-03-01T08:00:00Z,2\n":                    `w.csv:3: submit: is not of the same kind as in line 2; allowed: times everywhere, or seconds and durations everywhere`,
		"submit,run_time\n2026-03-01T08:00:00Z,2\n1,2\n":                    `w.csv:3: submit: is not of the same kind as in line 2; allowed: times everywhere, or seconds and durations everywhere`,
		"submit,run_time\n2026-03-01T08:00:00Z,2\n2046-03-01T08:00:00Z,1\n": "w.csv: spans from 2026-03-01 08:00:00 +0000 UTC to 2046-03-01 08:00:00 +0000 UTC; allowed: at most 3650 days",
	} {
		_, err := ParseWorkload("w.csv", []byte(text))
		if assert.Error(t, err, "%q", text) {
			assert.Equal(t, says, err.Error(), "%q", text)
		}
	}
}

func FuzzParseWorkload(f *testing.F) {
	f.Add([]byte("submit,run_time\n1,2\n"))
	f.Add([]byte("id,submit,run_time,memory\n\"a\",2026-03-01T08:00:00Z,1h,4GiB\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := ParseWorkload("w.csv", data)
		if err != nil {
			assert.True(t, strings.HasPrefix(err.Error(), "w.csv:"), err.Error())
			assert.NotContains(t, err.Error(), "\n")
			return
		}
		for i, c := range w.Containers {
			require.GreaterOrEqual(t, c.Submit, time.Duration(0))
			require.GreaterOrEqual(t, c.RunTime, time.Duration(0))
			require.True(t, i == 0 || w.Containers[i-1].Submit <= c.Submit)
		}
	})
}

func TestOptionsAreCheckedAgainstTheFleet(t *testing.T) {
	for says, change := range map[string]func(*Options){
		"--boot: 30s-10s is not allowed: a duration such as 60s, or two for what lies between them, such as 45s-90s": func(o *Options) {
			o.Boot = Span{30 * time.Second, 10 * time.Second}
		},
		"--create-rate: NaN is not allowed: create requests a minute, or 0 for no limit":  func(o *Options) { o.CreateRate = math.NaN() },
		"--create-rate: +Inf is not allowed: create requests a minute, or 0 for no limit": func(o *Options) { o.CreateRate = math.Inf(1) },
		"--create: -1s is not allowed: 0 to 24h":                                          func(o *Options) { o.Create = -time.Second },
		"--boot: with up to 20m0s, and 2s to be created, instances would not be up before the fleet gives them up; allowed: less than timeouts.boot (10m) together": func(o *Options) {
			o.Boot = Span{time.Second, 20 * time.Minute}
		},
		"--shutdown: 25h0m0s is not allowed: 0 to 24h":                                   func(o *Options) { o.Shutdown = 25 * time.Hour },
		"--quota: -1 is not allowed: a number of instances, or 0 for no limit":           func(o *Options) { o.Quota = -1 },
		"--create-rate: 0.5 is not allowed: at least 1 a minute, or 0 for no limit":      func(o *Options) { o.CreateRate = 0.5 },
		"--spot-interruptions: 1001 is not allowed: 0 to 1000 an hour":                   func(o *Options) { o.SpotInterruptions = 1001 },
		`--capacity: "five" is no instance type of fleet test; allowed: four, four-spot`: func(o *Options) { o.Capacity = map[string]int{"five": 1} },
		"--capacity: -1 of four is not allowed: 0 or more":                               func(o *Options) { o.Capacity = map[string]int{"four": -1} },
	} {
		_, err := Run(t.Context(), fleetOf(), Workload{Containers: containers(1, 0, 0, time.Hour)}, aCloud(change))
		assert.EqualError(t, err, says)
	}
	require.NoError(t, DefaultOptions().Check(fleetOf()))
}

func TestATimeToBootIsReadAndWritten(t *testing.T) {
	for text, want := range map[string]Span{"60s": {time.Minute, time.Minute}, "45s-1m30s": {45 * time.Second, 90 * time.Second}, "0": {}} {
		var s Span
		require.NoError(t, s.UnmarshalText([]byte(text)))
		assert.Equal(t, want, s)
		var again Span
		require.NoError(t, again.UnmarshalText([]byte(s.String())))
		assert.Equal(t, s, again)
	}
	for _, text := range []string{"", "60", "-5s", "90s-45s", "1s-2s-3s", "fast"} {
		var s Span
		assert.EqualError(t, s.UnmarshalText([]byte(text)),
			`"`+text+`" is not a time to boot; allowed: a duration such as 60s, or two for what lies between them, such as 45s-90s`)
	}
}
