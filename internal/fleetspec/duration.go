package fleetspec

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Duration is a time.Duration that is text in YAML and JSON: "10m", "1h30m", "0".
type Duration time.Duration

const allowedDuration = "a number with h, m, s or ms, as in 90s or 1h30m, or 0"

// D returns the duration as the standard library's.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String is the shortest exact text: units that are zero are left out, and the zero
// duration is "0".
func (d Duration) String() string {
	if d == 0 {
		return "0"
	}
	text := time.Duration(d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText returns what String does. It never fails.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText accepts what time.ParseDuration does: "0", or numbers that each have
// a unit. A bare number is an error, because nothing says what it counts.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%s is not a duration; allowed: %s", quote(string(text)), allowedDuration)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalJSON encodes the duration as a JSON string of its text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON accepts a JSON string of a duration's text, and the number 0. Null
// leaves the duration as it is.
func (d *Duration) UnmarshalJSON(data []byte) error {
	text, err := jsonScalar(data)
	if err != nil {
		return fmt.Errorf("%s is not a duration; allowed: %s", quote(string(data)), allowedDuration)
	}
	if text == nil {
		return nil
	}
	return d.UnmarshalText(text)
}

// jsonScalar returns the text of a JSON string or number, and nil for null.
func jsonScalar(data []byte) ([]byte, error) {
	if string(data) == "null" {
		return nil, nil
	}
	if len(data) > 0 && data[0] == '"' {
		var text string
		err := json.Unmarshal(data, &text)
		return []byte(text), err
	}
	var number json.Number
	err := json.Unmarshal(data, &number)
	return []byte(number), err
}

// quote returns the value in double quotes on one line, shortened if it is long.
func quote(value string) string {
	const longest = 60
	if runes := []rune(value); len(runes) > longest {
		value = string(runes[:longest-1]) + "…"
	}
	return fmt.Sprintf("%q", value)
}
