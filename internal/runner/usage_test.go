package runner

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestWhatIsWrongWithACall has the text of every refusal of a command line.
func TestWhatIsWrongWithACall(t *testing.T) {
	t.Parallel()
	const badID = " is no container ID; allowed: up to 128 of A-Z a-z 0-9 . _ ~ - that begin with a letter or digit"
	long := strings.Repeat("x", 129)
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, usageLine},
		{[]string{"execute", "c"}, `unknown call "execute"; ` + usageLine},
		{[]string{"wait"}, "wait takes one container ID; " + usageLine},
		{[]string{"wait", "a", "b"}, "wait takes one container ID; " + usageLine},
		{[]string{"list", "a"}, "list takes no arguments; " + usageLine},
		{[]string{"start", "../up"}, `"../up"` + badID},
		{[]string{"start", "a\nb"}, `"a\nb"` + badID},
		{[]string{"start", ""}, `""` + badID},
		{[]string{"start", long}, `"` + long + `"` + badID},
		{[]string{"logs", "c", "--offset", "-1"}, `--offset "-1" is no number of bytes; allowed: 0 or more`},
		{[]string{"logs", "c", "--offset", "x"}, `--offset "x" is no number of bytes; allowed: 0 or more`},
		{[]string{"logs", "c", "--follow=yes"}, "--follow takes no value"},
		{[]string{"run", "c", "--forget", "../up"}, `--forget "../up"` + badID},
		{[]string{"run", "c", "--after", "x y"}, `--after "x y"` + badID},
		{[]string{"run", "c", "--after="}, `--after ""` + badID},
		{[]string{"run", "c", "--after"}, "--after needs a value"},
		{[]string{"run", "--after", "c"}, "run takes one container ID; " + usageLine},
		{[]string{"run", "c", "--after", "c"}, `--after "c" is the container itself; allowed: the IDs of others`},
		{[]string{"start", "c", "--after", "d"}, "unknown option --after; " + usageLine},
		{[]string{"revoke"}, "revoke takes one container ID; " + usageLine},
		{[]string{"revoke", "c", "--signal", "TERM"}, "unknown option --signal; " + usageLine},
		{[]string{"wait", "c", "--follow"}, "unknown option --follow; " + usageLine},
		{[]string{"--help"}, "unknown option --help; " + usageLine},
		{[]string{"--directory"}, "--directory needs a value"},
		{[]string{"kill", "c", "--signal"}, "--signal needs a value"},
		{[]string{"kill", "c", "--signal", "NOPE"}, `--signal: "NOPE" is no signal; allowed: a name such as TERM, or 1 to 64`},
		{[]string{"kill", "c", "--signal", "65"}, `--signal: "65" is no signal; allowed: a name such as TERM, or 1 to 64`},
	} {
		_, err := parseCall(c.args)
		assert.EqualError(t, err, c.says, c.args)
		assert.ErrorAs(t, err, new(usageError))
	}
}

// TestWhatIsWrongWithASpec has the text of every refusal of a spec.
func TestWhatIsWrongWithASpec(t *testing.T) {
	t.Parallel()
	for spec, says := range map[string]string{
		`{`:                                      "spec is not valid JSON: unexpected end of JSON input",
		`{"command":"true"}`:                     "spec is not valid JSON: json: cannot unmarshal string into Go struct field Spec.command of type []string",
		`{}`:                                     "spec: command is empty",
		`{"command":["a\u0000b"]}`:               "spec: command has a zero byte in it",
		`{"command":["a"],"env":{"A=B":""}}`:     `spec: "A=B" cannot be the name of an environment variable`,
		`{"command":["a"],"env":{"A":"\u0000"}}`: "spec: env A has a zero byte in it",
		`{"command":["a"],"image":"i"}`:          `spec: image "i" needs engine docker or podman`,
		`{"command":["a"],"image":"i","engine":"process"}`:     `spec: image "i" needs engine docker or podman`,
		`{"command":["a"],"image":"i","engine":"lxc"}`:         `spec: engine "lxc" is none of process, docker, podman`,
		`{"command":["a"],"image":"-v/:/x","engine":"docker"}`: `spec: "-v/:/x" cannot be an image`,
		`{"command":["a"],"timeout":"soon"}`:                   `spec: timeout "soon" is not a duration such as 90s or 1h`,
		`{"command":["a"],"timeout":"-1s"}`:                    `spec: timeout "-1s" is negative`,
		`{"command":["a"],"memory":-1}`:                        "spec: memory, vcpus, gpus and output_limit cannot be negative",
	} {
		_, err := ParseSpec([]byte(spec))
		assert.EqualError(t, err, says, spec)
	}
}
