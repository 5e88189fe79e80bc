package local

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"drover/internal/cloud"
)

// preemptionFile says, in RFC 3339, when the instance is taken away.
const preemptionFile = "preemption"

// NoticeCommand returns the command that prints when an instance is taken away.
func (d *Driver) NoticeCommand() string {
	return `cat "$` + markVariable + `/` + preemptionFile + `" 2>/dev/null || :`
}

// Preempt announces that an instance will be taken away at a time, and has it taken
// then, as a provider does with a spot instance. The class is NotFound when it does
// not run.
func (d *Driver) Preempt(ctx context.Context, name string, at time.Time) error {
	op := "preempt instance " + name
	instance, err := d.Get(ctx, name)
	if err != nil {
		return err
	}
	if !instance.Alive() {
		return fail(op, cloud.NotFound, fmt.Errorf("it is %s", instance.State))
	}
	line := at.UTC().Format(time.RFC3339) + "\n"
	if err := writeFile(filepath.Join(d.path(name), preemptionFile), []byte(line)); err != nil {
		return fail(op, "", err)
	}
	return nil
}

// errPreempted is why an instance ends that its provider takes away.
var errPreempted = errors.New("the instance is taken away")

// preempted returns errPreempted once the announced time has come.
func (m *machine) preempted() error {
	line, announced, err := readLine(filepath.Join(m.directory, preemptionFile))
	if err != nil || !announced {
		return err
	}
	at, err := time.Parse(time.RFC3339, line)
	if err != nil {
		return fmt.Errorf("%s: %w", preemptionFile, err)
	}
	if time.Now().Before(at) {
		return nil
	}
	return errPreempted
}
