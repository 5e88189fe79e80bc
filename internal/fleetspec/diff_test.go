package fleetspec_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"drover/internal/fleetspec"
)

func TestDiff(t *testing.T) {
	old, changed := fleetspec.Default("a"), fleetspec.Default("a")
	changed.Timeouts.Idle = fleetspec.Duration(5 * time.Minute)
	changed.Limits.MinIdle = 2
	changed.Local.Quota = 3
	changed.InitCommand = "echo hi\ntrue"
	changed.Runner.Source = ""
	changed.InstanceTypes = []fleetspec.InstanceType{
		{Name: "huge", ProviderType: "xl", VCPUs: 64, Memory: 256 << 30, Price: 2, Preemptible: true, Architecture: "arm64"},
		old.InstanceTypes[3], old.InstanceTypes[2], old.InstanceTypes[0],
	}
	changed.InstanceTypes[3].Price = 0.05
	lines := []string{}
	for _, c := range fleetspec.Diff(old, changed) {
		lines = append(lines, c.String())
	}
	require.Equal(t, []string{
		`local.quota: 0 → 3`,
		`instance_types[small].price: 0.04 → 0.05`,
		`instance_types[small-spot]: removed {name: "small-spot", provider_type: "small", vcpus: 2, memory: 4GiB, scratch: 20GiB, price: 0.015, preemptible: true, architecture: "amd64"}`,
		`instance_types[huge]: added {name: "huge", provider_type: "xl", vcpus: 64, memory: 256GiB, price: 2, preemptible: true, architecture: "arm64"}`,
		`limits.min_idle: 0 → 2`,
		`timeouts.idle: 1m → 5m`,
		`init_command: "" → "echo hi\ntrue"`,
		`runner.source: "embedded" → ""`,
	}, lines)
}

func TestDiffOfEqualSpecsIsEmpty(t *testing.T) {
	reordered := fleetspec.Default("a")
	types := reordered.InstanceTypes
	types[0], types[3] = types[3], types[0]
	require.Empty(t, fleetspec.Diff(fleetspec.Default("a"), reordered))
}

func TestDiffOfASectionThatComesOrGoes(t *testing.T) {
	with, without := fleetspec.Default("a"), fleetspec.Default("a")
	without.Local = nil
	require.Equal(t, []fleetspec.Change{{Path: "local", New: "{}"}}, fleetspec.Diff(without, with))
	require.Equal(t, []fleetspec.Change{{Path: "local", Old: "{}"}}, fleetspec.Diff(with, without))
	require.Empty(t, fleetspec.Diff(without, without))
}

func TestDiffOfFaults(t *testing.T) {
	without, with, changed := fleetspec.Default("a"), fleetspec.Default("a"), fleetspec.Default("a")
	with.Faults = &fleetspec.Faults{NoCapacity: []string{"small", "large"}, Create: fleetspec.CreateFaults{Fail: 0.1}}
	changed.Faults = &fleetspec.Faults{Quota: 5, Create: fleetspec.CreateFaults{Fail: 0.1, Lose: 0.2}, Denied: true}
	const section = `{no_capacity: ["small", "large"], create: {fail: 0.1}}`
	require.Equal(t, []fleetspec.Change{{Path: "faults", New: section}}, fleetspec.Diff(without, with))
	require.Equal(t, []fleetspec.Change{{Path: "faults", Old: section}}, fleetspec.Diff(with, without))
	require.Equal(t, []fleetspec.Change{
		{Path: "faults.quota", Old: "0", New: "5"},
		{Path: "faults.no_capacity", Old: `["small", "large"]`, New: "[]"},
		{Path: "faults.denied", Old: "false", New: "true"},
		{Path: "faults.create.lose", Old: "0", New: "0.2"},
	}, fleetspec.Diff(with, changed))
	require.Empty(t, fleetspec.Diff(with, with))
}
