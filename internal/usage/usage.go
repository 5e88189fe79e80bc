// Package usage says what is wrong with a command line: in one line, with what is allowed.
package usage

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// ExitStatus is that of a program whose command line is wrong.
const ExitStatus = 2

// Error is a wrong command line.
type Error struct{ Err error }

// Error is the cause's text.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an Error.
func Errorf(format string, values ...any) error {
	return &Error{Err: fmt.Errorf(format, values...)}
}

// Flag makes an Error of what is wrong with a flag of a command. It is for
// cobra.Command.SetFlagErrorFunc.
func Flag(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var bare *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		name := "--" + unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() != "" {
			name = "-" + unknown.GetSpecifiedName()
		}
		return Errorf("%s: there is no flag %q; allowed: %s", c.Name(), name, flagsOf(c))
	case errors.As(err, &bare):
		return Errorf("%s: --%s needs a value: %s", c.Name(), bare.GetFlag().Name, bare.GetFlag().Usage)
	case errors.As(err, &invalid):
		if what := allowed(invalid.GetFlag()); what != "" {
			return Errorf("%s: --%s: %q is not allowed: %s", c.Name(), invalid.GetFlag().Name, invalid.GetValue(), what)
		}
		return Errorf("%s: --%s: %w", c.Name(), invalid.GetFlag().Name, errors.Unwrap(invalid))
	}
	return Errorf("%s: %w; allowed: %s", c.Name(), err, flagsOf(c))
}

// Arguments makes Errors of what a check of arguments finds, and says what is expected.
func Arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return Errorf("%s: %w; usage: %s", c.Name(), err, c.UseLine())
		}
		return nil
	}
}

// NoArguments is a check of arguments that allows none.
func NoArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("takes no arguments, not %q", args[0])
	}
	return nil
}

// flagsOf lists the flags of a command.
func flagsOf(c *cobra.Command) string {
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	})
	return strings.Join(names, ", ")
}

// allowed says what values a flag takes. Empty: its own error does.
func allowed(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "int":
		return "a whole number"
	case "uint64":
		return "a whole number, 0 or more"
	case "float64":
		return "a number"
	case "bool":
		return "true or false"
	case "duration":
		return "a duration such as 90s or 1h30m"
	case "stringToInt":
		return "NAME=N, with a whole number N"
	}
	return ""
}
