package fleetspec_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"drover/internal/fleetspec"
)

const (
	rootKeys        = "name, driver, local, instance_types, limits, timeouts, intervals, boot_probe, init_command, ssh, runner, engine, output, faults"
	limitKeys       = "max_instances, max_containers_per_instance, max_price_factor, initial_quota_estimate, create_concurrency, min_idle"
	faultKeys       = "quota, no_capacity, denied, create, destroy, get, list, tag"
	callKeys        = "fail, lose, late, delay"
	typeKeys        = "name, provider_type, vcpus, memory, scratch, gpus, price, preemptible, architecture, quota_group"
	allowedText     = "allowed: text (a number or a boolean that is meant as text goes in quotes)"
	notASize        = "is not a size; allowed: a number with B, KiB, MiB, GiB, TiB, KB, MB, GB or TB, as in 512MiB, or 0"
	allowedDuration = "allowed: a number with h, m, s or ms, as in 90s or 1h30m, or 0"
)

type errorCase struct{ name, yaml, want string }

// form: what is wrong with the document or the kind of a value.
var formErrors = []errorCase{
	{"empty", "", `fleet.yaml:1: is empty; allowed: a fleet's spec, such as "name: default"`},
	{"only comments", "# name: x\n---\n", `fleet.yaml:1: is empty; allowed: a fleet's spec, such as "name: default"`},
	{"two documents", "name: a\n---\nname: b\n", `fleet.yaml:3: a second document begins; allowed: one fleet per file`},
	{"binary", "name: \xff\xfe", `fleet.yaml:1: is not text; allowed: YAML in UTF-8`},
	{"NUL", "name: \x00", `fleet.yaml:1: is not text; allowed: YAML in UTF-8`},
	{"huge", strings.Repeat("#", 256<<10+1), `fleet.yaml:1: has 262145 bytes; allowed: at most 256KiB`},
	{"deep flow", strings.Repeat("[", 200_000), `fleet.yaml:1: is nested too deeply; allowed: at most 50 levels`},
	{"deep block", "name: x\n" + strings.Repeat("- ", 100_000), `fleet.yaml:2: is nested too deeply; allowed: at most 50 levels`},
	{"tab", "limits:\n\tmin_idle: 3\n", `fleet.yaml:2: is not YAML: found character ' ' that cannot start any token; a line is indented with spaces, never with tabs`},
	{"open brace", "name: {\n", `fleet.yaml:1: is not YAML: could not find flow mapping end token '}'`},
	{"list as root", "- a\n", `fleet.yaml:1: a list is not a fleet's spec; allowed: keys and values, such as "name: default"`},
	{"text as root", "hello\n", `fleet.yaml:1: "hello" is not a fleet's spec; allowed: keys and values, such as "name: default"`},
	{"unknown key", "name: a\nnmae: b\n", `fleet.yaml:2: unknown key "nmae"; allowed: ` + rootKeys},
	{"unknown key in a section", "limits:\n  max_instance: 3\n", `fleet.yaml:2: limits: unknown key "max_instance"; allowed: ` + limitKeys},
	{"key is no word", "1: a\n", `fleet.yaml:1: the key "1" is not a plain word; allowed: ` + rootKeys},
	{"merge key", "limits:\n  <<: {min_idle: 1}\n", `fleet.yaml:2: limits: the key "<<" is not a plain word; allowed: ` + limitKeys},
	{"duplicate key", "name: a\nengine: docker\nname: b\n", `fleet.yaml:3: name: is given twice, first in line 1; allowed: once`},
	{"anchor", "name: &a x\n", `fleet.yaml:1: name: an anchor or alias is not allowed here; allowed: the value written out`},
	{"alias", "name: *a\n", `fleet.yaml:1: name: an anchor or alias is not allowed here; allowed: the value written out`},
	{"tag", "name: !!str x\n", `fleet.yaml:1: name: a tag is not allowed here; allowed: the value written out`},
	{"list for a map", "limits: [1]\n", `fleet.yaml:1: limits: a list is not allowed here; allowed: keys and values: ` + limitKeys},
	{"map for a list", "instance_types: {name: a}\n", `fleet.yaml:1: instance_types: a map is not allowed here; allowed: a list`},
	{"nothing for a list", "instance_types:\n", `fleet.yaml:1: instance_types: nothing is not allowed here; allowed: a list`},
	{"nothing for a type", "instance_types:\n  - {name: a, vcpus: 1, memory: 1GiB}\n  -\n", `fleet.yaml:3: instance_types[1]: nothing is not allowed here; allowed: keys and values: ` + typeKeys},
	{"text for a type", "instance_types: [small]\n", `fleet.yaml:1: instance_types[0]: "small" is not allowed here; allowed: keys and values: ` + typeKeys},
	{"number for text", "name: 5\n", `fleet.yaml:1: name: "5" is not allowed here; ` + allowedText},
	{"boolean for text", "boot_probe: true\n", `fleet.yaml:1: boot_probe: "true" is not allowed here; ` + allowedText},
	{"map for text", "name: {a: b}\n", `fleet.yaml:1: name: a map is not allowed here; ` + allowedText},
	{"text for a boolean", "instance_types: [{preemptible: yes}]\n", `fleet.yaml:1: instance_types[0].preemptible: "yes" is not allowed here; allowed: true or false`},
	{"text for a number", "limits: {min_idle: a}\n", `fleet.yaml:1: limits.min_idle: "a" is not allowed here; allowed: a whole number`},
	{"fraction", "limits:\n  min_idle: 1.5\n", `fleet.yaml:2: limits.min_idle: "1.5" is not allowed here; allowed: a whole number`},
	{"number too large", "limits: {min_idle: 99999999999}\n", `fleet.yaml:1: limits.min_idle: "99999999999" is not allowed here; allowed: a whole number`},
	{"infinity", "limits: {max_price_factor: .inf}\n", `fleet.yaml:1: limits.max_price_factor: ".inf" is not allowed here; allowed: a number`},
	{"not a number", "limits: {max_price_factor: .nan}\n", `fleet.yaml:1: limits.max_price_factor: ".nan" is not allowed here; allowed: a number`},
	{"number that overflows", "limits: {max_price_factor: 1e400}\n", `fleet.yaml:1: limits.max_price_factor: "1e400" is not allowed here; allowed: a number`},
	{"size with a wrong unit", "name: a\ninstance_types:\n  - name: s\n    vcpus: 1\n    memory: 4XB\n", `fleet.yaml:5: instance_types[0].memory: "4XB" ` + notASize},
	{"negative size", "output: {tail: -1KiB}\n", `fleet.yaml:1: output.tail: "-1KiB" ` + notASize},
	{"size with half a byte", "output: {tail: 1.5B}\n", `fleet.yaml:1: output.tail: "1.5B" is not a size; allowed: a whole number of bytes below 8388608TiB`},
	{"size that overflows", "output: {tail: 8388608TiB}\n", `fleet.yaml:1: output.tail: "8388608TiB" is not a size; allowed: a whole number of bytes below 8388608TiB`},
	{"list for a size", "output: {tail: []}\n", `fleet.yaml:1: output.tail: a list is not allowed here; allowed: ` + strings.TrimPrefix(notASize, "is not a size; allowed: ")},
	{"duration without a unit", "timeouts:\n  idle: 5\n", `fleet.yaml:2: timeouts.idle: "5" is not a duration; ` + allowedDuration},
	{"unknown kind of call", "faults:\n  reboot: {fail: 1}\n", `fleet.yaml:2: faults: unknown key "reboot"; allowed: ` + faultKeys},
	{"unknown fault", "faults:\n  list: {die: 1}\n", `fleet.yaml:2: faults.list: unknown key "die"; allowed: ` + callKeys},
	{"unknown fault of creations", "faults:\n  create:\n    dye: 1\n", `fleet.yaml:3: faults.create: unknown key "dye"; allowed: ` + callKeys + ", no_capacity, die, per_minute"},
	{"number for faults", "faults: 0.1\n", `fleet.yaml:1: faults: "0.1" is not allowed here; allowed: keys and values: ` + faultKeys},
	{"text for a rate", "faults: {tag: {fail: often}}\n", `fleet.yaml:1: faults.tag.fail: "often" is not allowed here; allowed: a number`},
	{"text for a list of text", "faults:\n  no_capacity: small\n", `fleet.yaml:2: faults.no_capacity: "small" is not allowed here; allowed: a list`},
	{"nothing for text in a list", "faults:\n  no_capacity:\n    - small\n    -\n", `fleet.yaml:4: faults.no_capacity[1]: nothing is not allowed here; ` + allowedText},
	{"number for text in a list", "faults: {no_capacity: [5]}\n", `fleet.yaml:1: faults.no_capacity[0]: "5" is not allowed here; ` + allowedText},
	{"map for text in a list", "faults: {no_capacity: [{a: b}]}\n", `fleet.yaml:1: faults.no_capacity[0]: a map is not allowed here; ` + allowedText},
	{"nothing for a duration", "timeouts:\n  idle:\n", `fleet.yaml:2: timeouts.idle: nothing is not allowed here; ` + allowedDuration},
}

func TestParseRefusesForm(t *testing.T) { checkErrors(t, formErrors) }

func checkErrors(t *testing.T, cases []errorCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			spec, err := fleetspec.Parse("fleet.yaml", []byte(c.yaml))
			require.EqualError(t, err, c.want)
			require.Zero(t, spec)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}
