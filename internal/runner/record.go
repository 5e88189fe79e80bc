package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The files of a record; see the package comment.
const (
	metaFile     = "record.json"
	lockFile     = "lock"
	heldFile     = "held"
	outputFile   = "output"
	tailFile     = "tail"
	workDir      = "work"
	reservedFile = ".result"
	resultFile   = "result.json"
	panicFile    = "supervisor.log"
	cidFile      = "cid"
)

// errUnknownID: there is no record of that container.
var errUnknownID = errors.New("no such container")

// atPoint is called between the steps that a crash may separate. Tests replace it
// with one that ends the process; in the runner it does nothing.
var atPoint = func(string) {}

// store is a state directory.
type store struct{ root string }

func (s store) containers() string { return filepath.Join(s.root, "containers") }
func (s store) starting() string   { return filepath.Join(s.root, "starting") }

func (s store) record(id string) record {
	return record{id: id, dir: filepath.Join(s.containers(), id)}
}

// record is the directory of one container.
type record struct{ id, dir string }

func (r record) path(name string) string { return filepath.Join(r.dir, name) }

// meta is record.json.
type meta struct {
	Spec       Spec      `json:"spec"`
	CreatedAt  time.Time `json:"created_at"`
	Supervisor int       `json:"supervisor"`      // its process ID; means nothing unless the lock is held
	After      []string  `json:"after,omitempty"` // it begins when one of these has ended
	Boot       string    `json:"boot,omitempty"`  // the boot ID, when After is not empty
}

func (r record) meta() (meta, error) {
	var m meta
	data, err := os.ReadFile(r.path(metaFile))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("record of %s cannot be read: %w", r.id, err)
	}
	return m, nil
}

// state is where a container is in its life, as its record and locks tell.
type state int

const (
	unknown state = iota // no record
	running              // its supervisor lives
	stale                // its supervisor is gone, but something of it still runs
	lost                 // everything is gone, and no result was recorded
	ended                // it has a result
)

// state looks at the record. It changes nothing.
func (r record) state() (state, error) {
	if _, err := os.Stat(r.dir); errors.Is(err, fs.ErrNotExist) {
		return unknown, nil
	} else if err != nil {
		return unknown, err
	}
	if done, err := r.hasResult(); done || err != nil {
		return ended, err
	}
	if locked, err := isLocked(r.path(lockFile)); locked || err != nil {
		return running, err
	}
	// The supervisor may have finished between the two looks.
	if done, err := r.hasResult(); done || err != nil {
		return ended, err
	}
	if left, err := r.hasLeftovers(); left || err != nil {
		return stale, err
	}
	return lost, nil
}

func (r record) hasResult() (bool, error) { return r.has(resultFile) }

func (r record) has(name string) (bool, error) {
	_, err := os.Lstat(r.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// settle records the result of a container that is lost: it ended unseen. It does
// nothing to any other.
func (r record) settle() error {
	lock, err := takeLock(r.path(lockFile), 0)
	if err != nil {
		return err
	}
	return errors.Join(r.settleLocked(), lock.Close())
}

func (r record) settleLocked() error {
	if done, err := r.hasResult(); done || err != nil {
		return err
	}
	if left, err := r.hasLeftovers(); left || err != nil {
		return err
	}
	decided, fateErr := r.fate()
	if decided != begins {
		return r.writeResult(notBegun(whyNotBegun(decided)))
	}
	now := time.Now().UTC()
	res := storedResult{Result: Result{ExitCode: ExitUnknown, StartedAt: now, FinishedAt: now,
		Error: "the supervisor of this container died; how the container ended is not known"}}
	m, err := r.meta()
	if err == nil {
		res.StartedAt = m.CreatedAt
		err = removeFromEngine(r, m.Spec)
	}
	if err := errors.Join(fateErr, err); err != nil {
		res.Error += " (" + err.Error() + ")"
	}
	return r.writeResult(res)
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) { // a file system whose directories cannot be synced
		err = nil
	}
	return errors.Join(err, d.Close())
}

// release closes what nothing was written to, or nothing that could be lost.
func release(c io.Closer) { c.Close() }

// writeDurably writes a new file and has it on disk before it returns.
func writeDurably(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
