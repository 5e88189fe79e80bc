package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const trashPrefix = ".old-"

// DestroyAll destroys every instance of every fleet under a directory, and then
// removes the directory with all that is in it. No worker may be using it any more.
// It is for the end of `drover dev`.
func DestroyAll(ctx context.Context, directory string) error {
	op := "destroy all instances under " + directory
	if found, err := exists(directory); !found {
		if err != nil {
			return fail(op, "", err)
		}
		return nil
	}
	directory, err := filepath.EvalSymlinks(directory)
	if err != nil {
		return fail(op, "", err)
	}
	fleets, err := os.ReadDir(directory)
	if err != nil {
		return fail(op, "", err)
	}
	group, groupContext := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, fleet := range fleets {
		if !fleet.IsDir() || !fleetName.MatchString(fleet.Name()) {
			continue
		}
		d, err := New(Config{Fleet: fleet.Name(), Directory: directory})
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		names, err := d.names()
		if err != nil {
			return errors.Join(fail(op, "", err), group.Wait())
		}
		for _, name := range names {
			group.Go(func() error { return d.Destroy(groupContext, name) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := removeTree(directory); err != nil {
		return fail(op, "", err)
	}
	return nil
}

// emptyTrash removes what a worker that died in Destroy left of its instance.
func (d *Driver) emptyTrash() error {
	entries, err := os.ReadDir(d.fleet)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), trashPrefix) {
			if err := removeTree(filepath.Join(d.fleet, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeTree removes a directory and all that is in it, write-protected directories
// as well. What is mounted in it is unmounted first, so that nothing that belongs
// elsewhere is removed.
func removeTree(path string) error {
	if err := unmountUnder(path); err != nil {
		return err
	}
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	walk := func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return ignoreMissing(err)
		}
		if entry.IsDir() {
			return ignoreMissing(os.Chmod(path, 0o700))
		}
		return nil
	}
	// WalkDir reads a directory only after walk has made it readable.
	if err := filepath.WalkDir(path, walk); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// unmountUnder detaches every file system that is mounted under a directory.
func unmountUnder(directory string) (err error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var points []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		if point := unescape(fields[4]); strings.HasPrefix(point, directory+"/") {
			points = append(points, point)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	for i := len(points) - 1; i >= 0; i-- { // the latest is on top
		err := unix.Unmount(points[i], unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // unmounted meanwhile
			return fmt.Errorf("unmount %s: %w", points[i], err)
		}
	}
	return nil
}

// unescape decodes the octal escapes of blanks in /proc/self/mountinfo.
func unescape(field string) string {
	var plain strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+3 < len(field) {
			if code, err := strconv.ParseUint(field[i+1:i+4], 8, 8); err == nil {
				plain.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		plain.WriteByte(field[i])
	}
	return plain.String()
}
