package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The files of an instance, in its directory. The package comment says what is in
// them.
const (
	recordFile      = "instance.json"
	tagsFile        = "tags.json"
	hostKeyFile     = "host_key"
	aliveFile       = "alive"
	pidFile         = "pid"
	addressFile     = "address"
	terminatingFile = "terminating"
	consoleFile     = "console.log"
	homeDirectory   = "home"
	rootDirectory   = "root"
	tmpDirectory    = "tmp"
)

// record is what was asked for. It is written before the instance's directory
// appears and never again.
type record struct {
	Name          string        `json:"name"`
	Fleet         string        `json:"fleet"`
	CloudID       string        `json:"cloud_id"`
	ProviderType  string        `json:"provider_type"`
	Preemptible   bool          `json:"preemptible"`
	AuthorizedKey string        `json:"authorized_key"`
	User          string        `json:"user"`
	InitCommand   string        `json:"init_command"`
	BootDelay     time.Duration `json:"boot_delay"`
	CreatedAt     time.Time     `json:"created_at"`
}

// errCorrupt says that a file does not contain what was written to it, such as after
// a power cut of this machine.
type errCorrupt struct {
	path string
	err  error
}

// Error names the file.
func (e errCorrupt) Error() string { return fmt.Sprintf("%s: %v", e.path, e.err) }

// readRecord returns the record in an instance's directory.
func readRecord(directory string) (record, error) {
	var r record
	err := readJSON(filepath.Join(directory, recordFile), &r)
	return r, err
}

func readJSON(path string, value any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, value); err != nil {
		return errCorrupt{path: path, err: err}
	}
	return nil
}

// isLost reports whether err of readJSON means that what was written is lost, and
// not that it could not be read just now.
func isLost(err error) bool {
	corrupt := errCorrupt{}
	return errors.As(err, &corrupt) || errors.Is(err, fs.ErrNotExist)
}

func writeJSON(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return writeFile(path, append(data, '\n'))
}

// writeFile replaces the file at path by one with that content and mode 0600. A
// reader sees the old content or the new one, whole.
func writeFile(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(f.Name())))
	}
	return nil
}

// readLine returns the content of a small file without the newline at its end, and
// whether there is such a file.
func readLine(path string) (string, bool, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return strings.TrimSuffix(string(data), "\n"), err == nil, err
}

// writePID records the process of the instance. Its starter and the process itself
// both do it, with the same content, as either may die before it gets there.
func writePID(directory string, pid int) error {
	return writeFile(filepath.Join(directory, pidFile), []byte(strconv.Itoa(pid)+"\n"))
}

// exists reports whether there is a file at path.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	return err == nil, ignoreMissing(err)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
