// Package local is the driver whose instances are processes of this machine, each
// with a real SSH server of its own. It needs Linux 5.3 or later, and no privileges.
//
// An instance is a process in a session of its own, started from the running
// executable (/proc/self/exe, so that it works after the file was replaced or
// deleted), which is why every binary that creates instances calls RunIfInstance
// first thing in main. It outlives whoever created it, and a new driver for the
// same directory and fleet finds it again. What a real machine is to a container,
// the instance is to the processes that were started over its SSH: none of them
// survives it, whatever it did to get away (see mark).
//
// # What is on disk
//
// Everything of an instance is in <Directory>/<fleet>/<name>, which appears
// complete and disappears whole, by rename:
//
//	instance.json  what was asked for; never changes
//	tags.json      the tags
//	host_key       the SSH host key, mode 0600
//	alive          locked by the instance's process for as long as it lives
//	pid            the process ID of the instance's process, once it was started
//	address        where it listens, once it does
//	terminating    why it is being destroyed, once it is
//	preemption     when its provider takes it away, once that has been announced
//	console.log    what it and its init command wrote while booting
//	home           the working directory of everything that it runs
//	root           Instance.Root
//	tmp            TMPDIR
//
// Killing the process in pid with SIGKILL is a power cut; stopping it with SIGSTOP
// is a machine that hangs. Removing the directory ends the instance, too, within a
// few seconds.
//
// Beside the instances, <Directory>/<fleet>/.lock serialises creates, tags and
// removals of all workers, and .terminated/<name> remembers a destroyed instance
// for an hour, so that Create does not make it a second time.
package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"drover/internal/cloud"
)

// Config says where the instances of a fleet live and how they behave.
type Config struct {
	// Fleet is the fleet's name: a file name that does not begin with a dot.
	Fleet string
	// Directory is the absolute path under which the instances of all fleets live.
	// It is made when it is not there.
	Directory string
	// BootDelay is how long a new instance takes before it runs its init command
	// and answers SSH. It applies to instances that are created from now on.
	BootDelay time.Duration
	// Quota is how many instances of the fleet can exist at a time. 0: no limit.
	Quota int
}

// Driver is the local driver of one fleet. Any number of them, in any number of
// processes, may work on the same fleet.
type Driver struct {
	config Config
	fleet  string // the fleet's directory

	mu     sync.Mutex
	pruned time.Time // when old tombstones were last removed
}

var (
	_ cloud.Driver   = (*Driver)(nil)
	_ cloud.Consoler = (*Driver)(nil)
	_ cloud.Noticer  = (*Driver)(nil)
)

var (
	fleetName    = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,62}$`)
	instanceName = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
)

// New returns the driver of a fleet, and removes what a worker that died in the
// middle of a Destroy left behind. The class of an error is Invalid when cfg cannot
// work.
func New(cfg Config) (*Driver, error) {
	const op = "use the local driver"
	switch {
	case !fleetName.MatchString(cfg.Fleet):
		return nil, fail(op, cloud.Invalid, fmt.Errorf("fleet name %q is not a plain file name", cfg.Fleet))
	case !filepath.IsAbs(cfg.Directory):
		return nil, fail(op, cloud.Invalid, fmt.Errorf("directory %q is not an absolute path", cfg.Directory))
	case cfg.BootDelay < 0 || cfg.Quota < 0:
		return nil, fail(op, cloud.Invalid, errors.New("boot delay and quota cannot be negative"))
	}
	directory, err := makeDirectory(cfg.Directory)
	if err != nil {
		return nil, fail(op, "", err)
	}
	cfg.Directory = directory
	d := &Driver{config: cfg, fleet: filepath.Join(directory, cfg.Fleet)}
	if err := os.MkdirAll(filepath.Join(d.fleet, terminatedDirectory), 0o700); err != nil {
		return nil, fail(op, "", err)
	}
	if err := d.emptyTrash(); err != nil {
		return nil, fail(op, "", err)
	}
	return d, nil
}

// makeDirectory makes the directory and returns its path without symbolic links,
// so that two drivers that were given different paths to it agree on it.
func makeDirectory(path string) (string, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// path returns the directory of an instance.
func (d *Driver) path(name string) string { return filepath.Join(d.fleet, name) }

// fail returns err as an error of this driver. The context's own errors stay
// recognisable, without a class.
func fail(op string, class cloud.Class, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		class = ""
	}
	return &cloud.Error{Class: class, Op: op, Err: err}
}
