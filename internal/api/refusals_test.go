package api_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

const (
	keys     = "fleet, command, image, env, vcpus, memory, scratch, gpus, priority, preemptible, timeout, attempts"
	sizes    = "allowed: a number with B, KiB, MiB, GiB, TiB, KB, MB, GB or TB, as in 512MiB, or 0"
	imageSay = "is not the name of an image; allowed: up to 500 printable ASCII characters without spaces, a letter or digit first"
)

// What is wrong with a spec by its values.
func TestABadContainerSpecIsOneLineThatSaysWhatIsAllowed(t *testing.T) {
	for says, change := range map[string]func(*api.ContainerSpec){
		`fleet: "" is not the name of a fleet; allowed: 1 to 40 lower-case letters, digits and dashes`:     func(s *api.ContainerSpec) { s.Fleet = "" },
		`fleet: "ü" is not the name of a fleet; allowed: 1 to 40 lower-case letters, digits and dashes`:    func(s *api.ContainerSpec) { s.Fleet = "ü" },
		`fleet: "a\nb" is not the name of a fleet; allowed: 1 to 40 lower-case letters, digits and dashes`: func(s *api.ContainerSpec) { s.Fleet = "a\nb" },
		"command: is empty; allowed: a list that begins with a program":                                    func(s *api.ContainerSpec) { s.Command = nil },
		`command: argument 1, "a\x00b", is not text; allowed: UTF-8 without NUL bytes`:                     func(s *api.ContainerSpec) { s.Command = []string{"x", "a\x00b"} },
		`command: argument 0, "\xff", is not text; allowed: UTF-8 without NUL bytes`:                       func(s *api.ContainerSpec) { s.Command = []string{"\xff"} },
		`image: "-v" ` + imageSay:   func(s *api.ContainerSpec) { s.Image = "-v" },
		`image: "a\nb" ` + imageSay: func(s *api.ContainerSpec) { s.Image = "a\nb" },
		`image: "ü" ` + imageSay:    func(s *api.ContainerSpec) { s.Image = "ü" },
		`env: "" is not the name of a variable; allowed: UTF-8 without '=' and NUL bytes`:          func(s *api.ContainerSpec) { s.Env = map[string]string{"": "x"} },
		`env: "A=B" is not the name of a variable; allowed: UTF-8 without '=' and NUL bytes`:       func(s *api.ContainerSpec) { s.Env = map[string]string{"A=B": "x"} },
		`env: "A\xff" is not the name of a variable; allowed: UTF-8 without '=' and NUL bytes`:     func(s *api.ContainerSpec) { s.Env = map[string]string{"A\xff": "x"} },
		`env: the value of A, "\xfe", is not text; allowed: UTF-8 without NUL bytes`:               func(s *api.ContainerSpec) { s.Env = map[string]string{"A": "\xfe"} },
		`env: the value of A, "\x00", is not text; allowed: UTF-8 without NUL bytes`:               func(s *api.ContainerSpec) { s.Env = map[string]string{"A": "\x00"} },
		"command, image and env have 10485765 bytes together; allowed: at most 1MiB":               func(s *api.ContainerSpec) { s.Env = map[string]string{"A": strings.Repeat("x", 10<<20)} },
		"vcpus: 0 is not allowed: a number above 0, and at most 1000000":                           func(s *api.ContainerSpec) { s.VCPUs = 0 },
		"vcpus: -1 is not allowed: a number above 0, and at most 1000000":                          func(s *api.ContainerSpec) { s.VCPUs = -1 },
		"vcpus: NaN is not allowed: a number above 0, and at most 1000000":                         func(s *api.ContainerSpec) { s.VCPUs = math.NaN() },
		"vcpus: +Inf is not allowed: a number above 0, and at most 1000000":                        func(s *api.ContainerSpec) { s.VCPUs = math.Inf(1) },
		"memory: -1GiB is not allowed: a size of 0 or more, at most 1048576TiB":                    func(s *api.ContainerSpec) { s.Memory = -1 << 30 },
		"memory: 2097152TiB is not allowed: a size of 0 or more, at most 1048576TiB":               func(s *api.ContainerSpec) { s.Memory = 1 << 61 },
		"scratch: -1B is not allowed: a size of 0 or more, at most 1048576TiB":                     func(s *api.ContainerSpec) { s.Scratch = -1 },
		"gpus: -1 is not allowed: 0 to 1000000":                                                    func(s *api.ContainerSpec) { s.GPUs = -1 },
		"gpus: 1000001 is not allowed: 0 to 1000000":                                               func(s *api.ContainerSpec) { s.GPUs = 1000001 },
		"timeout: -1s is not allowed: a duration such as 1h, at most 87600h, or 0 for no limit":    func(s *api.ContainerSpec) { s.Timeout = fleetspec.Duration(-time.Second) },
		"timeout: 87601h is not allowed: a duration such as 1h, at most 87600h, or 0 for no limit": func(s *api.ContainerSpec) { s.Timeout = fleetspec.Duration(87601 * time.Hour) },
		"attempts: 0 is not allowed: 1 to 100":                                                     func(s *api.ContainerSpec) { s.Attempts = 0 },
		"attempts: 101 is not allowed: 1 to 100":                                                   func(s *api.ContainerSpec) { s.Attempts = 101 },
	} {
		spec := api.DefaultContainerSpec()
		spec.Command = []string{"true"}
		require.NoError(t, spec.Validate())
		change(&spec)
		assert.EqualError(t, spec.Validate(), says)
	}
}

// What is wrong with a spec's JSON.
func TestTheJSONOfABadContainerSpecIsRefusedWithTheKey(t *testing.T) {
	for text, says := range map[string]string{
		``:                          "container spec: is not JSON; allowed: an object with the keys " + keys,
		`{`:                         "container spec: is not JSON; allowed: an object with the keys " + keys,
		`{}`:                        "command: is empty; allowed: a list that begins with a program",
		`[]`:                        "container spec: the spec: a JSON array is not allowed here; allowed: an object with the keys " + keys,
		`"x"`:                       "container spec: the spec: a JSON string is not allowed here; allowed: an object with the keys " + keys,
		`{"comand": ["a"]}`:         `container spec: json: unknown field "comand"; allowed: an object with the keys ` + keys,
		`{"command": "a b"}`:        "container spec: command: a JSON string is not allowed here; allowed: a list of strings",
		`{"command": [1]}`:          "container spec: command: a JSON number is not allowed here; allowed: a list of strings",
		`{"fleet": 1}`:              "container spec: fleet: a JSON number is not allowed here; allowed: a string",
		`{"image": true}`:           "container spec: image: a JSON bool is not allowed here; allowed: a string",
		`{"env": ["A=B"]}`:          "container spec: env: a JSON array is not allowed here; allowed: an object whose values are strings",
		`{"env": {"A": 1}}`:         "container spec: env: a JSON number is not allowed here; allowed: an object whose values are strings",
		`{"vcpus": "2"}`:            "container spec: vcpus: a JSON string is not allowed here; allowed: a number",
		`{"vcpus": 1e999}`:          "container spec: vcpus: a JSON number 1e999 is not allowed here; allowed: a number",
		`{"gpus": 0.5}`:             "container spec: gpus: a JSON number 0.5 is not allowed here; allowed: a whole number",
		`{"priority": "high"}`:      "container spec: priority: a JSON string is not allowed here; allowed: a whole number",
		`{"priority": 1e99}`:        "container spec: priority: a JSON number 1e99 is not allowed here; allowed: a whole number",
		`{"attempts": []}`:          "container spec: attempts: a JSON array is not allowed here; allowed: a whole number",
		`{"preemptible": "yes"}`:    "container spec: preemptible: a JSON string is not allowed here; allowed: true or false",
		`{"memory": "4XB"}`:         `container spec: memory: "4XB" is not a size; ` + sizes,
		`{"memory": -1}`:            `container spec: memory: "-1" is not a size; ` + sizes,
		`{"scratch": {}}`:           `container spec: scratch: "{}" is not a size; ` + sizes,
		`{"timeout": 5}`:            `container spec: timeout: "5" is not a duration; allowed: a number with h, m, s or ms, as in 90s or 1h30m, or 0`,
		`{"timeout": "soon"}`:       `container spec: timeout: "soon" is not a duration; allowed: a number with h, m, s or ms, as in 90s or 1h30m, or 0`,
		"{\"command\": [\"\xff\"]}": "container spec: is not text; allowed: JSON in UTF-8",
	} {
		spec, err := api.ParseContainerSpec([]byte(text))
		if assert.EqualError(t, err, says, text) {
			assert.Equal(t, api.DefaultContainerSpec(), spec, "nothing of it is taken")
		}
	}
}

func TestABadContainerIDIsRefused(t *testing.T) {
	const form = "is not allowed: 1 to 100 letters, digits, dots, dashes and underscores, a letter or digit first"
	for _, id := range []string{"", "a b", "a/b", "-a", ".a", "ü", "a\n", "a\x00", "a\xff", strings.Repeat("a", 101)} {
		assert.EqualError(t, api.CheckContainerID(id), fmt.Sprintf("container ID %q %s", id, form))
	}
	assert.EqualError(t, api.CheckContainerID("broken"), `container ID "broken" is not allowed: it has a meaning in what the runner prints`)
}

func TestABadOrderToAFleetSaysWhatIsAllowed(t *testing.T) {
	for text, says := range map[string]string{
		`7`:              `a JSON number is not allowed here; allowed: {"drain": true}, {"drain": false} or nothing`,
		`{"drain": "x"}`: `drain: a JSON string is not allowed here; allowed: {"drain": true}, {"drain": false} or nothing`,
		`{"dry": true}`:  `json: unknown field "dry"; allowed: {"drain": true}, {"drain": false} or nothing`,
	} {
		var got api.DeleteFleet
		assert.EqualError(t, json.Unmarshal([]byte(text), &got), says)
		assert.Zero(t, got)
	}
	for text, says := range map[string]string{
		`7`:           `a JSON number is not a fleet's input; allowed: {"spec": …}`,
		`[]`:          `a JSON array is not a fleet's input; allowed: {"spec": …}`,
		`{"spec": 7}`: `fleet spec: "7" is not a fleet's spec; allowed: keys and values, such as "name: default"`,
		`{"spec": {"engine": "lx", "limits": {"min_idle": {}}}}`: `fleet spec: limits.min_idle: a map is not allowed here; allowed: a whole number`,
	} {
		var got api.FleetInput
		assert.EqualError(t, json.Unmarshal([]byte(text), &got), says)
		assert.Zero(t, got)
	}
}

// What is sent to an instance by people, and is nonsense.
func TestABadOrderToAnInstanceSaysWhatIsAllowed(t *testing.T) {
	const behaviors = `; allowed: "run", "hold", "drain" or {"behavior": …, "reason": …, "by": …}`
	for text, says := range map[string]string{
		`"sleep"`:                          `idle behavior "sleep" is not allowed: run, hold or drain`,
		`""`:                               `idle behavior "" is not allowed: run, hold or drain`,
		`{}`:                               `idle behavior "" is not allowed: run, hold or drain`,
		`null`:                             `idle behavior "" is not allowed: run, hold or drain`,
		`7`:                                "a JSON number is not allowed here" + behaviors,
		`[]`:                               "a JSON array is not allowed here" + behaviors,
		`{"behavior": 1}`:                  "behavior: a JSON number is not allowed here" + behaviors,
		`{"behaviour": "run"}`:             `json: unknown field "behaviour"` + behaviors,
		`{"behavior": "run", "reason": 1}`: "reason: a JSON number is not allowed here" + behaviors,
	} {
		var got api.SetIdleBehavior
		if assert.EqualError(t, json.Unmarshal([]byte(text), &got), says, text) {
			assert.Zero(t, got)
		}
	}
	const reasons = `; allowed: a reason as a string, {"reason": …, "by": …}, or nothing`
	for text, says := range map[string]string{
		`7`:              "a JSON number is not allowed here" + reasons,
		`[1]`:            "a JSON array is not allowed here" + reasons,
		`{"reason": 1}`:  "reason: a JSON number is not allowed here" + reasons,
		`{"why": "old"}`: `json: unknown field "why"` + reasons,
	} {
		var got api.Destroy
		if assert.EqualError(t, json.Unmarshal([]byte(text), &got), says, text) {
			assert.Zero(t, got)
		}
	}
}

func TestOrdersOfTooManyWordsAreRefusedOrClipped(t *testing.T) {
	long := strings.Repeat("ü", api.MaxReason)
	fits := api.SetIdleBehavior{Behavior: api.Hold, Reason: long, By: long[:2*api.MaxBy]}
	require.NoError(t, fits.Validate())
	assert.Equal(t, fits, fits.Clipped())
	require.NoError(t, api.Destroy{Reason: fits.Reason, By: fits.By}.Validate())
	assert.Equal(t, api.Destroy{Reason: fits.Reason, By: fits.By}, api.Destroy{Reason: fits.Reason, By: fits.By}.Clipped())

	for says, order := range map[string]api.SetIdleBehavior{
		"reason: has 1001 characters; allowed: at most 1000":                    {Behavior: api.Hold, Reason: long + "x"},
		"by: has 1000 characters; allowed: at most 200":                         {Behavior: api.Hold, By: long},
		`idle behavior "` + long[:200] + `" is not allowed: run, hold or drain`: {Behavior: api.Behavior(long)},
	} {
		assert.EqualError(t, order.Validate(), says)
		if order.Behavior == api.Hold {
			assert.EqualError(t, api.Destroy{Reason: order.Reason, By: order.By}.Validate(), says)
			assert.NoError(t, order.Clipped().Validate())
			assert.NoError(t, api.Destroy{Reason: order.Reason, By: order.By}.Clipped().Validate())
		}
	}
	assert.Equal(t, strings.Repeat("ü", api.MaxReason-1)+"…", api.SetIdleBehavior{Reason: long + "x"}.Clipped().Reason)
}

func TestWhatIsSaidOfNonsenseIsShortHoweverLongThatIs(t *testing.T) {
	long := strings.Repeat("7", 300_000)
	for _, order := range []string{`"` + long + `"`, long, `{"` + long + `": 1}`, `{"reason": ` + long + `}`, `["` + long + `"]`} {
		err := new(api.SetIdleBehavior).UnmarshalJSON([]byte(order))
		require.Error(t, err)
		assert.Less(t, len(err.Error()), 400)
		assert.Contains(t, err.Error(), "allowed")
	}
}
