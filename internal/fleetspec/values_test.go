package fleetspec_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"drover/internal/fleetspec"
)

func oneType(fields string) string {
	return "instance_types:\n  - {" + fields + "}\n"
}

const notARate = "is not a rate; allowed: 0 to 1, such as 0.1 for one call in ten"

// What is wrong with the value of a key of the right kind.
var valueErrors = []errorCase{
	{"fleet name", "name: A_b\n", `fleet.yaml:1: name: "A_b" is not a fleet's name; allowed: 1 to 40 of a-z, 0-9 and -, with - neither first nor last`},
	{"fleet name too long", "name: " + strings.Repeat("a", 41) + "\n", `fleet.yaml:1: name: "` + strings.Repeat("a", 41) + `" is not a fleet's name; allowed: 1 to 40 of a-z, 0-9 and -, with - neither first nor last`},
	{"driver", "name: a\ndriver: gcp\n", `fleet.yaml:2: driver: "gcp" is not known; allowed: local`},
	{"local directory", "local: {directory: ./x}\n", `fleet.yaml:1: local.directory: "./x" is not an absolute, clean path; allowed: a directory such as /srv/instances, or "" for the default`},
	{"local delay", "local: {boot_delay: -1s}\n", `fleet.yaml:1: local.boot_delay: -1s is out of range; ` + allowedDuration + `, at most 87600h`},
	{"local quota", "local:\n  quota: -1\n", `fleet.yaml:2: local.quota: -1 is negative; allowed: a number of instances, or 0 for no limit`},
	{"no types", "instance_types: []\n", `fleet.yaml:1: instance_types: is empty; allowed: a list of one type or more, such as [{name: small, vcpus: 2, memory: 4GiB}]`},
	{"type without a name", oneType("vcpus: 1, memory: 1GiB"), `fleet.yaml:2: instance_types[0].name: is missing; allowed: a name such as small or m7i.large`},
	{"type name", oneType("name: -a, vcpus: 1, memory: 1GiB"), `fleet.yaml:2: instance_types[0].name: "-a" is not a type's name; allowed: 1 to 63 of A-Z, a-z, 0-9, '.', _ and -, beginning with a letter or digit`},
	{"type name twice", "instance_types:\n  - {name: a, vcpus: 1, memory: 1GiB}\n  - vcpus: 1\n    memory: 1GiB\n    name: a\n", `fleet.yaml:5: instance_types[1].name: "a" is the name of instance_types[0], too; allowed: a name of its own`},
	{"provider type", oneType("name: a, vcpus: 1, memory: 1GiB, provider_type: a b"), `fleet.yaml:2: instance_types[0].provider_type: "a b" is not a provider's type; allowed: 1 to 63 of A-Z, a-z, 0-9, '.', _ and -, beginning with a letter or digit`},
	{"no vcpus", oneType("name: a, memory: 1GiB"), `fleet.yaml:2: instance_types[0].vcpus: 0 is not a number of vCPUs; allowed: 0.001 to 1000000`},
	{"no memory", oneType("name: a, vcpus: 1"), `fleet.yaml:2: instance_types[0].memory: 0 is out of range; allowed: a size above 0, such as 4GiB, at most 1048576TiB`},
	{"gpus", oneType("name: a, vcpus: 1, memory: 1GiB, gpus: -1"), `fleet.yaml:2: instance_types[0].gpus: -1 is out of range; allowed: 0 to 1000000`},
	{"price", oneType("name: a, vcpus: 1, memory: 1GiB, price: -0.1"), `fleet.yaml:2: instance_types[0].price: -0.1 is not a price per hour; allowed: 0 to 1000000`},
	{"vcpus beyond any machine", oneType("name: a, vcpus: 1e300, memory: 1GiB"), `fleet.yaml:2: instance_types[0].vcpus: 1e+300 is not a number of vCPUs; allowed: 0.001 to 1000000`},
	{"vcpus that are nothing", oneType("name: a, vcpus: 0.0001, memory: 1GiB"), `fleet.yaml:2: instance_types[0].vcpus: 0.0001 is not a number of vCPUs; allowed: 0.001 to 1000000`},
	{"negative vcpus", oneType("name: a, vcpus: -1, memory: 1GiB"), `fleet.yaml:2: instance_types[0].vcpus: -1 is not a number of vCPUs; allowed: 0.001 to 1000000`},
	{"memory beyond any machine", oneType("name: a, vcpus: 1, memory: 2097152TiB"), `fleet.yaml:2: instance_types[0].memory: 2097152TiB is out of range; allowed: a size above 0, such as 4GiB, at most 1048576TiB`},
	{"scratch beyond any machine", oneType("name: a, vcpus: 1, memory: 1GiB, scratch: 2097152TiB"), `fleet.yaml:2: instance_types[0].scratch: 2097152TiB is out of range; allowed: a size such as 20GiB, at most 1048576TiB, or 0`},
	{"gpus beyond any machine", oneType("name: a, vcpus: 1, memory: 1GiB, gpus: 1000001"), `fleet.yaml:2: instance_types[0].gpus: 1000001 is out of range; allowed: 0 to 1000000`},
	{"price beyond any", oneType("name: a, vcpus: 1, memory: 1GiB, price: 1e300"), `fleet.yaml:2: instance_types[0].price: 1e+300 is not a price per hour; allowed: 0 to 1000000`},
	{"boot for ever", "timeouts: {boot: 2562047h}\n", `fleet.yaml:1: timeouts.boot: 2562047h is out of range; allowed: a duration above 0, such as 10s, at most 87600h`},
	{"sync never", "intervals: {sync: 87601h}\n", `fleet.yaml:1: intervals.sync: 87601h is out of range; allowed: a duration above 0, such as 10s, at most 87600h`},
	{"max_age beyond any", "timeouts: {max_age: 87601h}\n", `fleet.yaml:1: timeouts.max_age: 87601h is out of range; allowed: a duration, at most 87600h, or 0 for no limit`},
	{"long command", "name: a\ninit_command: " + strings.Repeat("x", 65537) + "\n", `fleet.yaml:2: init_command: has 65537 bytes; allowed: at most 64KiB`},
	{"architecture", oneType("name: a, vcpus: 1, memory: 1GiB, architecture: x86"), `fleet.yaml:2: instance_types[0].architecture: "x86" is not known; allowed: amd64, arm64`},
	{"quota group", oneType("name: a, vcpus: 1, memory: 1GiB, quota_group: a b"), `fleet.yaml:2: instance_types[0].quota_group: "a b" is not a group's name; allowed: 1 to 63 of A-Z, a-z, 0-9, '.', _ and -, beginning with a letter or digit, or "" for none`},
	{"max_instances", "limits: {max_instances: 0}\n", `fleet.yaml:1: limits.max_instances: 0 is too small; allowed: 1 or more`},
	{"max_containers", "limits: {max_containers_per_instance: -1}\n", `fleet.yaml:1: limits.max_containers_per_instance: -1 is negative; allowed: a number of containers, or 0 for no limit`},
	{"price factor", "limits: {max_price_factor: 0.9}\n", `fleet.yaml:1: limits.max_price_factor: 0.9 is not a factor; allowed: 1 or more`},
	{"quota estimate", "limits: {initial_quota_estimate: -1}\n", `fleet.yaml:1: limits.initial_quota_estimate: -1 is negative; allowed: a number of instances, or 0 for none`},
	{"concurrency", "limits: {create_concurrency: 0}\n", `fleet.yaml:1: limits.create_concurrency: 0 is too small; allowed: 1 or more`},
	{"min_idle", "limits:\n  max_instances: 2\n  min_idle: 3\n", `fleet.yaml:3: limits.min_idle: 3 is out of range; allowed: 0 to limits.max_instances (2)`},
	{"boot", "timeouts: {boot: 0}\n", `fleet.yaml:1: timeouts.boot: 0 is out of range; allowed: a duration above 0, such as 10s, at most 87600h`},
	{"probe", "timeouts: {probe: -10s}\n", `fleet.yaml:1: timeouts.probe: -10s is out of range; allowed: a duration above 0, such as 10s, at most 87600h`},
	{"idle", "timeouts: {idle: 0}\n", `fleet.yaml:1: timeouts.idle: 0 is out of range; allowed: a duration above 0, such as 10s, at most 87600h`},
	{"shutdown_retry", "timeouts: {shutdown_retry: 0}\n", `fleet.yaml:1: timeouts.shutdown_retry: 0 is out of range; allowed: a duration above 0, such as 10s, at most 87600h`},
	{"term", "timeouts: {term: 0}\n", `fleet.yaml:1: timeouts.term: 0 is out of range; allowed: a duration above 0, such as 10s, at most 87600h`},
	{"signal", "timeouts: {signal: 0}\n", `fleet.yaml:1: timeouts.signal: 0 is out of range; allowed: a duration above 0, such as 10s, at most 87600h`},
	{"stale_run_lock", "timeouts: {stale_run_lock: 0}\n", `fleet.yaml:1: timeouts.stale_run_lock: 0 is out of range; allowed: a duration above 0, such as 10s, at most 87600h`},
	{"max_age", "timeouts: {max_age: -1h}\n", `fleet.yaml:1: timeouts.max_age: -1h is out of range; allowed: a duration, at most 87600h, or 0 for no limit`},
	{"probe interval", "intervals: {probe: 0}\n", `fleet.yaml:1: intervals.probe: 0 is out of range; allowed: a duration above 0, such as 10s, at most 87600h`},
	{"sync interval", "intervals: {sync: 0}\n", `fleet.yaml:1: intervals.sync: 0 is out of range; allowed: a duration above 0, such as 10s, at most 87600h`},
	{"heartbeat interval", "intervals: {heartbeat: 500ms}\n", `fleet.yaml:1: intervals.heartbeat: 500ms is out of range; allowed: a duration of 2s or more, at most 87600h`},
	{"probe interval and timeout", "timeouts:\n  probe: 10s\nintervals:\n  sync: 1m\n  probe: 10s\n", `fleet.yaml:5: intervals.probe: 10s leaves no time to probe; allowed: less than timeouts.probe (10s)`},
	{"probe interval absent", "timeouts:\n  probe: 10s\nintervals:\n  sync: 1m\n", `fleet.yaml:3: intervals.probe: 10s leaves no time to probe; allowed: less than timeouts.probe (10s)`},
	{"boot_probe", "boot_probe: \"\"\n", `fleet.yaml:1: boot_probe: is empty; allowed: a shell command, such as "true"`},
	{"init_command", `init_command: "a\0"`, `fleet.yaml:1: init_command: "a\x00" is not text; allowed: UTF-8 without NUL bytes`},
	{"user", "ssh: {user: -x}\n", `fleet.yaml:1: ssh.user: "-x" is not a user's name; allowed: 1 to 32 of A-Z, a-z, 0-9, '.', _ and -, beginning with a letter or _`},
	{"port", "ssh: {port: 65536}\n", `fleet.yaml:1: ssh.port: 65536 is not a port; allowed: 1 to 65535`},
	{"runner directory", "runner: {directory: /a/../b}\n", `fleet.yaml:1: runner.directory: "/a/../b" is not an absolute, clean path; allowed: a directory on the instance, such as /var/lib/drover`},
	{"engine", "engine: lxc\n", `fleet.yaml:1: engine: "lxc" is not known; allowed: process, docker, podman`},
	{"tail", "output: {tail: 1MiB}\n", `fleet.yaml:1: output.tail: 1MiB is out of range; allowed: 1B to 256KiB`},
	{"no tail", "output: {tail: 0}\n", `fleet.yaml:1: output.tail: 0 is out of range; allowed: 1B to 256KiB`},
	{"store scheme", "output: {store: \"mem://\"}\n", `fleet.yaml:1: output.store: "mem://" is not the URL of a store; allowed: file:///DIRECTORY, s3://BUCKET or "" for the default`},
	{"store URL", "output: {store: \"%zz\"}\n", `fleet.yaml:1: output.store: "%zz" is not the URL of a store; allowed: file:///DIRECTORY, s3://BUCKET or "" for the default`},
	{"store directory", "output: {store: \"file://srv/out\"}\n", `fleet.yaml:1: output.store: "file://srv/out" names no absolute, clean path; allowed: file:///DIRECTORY, s3://BUCKET or "" for the default`},
	{"faults quota", "faults: {quota: -1}\n", `fleet.yaml:1: faults.quota: -1 is negative; allowed: a number of instances, or 0 for no limit`},
	{"faults of an unknown type", "faults:\n  no_capacity:\n    - small\n    - small-spot\n", `fleet.yaml:4: faults.no_capacity[1]: "small-spot" is the provider_type of no instance type; allowed: one of theirs, such as small`},
	{"rate above 1", "faults:\n  create:\n    fail: 10\n", `fleet.yaml:3: faults.create.fail: 10 ` + notARate},
	{"negative rate", "faults: {destroy: {lose: -0.1}}\n", `fleet.yaml:1: faults.destroy.lose: -0.1 ` + notARate},
	{"rate of late answers", "faults: {get: {late: 2, delay: 1s}}\n", `fleet.yaml:1: faults.get.late: 2 ` + notARate},
	{"rate of capacity", "faults: {create: {no_capacity: 2}}\n", `fleet.yaml:1: faults.create.no_capacity: 2 ` + notARate},
	{"rate of deaths", "faults: {create: {die: 1.1}}\n", `fleet.yaml:1: faults.create.die: 1.1 ` + notARate},
	{"late without a delay", "faults:\n  list:\n    fail: 0.1\n    late: 0.1\n", `fleet.yaml:2: faults.list.delay: is missing, and faults.list.late says that answers are late; allowed: a duration above 0, such as 3s`},
	{"negative delay", "faults:\n  tag:\n    delay: -1s\n", `fleet.yaml:3: faults.tag.delay: -1s is out of range; ` + allowedDuration + `, at most 87600h`},
	{"creations per minute", "faults: {create: {per_minute: -1}}\n", `fleet.yaml:1: faults.create.per_minute: -1 is negative; allowed: a number of calls, or 0 for no limit`},
	{"store bucket", "output: {store: \"s3:///out\"}\n", `fleet.yaml:1: output.store: "s3:///out" names no bucket; allowed: file:///DIRECTORY, s3://BUCKET or "" for the default`},
}

func TestParseRefusesValues(t *testing.T) { checkErrors(t, valueErrors) }

// TestValidateRefusesWhatOnlyJSONCanSay covers what YAML is refused for earlier.
func TestValidateRefusesWhatOnlyJSONCanSay(t *testing.T) {
	for _, c := range []struct {
		change func(*fleetspec.Spec)
		want   string
	}{
		{func(s *fleetspec.Spec) { s.Local = nil }, `local: is missing; allowed: the section of the driver, such as "local: {}"`},
		{func(s *fleetspec.Spec) { s.InstanceTypes[1].Memory = -5 }, `instance_types[1].memory: -5B is out of range; allowed: a size above 0, such as 4GiB, at most 1048576TiB`},
		{func(s *fleetspec.Spec) { s.InstanceTypes[1].Scratch = -1 }, `instance_types[1].scratch: -1B is out of range; allowed: a size such as 20GiB, at most 1048576TiB, or 0`},
		{func(s *fleetspec.Spec) { s.InstanceTypes[0].Price = math.NaN() }, `instance_types[0].price: NaN is not a price per hour; allowed: 0 to 1000000`},
		{func(s *fleetspec.Spec) { s.InstanceTypes[0].Price = math.Inf(1) }, `instance_types[0].price: +Inf is not a price per hour; allowed: 0 to 1000000`},
		{func(s *fleetspec.Spec) { s.InstanceTypes[0].VCPUs = math.NaN() }, `instance_types[0].vcpus: NaN is not a number of vCPUs; allowed: 0.001 to 1000000`},
		{func(s *fleetspec.Spec) { s.Limits.MaxPriceFactor = math.NaN() }, `limits.max_price_factor: NaN is not a factor; allowed: 1 or more`},
		{func(s *fleetspec.Spec) { s.Faults = &fleetspec.Faults{List: fleetspec.CallFaults{Fail: math.NaN()}} }, "faults.list.fail: NaN " + notARate},
		{func(s *fleetspec.Spec) { s.SSH.KeyFile = "\xff" }, `ssh.key_file: "\xff" is not text; allowed: UTF-8 without NUL bytes`},
		{func(s *fleetspec.Spec) { s.Runner.Source = "a\x00" }, `runner.source: "a\x00" is not text; allowed: UTF-8 without NUL bytes`},
	} {
		spec := fleetspec.Default("a")
		c.change(&spec)
		require.EqualError(t, fleetspec.Validate(spec), c.want)
		_, err := fleetspec.Marshal(spec)
		require.EqualError(t, err, "fleet spec: "+c.want)
	}
}

func TestJSONRefuses(t *testing.T) {
	for _, c := range []struct{ json, want string }{
		{`{"output": {"tail": "4XB"}}`, `fleet spec: output.tail: "4XB" ` + notASize},
		{`{"output": {"tail": true}}`, `fleet spec: output.tail: "true" is not allowed here; ` + strings.TrimPrefix(notASize, "is not a size; ")},
		{`{"output": {"tail": 1.5}}`, `fleet spec: output.tail: "1.5" is not a size; allowed: a whole number of bytes below 8388608TiB`},
		{`{"timeouts": {"idle": 60}}`, `fleet spec: timeouts.idle: "60" is not a duration; ` + allowedDuration},
		{`{"timeouts": {"idle": {}}}`, `fleet spec: timeouts.idle: a map is not allowed here; ` + allowedDuration},
		{`[]`, `fleet spec: a list is not a fleet's spec; allowed: keys and values, such as "name: default"`},
		{`{"limits": {"min_idle": "many"}}`, `fleet spec: limits.min_idle: "many" is not allowed here; allowed: a whole number`},
		{`{"instance_types": {"name": "a"}}`, `fleet spec: instance_types: a map is not allowed here; allowed: a list`},
	} {
		var spec fleetspec.Spec
		require.EqualError(t, json.Unmarshal([]byte(c.json), &spec), c.want)
		require.Zero(t, spec)
	}
	_, err := json.Marshal(fleetspec.Size(-1))
	require.ErrorContains(t, err, "a size of -1 bytes: is negative")
}
