// Package faults makes any cloud driver go wrong on purpose, so that a fleet can
// rehearse what its provider may do to it one day: quotas, missing capacity, rate
// limits, calls that fail, answers that are late or lost.
//
// Like the driver that it wraps, it keeps nothing in memory that another worker would
// need. Every error that it makes up says that it is an injected fault.
package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"drover/internal/cloud"
	"drover/internal/fleetspec"
)

// Config says what goes wrong.
type Config struct {
	fleetspec.Faults
	// Fleet is the fleet's name: a plain file name.
	Fleet string
	// Directory is where the calls of this machine's workers are counted. It is made
	// when it is not there. Required for a quota or a limit per minute.
	Directory string
	// Seed makes the decisions about rates the same each time, for calls that come one
	// after another. 0: they differ.
	Seed uint64
	// Script, for tests, is asked about each call before it is made, and about each
	// that succeeded once more. An error that it returns is the call's. It may be
	// called concurrently. Nil: no script.
	Script func(Call) error
}

// Call is a call of the driver, as Config.Script sees it.
type Call struct {
	Kind Kind
	// Instance is the name of the instance that the call is about. Empty for List.
	Instance string
	// Number counts the calls of that kind to this wrapper, from 1.
	Number int
	// Done says that the provider has carried it out: an error loses the answer.
	Done bool
}

// Kind says which method of the driver is called.
type Kind string

// The kinds of calls.
const (
	Create  Kind = "create"
	Get     Kind = "get"
	List    Kind = "list"
	Destroy Kind = "destroy"
	Tag     Kind = "tag"
	Console Kind = "console"
)

var (
	errFailed = errors.New("injected fault: the call did not reach the provider")
	errLost   = errors.New("injected fault: the answer was lost")
	errDenied = errors.New("injected fault: the credentials are not valid")
)

// New returns a driver that does what the given one does, except where config says
// that something goes wrong. It has the optional interfaces of the given one, and no
// others.
func New(driver cloud.Driver, config Config) cloud.Driver {
	f := &faulty{driver: driver, config: config, numbers: map[Kind]int{}}
	seed := [2]uint64{config.Seed, 0}
	if config.Seed == 0 {
		seed = [2]uint64{rand.Uint64(), rand.Uint64()}
	}
	f.random = rand.New(rand.NewPCG(seed[0], seed[1]))
	// The types are made of what is there, because a method that is always there
	// would say that every driver has it.
	keeper, keeps := driver.(cloud.Consoler)
	noticer, warns := driver.(cloud.Noticer)
	switch read := (&console{faulty: f, consoler: keeper}); {
	case keeps && warns:
		return struct {
			cloud.Driver
			cloud.Consoler
			cloud.Noticer
		}{f, read, noticer}
	case keeps:
		return struct {
			cloud.Driver
			cloud.Consoler
		}{f, read}
	case warns:
		return struct {
			cloud.Driver
			cloud.Noticer
		}{f, noticer}
	}
	return f
}

// faulty is a driver with faults.
type faulty struct {
	driver cloud.Driver
	config Config

	mu      sync.Mutex
	random  *rand.Rand
	numbers map[Kind]int // calls so far
}

// console is what a driver with faults has besides if its provider keeps consoles.
type console struct {
	faulty   *faulty
	consoler cloud.Consoler
}

// Get is the driver's. What died at its launch says so.
func (f *faulty) Get(ctx context.Context, name string) (cloud.Instance, error) {
	c := call{kind: Get, op: "look for instance " + name, instance: name, faults: f.config.Get}
	instance, err := inject(ctx, f, c, func() (cloud.Instance, error) { return f.driver.Get(ctx, name) })
	if err == nil && !instance.Alive() && f.stillborn(name) {
		instance.Reason, instance.Refused = reasonStillborn, cloud.Capacity
	}
	return instance, err
}

// List is the driver's.
func (f *faulty) List(ctx context.Context) ([]cloud.Instance, error) {
	c := call{kind: List, op: "list the instances of fleet " + f.config.Fleet, faults: f.config.List}
	return inject(ctx, f, c, func() ([]cloud.Instance, error) { return f.driver.List(ctx) })
}

// Destroy is the driver's.
func (f *faulty) Destroy(ctx context.Context, name string) error {
	c := call{kind: Destroy, op: "destroy instance " + name, instance: name, faults: f.config.Destroy}
	_, err := inject(ctx, f, c, func() (struct{}, error) { return struct{}{}, f.driver.Destroy(ctx, name) })
	return err
}

// Tag is the driver's.
func (f *faulty) Tag(ctx context.Context, name string, tags map[string]string) error {
	c := call{kind: Tag, op: "tag instance " + name, instance: name, faults: f.config.Tag}
	_, err := inject(ctx, f, c, func() (struct{}, error) { return struct{}{}, f.driver.Tag(ctx, name, tags) })
	return err
}

// ConsoleOutput is the driver's. It fails as often as Get does.
func (c *console) ConsoleOutput(ctx context.Context, name string) (string, error) {
	read := call{kind: Console, op: "read the console of instance " + name, instance: name, faults: c.faulty.config.Get}
	return inject(ctx, c.faulty, read, func() (string, error) { return c.consoler.ConsoleOutput(ctx, name) })
}

// fail returns err as a driver's error.
func fail(op string, class cloud.Class, err error) error {
	return &cloud.Error{Class: class, Op: op, Err: err}
}

func injected(format string, args ...any) error {
	return fmt.Errorf("injected fault: "+format, args...)
}
