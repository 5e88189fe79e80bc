package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// errTaken: the ID has a record already.
var errTaken = errors.New("container is on record already")

// abandonedAfter is the age from which a record in the making that nobody holds is
// taken for the remains of a crash.
const abandonedAfter = time.Minute

// create makes the record of a new container. One rename puts it in its place, with
// everything that fill made in it, unless the ID is taken: then it returns errTaken
// and leaves nothing. It returns the record's lock, held from before the rename on.
// With any other error the record may be in place; then the lock is not nil.
func (s store) create(id string, fill func(dir string) error) (*os.File, error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.starting(), "")
	if err != nil {
		return nil, err
	}
	atPoint("create/directory")
	lock, err := takeLock(filepath.Join(dir, lockFile), unix.LOCK_NB)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err = fill(dir); err == nil {
		err = syncDir(dir)
	}
	atPoint("create/filled")
	if err == nil {
		err = s.place(dir, id)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir), lock.Close())
	}
	atPoint("create/placed")
	// Before this the container must not run: a power cut could lose the record of
	// a container that has run, and it would run again.
	return lock, syncDir(s.containers())
}

// place moves a finished record to where it belongs. A record is never empty, and no
// directory can be renamed over one that is not empty: of two, one succeeds.
func (s store) place(dir, id string) error {
	err := os.Rename(dir, s.record(id).dir)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		return errors.Join(errTaken, syncDir(s.containers()))
	}
	return err
}

// prepare makes the directories of the store.
func (s store) prepare() error {
	for _, dir := range []string{s.containers(), s.starting()} {
		if _, err := os.Stat(dir); err == nil {
			continue
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := syncDir(s.root); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes what crashed calls of create have left.
func (s store) sweep(now time.Time) error {
	entries, err := os.ReadDir(s.starting())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		dir := filepath.Join(s.starting(), e.Name())
		info, err := os.Stat(dir)
		if err != nil || now.Sub(info.ModTime()) < abandonedAfter {
			continue // gone meanwhile, or too young to tell
		}
		locked, err := isLocked(filepath.Join(dir, lockFile))
		if err != nil {
			return err
		}
		if !locked {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// fillStart makes the contents of the record of a container that is about to start.
func fillStart(dir string, m meta) error {
	space, err := reserve(dir)
	if err != nil {
		return err
	}
	// Space last: on a file system with a journal the sync of the meta data does its work, too.
	return errors.Join(fillWith(dir, m), space.Sync(), space.Close())
}

// fillWith makes all but the space that is set aside.
func fillWith(dir string, m meta) error {
	for _, name := range []string{outputFile, heldFile, panicFile} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	if err := os.Mkdir(filepath.Join(dir, workDir), 0o755); err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := writeDurably(filepath.Join(dir, metaFile), data); err != nil {
		return err
	}
	atPoint("create/meta")
	return nil
}

// fence records a container that never started as ended, so that it cannot start any
// more; why says what ended it. It returns errTaken when the container is on record.
func (s store) fence(id string, why Result) error {
	data, err := json.Marshal(notBegun(why))
	if err != nil {
		return err
	}
	lock, err := s.create(id, func(dir string) error {
		return writeDurably(filepath.Join(dir, resultFile), append(data, '\n'))
	})
	if lock != nil {
		err = errors.Join(err, lock.Close())
	}
	if err != nil {
		return fmt.Errorf("fence off %s: %w", id, err)
	}
	return nil
}
