package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"go.temporal.io/sdk/workflow"

	"drover/internal/fleetspec"
)

// ParseContainerSpec decodes the input of the Container workflow, fills in the defaults, and
// validates it. Errors are one line.
func ParseContainerSpec(input []byte) (ContainerSpec, error) {
	spec := DefaultContainerSpec()
	if !json.Valid(input) {
		return spec, fmt.Errorf("container spec: is not JSON; allowed: an object with the keys %s", specKeys)
	}
	if err := json.Unmarshal(input, &spec); err != nil {
		return spec, err
	}
	return spec, spec.Validate()
}

// specError says in one line, and in the spec's words, what the decoder found.
func specError(data []byte, err error) error {
	var mistyped *json.UnmarshalTypeError
	if errors.As(err, &mistyped) {
		key, _, _ := strings.Cut(mistyped.Field, ".")
		return fmt.Errorf("container spec: %s: a JSON %s is not allowed here; allowed: %s", cmp.Or(key, "the spec"), mistyped.Value, allowedIn(key))
	}
	if key := textError(data); key != nil {
		return fmt.Errorf("container spec: %w", key)
	}
	return fmt.Errorf("container spec: %w; allowed: an object with the keys %s", err, specKeys)
}

// textError says which of the keys that are sizes and durations is wrong, if one is: the
// decoder's error does not name it.
func textError(data []byte) error {
	var values map[string]json.RawMessage
	if json.Unmarshal(data, &values) != nil {
		return nil
	}
	for _, key := range []struct {
		name string
		into json.Unmarshaler
	}{{"memory", new(fleetspec.Size)}, {"scratch", new(fleetspec.Size)}, {"timeout", new(fleetspec.Duration)}} {
		value, given := values[key.name]
		if !given {
			continue
		}
		if err := key.into.UnmarshalJSON(value); err != nil {
			return fmt.Errorf("%s: %w", key.name, err)
		}
	}
	return nil
}

const specKeys = "fleet, command, image, env, vcpus, memory, scratch, gpus, priority, preemptible, timeout, attempts"

// allowedIn says what a key of the spec takes. Empty is the spec itself.
func allowedIn(key string) string {
	switch key {
	case "fleet", "image":
		return "a string"
	case "command":
		return "a list of strings"
	case "env":
		return "an object whose values are strings"
	case "vcpus":
		return "a number"
	case "gpus", "priority", "attempts":
		return "a whole number"
	case "preemptible":
		return "true or false"
	}
	return "an object with the keys " + specKeys
}

// Bounds of what a spec may ask for: far beyond any machine, and far from overflow.
const (
	maxVCPUs    = 1e6
	maxAttempts = 100
	maxBytes    = fleetspec.Size(1 << 60)
	maxTimeout  = fleetspec.Duration(10 * 365 * 24 * time.Hour)
	// maxText is what the command, the image and the environment may have together. Twice as
	// much is more than Temporal takes.
	maxText = fleetspec.Size(1 << 20)
)

// Validate says, in one line, what is wrong with the spec, if anything.
func (s ContainerSpec) Validate() error {
	switch {
	case !fleetNamePattern.MatchString(s.Fleet):
		return fmt.Errorf("fleet: %.100q is not the name of a fleet; allowed: 1 to 40 lower-case letters, digits and dashes", s.Fleet)
	case len(s.Command) == 0 || s.Command[0] == "":
		return fmt.Errorf("command: is empty; allowed: a list that begins with a program")
	case !(s.VCPUs > 0 && s.VCPUs <= maxVCPUs):
		return fmt.Errorf("vcpus: %v is not allowed: a number above 0, and at most 1000000", s.VCPUs)
	case s.Memory < 0 || s.Memory > maxBytes:
		return fmt.Errorf("memory: %v is not allowed: a size of 0 or more, at most %v", s.Memory, maxBytes)
	case s.Scratch < 0 || s.Scratch > maxBytes:
		return fmt.Errorf("scratch: %v is not allowed: a size of 0 or more, at most %v", s.Scratch, maxBytes)
	case s.GPUs < 0 || s.GPUs > maxVCPUs:
		return fmt.Errorf("gpus: %d is not allowed: 0 to 1000000", s.GPUs)
	case s.Timeout < 0 || s.Timeout > maxTimeout:
		return fmt.Errorf("timeout: %v is not allowed: a duration such as 1h, at most %v, or 0 for no limit", s.Timeout, maxTimeout)
	case s.Attempts < 1 || s.Attempts > maxAttempts:
		return fmt.Errorf("attempts: %d is not allowed: 1 to %d", s.Attempts, maxAttempts)
	}
	return s.validateStrings()
}

var (
	fleetNamePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)
	// An image that began with a dash would be an option of the engine's command.
	imagePattern = regexp.MustCompile(`^[A-Za-z0-9][!-~]{0,499}$`)
)

func (s ContainerSpec) validateStrings() error {
	if s.Image != "" && !imagePattern.MatchString(s.Image) {
		return fmt.Errorf("image: %.100q is not the name of an image; allowed: up to 500 printable ASCII characters without spaces, a letter or digit first", s.Image)
	}
	size := len(s.Image)
	for k, arg := range s.Command {
		if !isText(arg) {
			return fmt.Errorf("command: argument %d, %.100q, is not text; allowed: UTF-8 without NUL bytes", k, arg)
		}
		size += len(arg)
	}
	for _, key := range workflow.DeterministicKeys(s.Env) {
		value := s.Env[key]
		switch {
		case key == "" || strings.Contains(key, "=") || !isText(key):
			return fmt.Errorf("env: %.100q is not the name of a variable; allowed: UTF-8 without '=' and NUL bytes", key)
		case !isText(value):
			return fmt.Errorf("env: the value of %s, %.100q, is not text; allowed: UTF-8 without NUL bytes", key, value)
		}
		size += len(key) + len(value)
	}
	if size > int(maxText) {
		return fmt.Errorf("command, image and env have %d bytes together; allowed: at most %v", size, maxText)
	}
	return nil
}

// isText reports whether a program can be given a string, and JSON keeps it as it is.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }
