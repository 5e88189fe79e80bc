// Command workloads writes the workloads of this directory, each of a known shape, for
// `drover simulate`: go run ./examples/workloads DIRECTORY.
package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./examples/workloads DIRECTORY")
		os.Exit(2)
	}
	for name, text := range workloads() {
		if err := os.WriteFile(filepath.Join(os.Args[1], name), []byte(text), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// workloads returns the files by name.
func workloads() map[string]string {
	return map[string]string{
		"steady.csv":           steady(),
		"burst.csv":            burst(),
		"wide-then-narrow.csv": wideThenNarrow(),
		"mixed.csv":            mixed(),
		"spot.csv":             spot(),
	}
}

// table is a workload in the making.
type table struct{ strings.Builder }

func newTable(comment, header string) *table {
	t := &table{}
	t.row("# %s", comment)
	t.row("%s", header)
	return t
}

func (t *table) row(format string, values ...any) { fmt.Fprintf(t, format+"\n", values...) }

func steady() string {
	t := newTable("A day of the same: one vCPU for ten minutes, every two minutes.", "submit,run_time,memory")
	for i := range 720 {
		t.row("%d,10m,2GiB", i*120)
	}
	return t.String()
}

func burst() string {
	t := newTable("256 equal containers at once, 15 minutes each.", "id,submit,run_time,memory")
	for i := range 256 {
		t.row("part-%03d,0,15m,2GiB", i)
	}
	return t.String()
}

func wideThenNarrow() string {
	t := newTable("120 containers side by side, and one large one for three hours when they are done.", "id,submit,run_time,vcpus,memory")
	for i := range 120 {
		t.row("map-%03d,0,20m,1,2GiB", i)
	}
	t.row("reduce,45m,3h,8,12GiB")
	return t.String()
}

// mixed has many small containers, fewer large ones, and now and then one that is
// urgent, over eight hours.
func mixed() string {
	random := rand.New(rand.NewPCG(1, 2))
	between := func(least, most int) int { return least + random.IntN(most-least+1) }
	t := newTable("Eight hours of containers of all sizes, some of them urgent.", "submit,run_time,vcpus,memory,priority")
	at := 0
	for range 600 {
		at += between(6, 90)
		switch kind := random.IntN(100); {
		case kind < 55:
			t.row("%d,%dm,1,%dGiB,0", at, between(5, 20), between(1, 2))
		case kind < 80:
			t.row("%d,%dm,%d,%dGiB,0", at, between(20, 60), between(3, 4), between(4, 8))
		case kind < 90:
			t.row("%d,%dm,8,%dGiB,0", at, between(30, 120), between(10, 16))
		case kind < 95:
			t.row("%d,%dm,2,%dGiB,0", at, between(30, 90), between(18, 30))
		default:
			t.row("%d,%dm,2,4GiB,10", at, between(2, 6))
		}
	}
	return t.String()
}

func spot() string {
	t := newTable("200 containers of two hours that the cloud may interrupt, over three hours.", "submit,run_time,vcpus,memory,preemptible,attempts")
	for i := range 200 {
		t.row("%d,2h,4,8GiB,true,5", i*54)
	}
	return t.String()
}
