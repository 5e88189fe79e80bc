package fleetspec_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"drover/internal/fleetspec"
)

// documented is the spec of design/1-product.md, whose values are the defaults.
const documented = `
name: default
driver: local                # local | ec2 | …, with its own section of the same name
local: {}
instance_types:
  - {name: small, provider_type: small, vcpus: 2, memory: 4GiB, scratch: 20GiB, price: 0.04}
  - {name: small-spot, provider_type: small, vcpus: 2, memory: 4GiB, price: 0.015, preemptible: true}
limits: {max_instances: 64, max_containers_per_instance: 0, max_price_factor: 1.5, initial_quota_estimate: 0, create_concurrency: 10, min_idle: 0}
timeouts: {boot: 10m, probe: 10m, idle: 1m, shutdown_retry: 10s, term: 2m, signal: 5s, stale_run_lock: 5s, max_age: 0}
intervals: {probe: 10s, sync: 1m}
boot_probe: "true"           # a shell command, run on the instance
init_command: ""             # run once at first boot, on top of what drover needs
ssh: {user: root, port: 22, key_file: ""}   # the private key stays on the worker, never in a history
runner: {source: embedded, directory: /var/lib/drover}
engine: process              # process | docker | podman: what runs a container that has an image
output: {store: "", tail: 16KiB}   # where output is kept
`

func parse(t *testing.T, yaml string) fleetspec.Spec {
	t.Helper()
	spec, err := fleetspec.Parse("fleet.yaml", []byte(yaml))
	require.NoError(t, err)
	return spec
}

func TestAbsentKeysMeanTheDocumentedDefaults(t *testing.T) {
	want := parse(t, documented)
	got := parse(t, "name: default\n")
	require.Equal(t, fleetspec.Default("default"), got)
	want.InstanceTypes = got.InstanceTypes
	require.Equal(t, want, got)
}

func TestSectionWithoutValueHasItsDefaults(t *testing.T) {
	want := fleetspec.Default("default")
	require.Equal(t, want, parse(t, "local:\nlimits:\n  # min_idle: 1\ntimeouts: ~\nssh: {}\n"))
	want.Limits.MinIdle = 1
	require.Equal(t, want, parse(t, "limits:\n  min_idle: 1\n"))
}

func TestExplicitZeroIsKept(t *testing.T) {
	spec := parse(t, "timeouts: {max_age: 0}\nlimits: {min_idle: 0}\nrunner: {source: \"\"}\n")
	require.Zero(t, spec.Timeouts.MaxAge)
	require.Equal(t, fleetspec.Runner{Source: "", Directory: "/var/lib/drover"}, spec.Runner)
	var decoded fleetspec.Spec
	require.NoError(t, json.Unmarshal([]byte(`{"runner": {"source": ""}}`), &decoded))
	require.Equal(t, spec.Runner, decoded.Runner)
}

func TestValuesInEveryForm(t *testing.T) {
	spec := parse(t, "\ufeffname: \"a\"\r\nboot_probe: |\r\n  a\r\n  b\r\n"+
		"timeouts: {boot: 1h30m, term: 1500ms}\r\noutput: {tail: 1024, store: 's3://b?region=x'}\r\n"+
		"instance_types:\r\n- {name: a, vcpus: 0.5, memory: 1.5GiB, scratch: 50 GB, price: 1e-3, preemptible: true, architecture: arm64, gpus: 1, quota_group: arm}\r\n")
	require.Equal(t, "a", spec.Name)
	require.Equal(t, []string{"a", "b"}, strings.Fields(spec.BootProbe))
	require.Equal(t, 90*time.Minute, spec.Timeouts.Boot.D())
	require.Equal(t, 1500*time.Millisecond, spec.Timeouts.Term.D())
	require.Equal(t, fleetspec.Output{Store: "s3://b?region=x", Tail: 1024}, spec.Output)
	require.Equal(t, []fleetspec.InstanceType{{
		Name: "a", ProviderType: "a", VCPUs: 0.5, Memory: 3 << 29, Scratch: 50e9, GPUs: 1,
		Price: 0.001, Preemptible: true, Architecture: "arm64", QuotaGroup: "arm",
	}}, spec.InstanceTypes)
}

// rehearsed has every fault.
const rehearsed = `
faults:
  quota: 5
  no_capacity: [small, "large"]
  denied: true
  create: {fail: 0.1, lose: 0.05, late: 0.2, delay: 3s, no_capacity: 0.3, die: 1, per_minute: 30}
  destroy: {fail: 1}
  get: {fail: 0.1}
  list: {lose: 0.2}
  tag: {late: 1, delay: 1m}
`

func TestFaults(t *testing.T) {
	for yaml, want := range map[string]*fleetspec.Faults{
		"name: a\n":                        nil,
		"faults:\n":                        {},
		"faults: {}\n":                     {},
		"faults: {no_capacity: []}\n":      {},
		"faults:\n  get:\n  quota: 3\n":    {Quota: 3},
		"faults: {no_capacity: [small]}\n": {NoCapacity: []string{"small"}},
		rehearsed: {
			Quota: 5, NoCapacity: []string{"small", "large"}, Denied: true,
			Create:  fleetspec.CreateFaults{Fail: 0.1, Lose: 0.05, Late: 0.2, Delay: fleetspec.Duration(3 * time.Second), NoCapacity: 0.3, Die: 1, PerMinute: 30},
			Destroy: fleetspec.CallFaults{Fail: 1}, Get: fleetspec.CallFaults{Fail: 0.1}, List: fleetspec.CallFaults{Lose: 0.2},
			Tag: fleetspec.CallFaults{Late: 1, Delay: fleetspec.Duration(time.Minute)},
		},
	} {
		require.Equal(t, want, parse(t, yaml).Faults, yaml)
	}
	var decoded fleetspec.Spec
	require.NoError(t, json.Unmarshal([]byte(`{"faults": {"no_capacity": []}}`), &decoded))
	require.Equal(t, &fleetspec.Faults{}, decoded.Faults)
	data, err := json.Marshal(fleetspec.Default("a"))
	require.NoError(t, err)
	require.NotContains(t, string(data), "faults")
}

func TestDefaultIsValid(t *testing.T) {
	spec := fleetspec.Default("x-1")
	require.NoError(t, fleetspec.Validate(spec))
	require.Equal(t, "x-1", spec.Name)
	names := []string{}
	for _, it := range spec.InstanceTypes {
		names = append(names, it.Name+"/"+it.ProviderType+"/"+it.Memory.String())
	}
	require.Equal(t, []string{"small/small/4GiB", "small-spot/small/4GiB", "medium/medium/8GiB", "large/large/16GiB"}, names)
	require.Equal(t, []string{"local"}, fleetspec.Drivers())
}

func TestJSONPayloadGetsTheDefaults(t *testing.T) {
	payload := `{"name":"x","driver":"local","a_newer_key":1,"instance_types":[{"name":"a","vcpus":1,"memory":1073741824}]}`
	var got fleetspec.Spec
	require.NoError(t, json.Unmarshal([]byte(payload), &got))
	require.NoError(t, fleetspec.Validate(got))
	want := fleetspec.Default("x")
	want.InstanceTypes = []fleetspec.InstanceType{{Name: "a", ProviderType: "a", VCPUs: 1, Memory: 1 << 30, Architecture: "amd64"}}
	require.Equal(t, want, got)

	require.NoError(t, json.Unmarshal([]byte("null"), &got))
	require.Equal(t, want, got)
	strict, err := fleetspec.Parse("payload", []byte(strings.Replace(payload, `"a_newer_key":1,`, "", 1)))
	require.NoError(t, err)
	require.Equal(t, want, strict)
}

func TestTextOfDurationsAndSizes(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0": 0, "10m": 10 * time.Minute, "1h": time.Hour, "1h0m5s": time.Hour + 5*time.Second,
		"1h30m": 90 * time.Minute, "90ms": 90 * time.Millisecond, "240h": 240 * time.Hour, "-5m": -5 * time.Minute, "1m30s": 90 * time.Second,
	} {
		require.Equal(t, want, fleetspec.Duration(d).String())
	}
	for want, s := range map[string]fleetspec.Size{
		"0": 0, "4GiB": 4 << 30, "50GB": 50e9, "1B": 1, "1000KiB": 1024000, "1536MiB": 3 << 29, "1025B": 1025, "2TiB": 2 << 40, "1TB": 1e12,
	} {
		require.Equal(t, want, s.String())
		require.Equal(t, int64(s), s.Bytes())
	}
	for in, want := range map[string]fleetspec.Duration{`"1h"`: fleetspec.Duration(time.Hour), `0`: 0, `"0"`: 0, `null`: 7} {
		got := fleetspec.Duration(7)
		require.NoError(t, json.Unmarshal([]byte(in), &got))
		require.Equal(t, want, got)
	}
	for in, want := range map[string]fleetspec.Size{`"1KB"`: 1000, `4096`: 4096, `"0"`: 0, `null`: 7, `"0.5KiB"`: 512} {
		got := fleetspec.Size(7)
		require.NoError(t, json.Unmarshal([]byte(in), &got))
		require.Equal(t, want, got)
	}
}
