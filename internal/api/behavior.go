package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Behavior is what an instance does when nothing runs on it.
type Behavior string

// The idle behaviors.
const (
	Run   Behavior = "run"   // takes containers; goes when idle for the idle timeout
	Hold  Behavior = "hold"  // takes none and stays, whatever happens
	Drain Behavior = "drain" // takes none and goes when nothing runs
)

// ParseBehavior returns the behavior of that name.
func ParseBehavior(s string) (Behavior, error) {
	switch b := Behavior(s); b {
	case Run, Hold, Drain:
		return b, nil
	}
	return "", fmt.Errorf("idle behavior %.100q is not allowed: run, hold or drain", s)
}

// SetIdleBehavior is the payload of SignalSetIdleBehavior and UpdateIdleBehavior.
// Its JSON may also be the behavior alone, as a string.
type SetIdleBehavior struct {
	Behavior Behavior `json:"behavior"`
	Reason   string   `json:"reason,omitempty"`
	By       string   `json:"by,omitempty"`
}

// UnmarshalJSON decodes a string or an object, and refuses unknown behaviors.
func (s *SetIdleBehavior) UnmarshalJSON(data []byte) error {
	type plain SetIdleBehavior
	var p plain
	if strings.HasPrefix(strings.TrimSpace(string(data)), `"`) {
		if err := json.Unmarshal(data, &p.Behavior); err != nil {
			return err
		}
	} else if err := strictly(data, &p); err != nil {
		return fmt.Errorf(`%w; allowed: "run", "hold", "drain" or {"behavior": …, "reason": …, "by": …}`, err)
	}
	if _, err := ParseBehavior(string(p.Behavior)); err != nil {
		return err
	}
	*s = SetIdleBehavior(p)
	return nil
}

// Validate says, in one line, what is wrong with the order, if anything.
func (s SetIdleBehavior) Validate() error {
	if _, err := ParseBehavior(string(s.Behavior)); err != nil {
		return err
	}
	return checkWords(s.Reason, s.By)
}

// Clipped is the order with no more words than Validate allows.
func (s SetIdleBehavior) Clipped() SetIdleBehavior {
	s.Reason, s.By = Clip(s.Reason, MaxReason), Clip(s.By, MaxBy)
	return s
}

// Destroy is the payload of SignalDestroy and UpdateDestroy. Its JSON may also be
// the reason alone, as a string, or null.
type Destroy struct {
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
}

// UnmarshalJSON decodes a string, an object or null.
func (d *Destroy) UnmarshalJSON(data []byte) error {
	type plain Destroy
	var p plain
	if strings.HasPrefix(strings.TrimSpace(string(data)), `"`) {
		if err := json.Unmarshal(data, &p.Reason); err != nil {
			return err
		}
	} else if err := strictly(data, &p); err != nil {
		return fmt.Errorf(`%w; allowed: a reason as a string, {"reason": …, "by": …}, or nothing`, err)
	}
	*d = Destroy(p)
	return nil
}

// Validate says, in one line, what is wrong with the order, if anything.
func (d Destroy) Validate() error { return checkWords(d.Reason, d.By) }

// Clipped is the order with no more words than Validate allows.
func (d Destroy) Clipped() Destroy {
	return Destroy{Reason: Clip(d.Reason, MaxReason), By: Clip(d.By, MaxBy)}
}

// MaxReason and MaxBy are how many characters the reason of an order may have, and the name
// of who gives it: an instance keeps them, and Temporal takes 2 MB of it in all.
const (
	MaxReason = 1000
	MaxBy     = 200
)

func checkWords(reason, by string) error {
	if n := utf8.RuneCountInString(reason); n > MaxReason {
		return fmt.Errorf("reason: has %d characters; allowed: at most %d", n, MaxReason)
	}
	if n := utf8.RuneCountInString(by); n > MaxBy {
		return fmt.Errorf("by: has %d characters; allowed: at most %d", n, MaxBy)
	}
	return nil
}

// Clip returns the text in at most so many characters, for people.
func Clip(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

// strictly decodes JSON, and refuses keys that there are not.
func strictly(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var mistyped *json.UnmarshalTypeError
	if errors.As(err, &mistyped) {
		what := fmt.Sprintf("a JSON %s is not allowed here", Clip(mistyped.Value, 100))
		if mistyped.Field != "" {
			what = mistyped.Field + ": " + what
		}
		return errors.New(what)
	}
	if err != nil {
		return errors.New(Clip(err.Error(), 200)) // it may quote a key
	}
	return nil
}
