package cloud

import (
	"errors"
	"fmt"
	"time"
)

// Class says what an error means for the fleet. Drivers classify; nobody else
// looks into the text of a provider's error.
type Class string

// The classes of errors. The zero Class is an error of no known class: it is
// retried with backoff.
const (
	Quota     Class = "quota"      // as many as the account may have of what Scope names; fewer must live before more can
	Capacity  Class = "capacity"   // the provider has none of what Scope names, for the time being
	RateLimit Class = "rate-limit" // too many calls; none before RetryAt
	NotFound  Class = "not-found"  // no such instance
	Denied    Class = "denied"     // credentials are missing, wrong or may not do this; retrying is of no use
	Invalid   Class = "invalid"    // the request can never work as it is (unknown image, type, subnet)
)

// Scope says how much a Capacity or Quota error rules out.
type Scope string

// The scopes of a Capacity or Quota error, from the narrowest.
const (
	ScopeType  Scope = "type"  // this instance type
	ScopeGroup Scope = "group" // every instance type of Error.Group
	ScopeAll   Scope = "all"   // anything
)

// Error is an error of a driver, with its class.
type Error struct {
	Class Class
	// Op says what was being done to which instance: "create instance default-3f2a".
	Op string
	// Scope says how much a Capacity or Quota error rules out. Empty: anything, and for
	// other classes.
	Scope Scope
	// Group is the quota or capacity group that ScopeGroup speaks of.
	Group string
	// RetryAt is the earliest time at which a RateLimit lets the same kind of call
	// through. The zero value: unknown.
	RetryAt time.Time
	// Err is the provider's error.
	Err error
}

// Error returns the operation and the provider's words.
func (e *Error) Error() string {
	if e.Class == "" {
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v", e.Op, e.Class, e.Err)
}

// Unwrap returns the provider's error.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of the first *Error in err's chain, or the zero Class.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return ""
}
