package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// forget drops everything about an ended container but its result. An ID that is not
// on record has nothing to drop.
func (s store) forget(id string) error {
	rec := s.record(id)
	state, err := rec.state()
	if err != nil {
		return err
	}
	switch state {
	case unknown:
		return nil
	case running, stale:
		return fmt.Errorf("container %s still runs", id)
	case lost:
		if err := rec.settle(); err != nil {
			return err
		}
		return s.forget(id)
	case ended:
	}
	// The output first: from then on `logs` says that it is gone, not that it is short.
	for _, name := range []string{outputFile, tailFile, waitingFile, revokedFile, metaFile, heldFile, panicFile, cidFile, reservedFile, lockFile} {
		if err := os.Remove(rec.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		atPoint("forget/" + name)
	}
	return removeAll(rec.path(workDir))
}

// removeAll removes a tree, also one whose owner has locked himself out of it.
func removeAll(path string) error {
	if os.RemoveAll(path) == nil {
		return nil
	}
	// Errors show in the second try.
	_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}
