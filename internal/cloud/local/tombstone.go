package local

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"drover/internal/cloud"
)

const (
	terminatedDirectory = ".terminated"
	// remember is how long a destroyed instance can still be asked for, as on EC2.
	remember   = time.Hour
	pruneEvery = time.Minute
)

// bury remembers that an instance has ended. The caller holds the fleet's lock.
func (d *Driver) bury(instance cloud.Instance) error {
	directory := filepath.Join(d.fleet, terminatedDirectory)
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	return writeJSON(filepath.Join(directory, instance.Name), instance)
}

// buried returns an instance that has ended within the last hour. The error is
// fs.ErrNotExist when there was none of that name.
func (d *Driver) buried(name string) (cloud.Instance, error) {
	var instance cloud.Instance
	err := readJSON(filepath.Join(d.fleet, terminatedDirectory, name), &instance)
	return instance, err
}

// prune forgets what ended more than an hour ago. It looks at most once a minute.
func (d *Driver) prune(now time.Time) error {
	d.mu.Lock()
	due := now.Sub(d.pruned) >= pruneEvery
	if due {
		d.pruned = now
	}
	d.mu.Unlock()
	if !due {
		return nil
	}
	directory := filepath.Join(d.fleet, terminatedDirectory)
	entries, err := os.ReadDir(directory)
	if err != nil {
		return ignoreMissing(err)
	}
	var failed error
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && now.Sub(info.ModTime()) > remember {
			err = os.Remove(filepath.Join(directory, entry.Name()))
		}
		failed = errors.Join(failed, ignoreMissing(err))
	}
	return failed
}
