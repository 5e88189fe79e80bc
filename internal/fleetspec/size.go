package fleetspec

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
)

// Size is a number of bytes that is text in YAML and JSON: "4GiB", "50GB", "0". It
// is never negative where it was read from text.
//
// The parser is our own because sizes must survive a round trip exactly and GB must
// not mean GiB: the known libraries go through float64, and round or mix the two.
type Size int64

const allowedSize = "a number with B, KiB, MiB, GiB, TiB, KB, MB, GB or TB, as in 512MiB, or 0"

// sizeUnits are in order of preference where the text of a size is equally short.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

var sizePattern = regexp.MustCompile(`^([0-9]{1,19}(?:\.[0-9]{1,12})?) ?([KMGT]i?B|B|)$`)

// Bytes returns the size in bytes.
func (s Size) Bytes() int64 { return int64(s) }

// String is exact, in the unit that makes the smallest whole number; the zero size
// is "0".
func (s Size) String() string {
	if s == 0 {
		return "0"
	}
	best := sizeUnits[len(sizeUnits)-1]
	for _, unit := range sizeUnits {
		if int64(s)%unit.bytes == 0 && unit.bytes > best.bytes {
			best = unit
		}
	}
	return strconv.FormatInt(int64(s)/best.bytes, 10) + best.name
}

// MarshalText returns what String does. A negative size is an error.
func (s Size) MarshalText() ([]byte, error) {
	if s < 0 {
		return nil, fmt.Errorf("a size of %d bytes: is negative", int64(s))
	}
	return []byte(s.String()), nil
}

// UnmarshalText accepts a number with a unit, binary (KiB, MiB, GiB, TiB) or decimal
// (KB, MB, GB, TB), or without one for bytes. A fraction must come to whole bytes.
func (s *Size) UnmarshalText(text []byte) error {
	match := sizePattern.FindSubmatch(text)
	if match == nil {
		return fmt.Errorf("%s is not a size; allowed: %s", quote(string(text)), allowedSize)
	}
	value, ok := new(big.Rat).SetString(string(match[1]))
	if !ok {
		return fmt.Errorf("%s is not a size; allowed: %s", quote(string(text)), allowedSize)
	}
	for _, unit := range sizeUnits {
		if unit.name == string(match[2]) {
			value.Mul(value, new(big.Rat).SetInt64(unit.bytes))
		}
	}
	if !value.IsInt() || !value.Num().IsInt64() {
		return fmt.Errorf("%s is not a size; allowed: a whole number of bytes below 8388608TiB", quote(string(text)))
	}
	*s = Size(value.Num().Int64())
	return nil
}

// MarshalJSON encodes the size as a JSON string of its text. A negative size is an
// error.
func (s Size) MarshalJSON() ([]byte, error) {
	text, err := s.MarshalText()
	if err != nil {
		return nil, err
	}
	return json.Marshal(string(text))
}

// UnmarshalJSON accepts a JSON string of a size's text, or a whole number of bytes.
// Null leaves the size as it is.
func (s *Size) UnmarshalJSON(data []byte) error {
	text, err := jsonScalar(data)
	if err != nil {
		return fmt.Errorf("%s is not a size; allowed: %s", quote(string(data)), allowedSize)
	}
	if text == nil {
		return nil
	}
	return s.UnmarshalText(text)
}
