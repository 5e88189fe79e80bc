package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"drover/internal/cloud"
)

const consoleTail = 64 << 10

// sight is what the files of an instance say about it.
type sight struct {
	cloud.Instance
	// ending: it is marked as terminating, or its process died. What is left of it
	// is to be ended by whoever sees it.
	ending bool
}

// Get returns an instance as cloud.Driver says. When the instance's process died,
// Get first ends what is left of it: only then is it Terminated.
func (d *Driver) Get(ctx context.Context, name string) (cloud.Instance, error) {
	op := "look for instance " + name
	if err := ctx.Err(); err != nil {
		return cloud.Instance{}, fail(op, "", err)
	}
	if !instanceName.MatchString(name) {
		return cloud.Instance{}, fail(op, cloud.NotFound, errors.New("there can be none of that name"))
	}
	instance, err := d.see(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		instance, err = d.buried(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return cloud.Instance{}, fail(op, cloud.NotFound, errors.New("no such instance"))
	}
	if err != nil {
		return cloud.Instance{}, fail(op, "", err)
	}
	return instance, nil
}

// List returns the instances of the fleet as cloud.Driver says. It ends what is left
// of those whose process died, and then leaves them out.
func (d *Driver) List(ctx context.Context) ([]cloud.Instance, error) {
	op := "list the instances of fleet " + d.config.Fleet
	if err := ctx.Err(); err != nil {
		return nil, fail(op, "", err)
	}
	reapChildren()
	names, err := d.names()
	if err != nil {
		return nil, fail(op, "", err)
	}
	instances := make([]cloud.Instance, 0, len(names))
	for _, name := range names {
		instance, err := d.see(ctx, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fail(op, "", err)
		default:
			instances = append(instances, instance)
		}
	}
	return instances, nil
}

// ConsoleOutput returns the last 64 KiB of what the instance and its init command
// wrote while booting. The class is NotFound once the instance is terminated.
func (d *Driver) ConsoleOutput(ctx context.Context, name string) (output string, err error) {
	op := "read the console of instance " + name
	if err := ctx.Err(); err != nil {
		return "", fail(op, "", err)
	}
	if !instanceName.MatchString(name) {
		return "", fail(op, cloud.NotFound, errors.New("there can be none of that name"))
	}
	output, err = tail(filepath.Join(d.path(name), consoleFile), consoleTail)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fail(op, cloud.NotFound, errors.New("no such instance"))
	}
	if err != nil {
		return "", fail(op, "", err)
	}
	return output, nil
}

// PID returns the ID of the process that is the instance, for those who want to
// kill or stop it as a machine loses power or hangs. The class is NotFound when it
// does not run.
func (d *Driver) PID(ctx context.Context, name string) (int, error) {
	op := "find the process of instance " + name
	instance, err := d.Get(ctx, name)
	if err != nil {
		return 0, err
	}
	line, found, err := readLine(filepath.Join(d.path(name), pidFile))
	if err != nil {
		return 0, fail(op, "", err)
	}
	if !found || !instance.Alive() {
		return 0, fail(op, cloud.NotFound, fmt.Errorf("it is %s", instance.State))
	}
	pid, err := strconv.Atoi(line)
	if err != nil {
		return 0, fail(op, "", err)
	}
	return pid, nil
}

// names returns the names of the instances that have a directory.
func (d *Driver) names() ([]string, error) {
	directory, err := os.Open(d.fleet)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	all, err := directory.Readdirnames(-1)
	if err := errors.Join(err, directory.Close()); err != nil {
		return nil, err
	}
	names := all[:0]
	for _, name := range all {
		if instanceName.MatchString(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// see returns an instance that has a directory, after ending what is left of it if
// it is to end. The error is fs.ErrNotExist when it has, or then has, none.
func (d *Driver) see(ctx context.Context, name string) (cloud.Instance, error) {
	seen, err := d.inspect(name)
	if err != nil || !seen.ending {
		return seen.Instance, err
	}
	patient, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	if err := d.end(patient, name, seen.Reason); err != nil {
		if ctx.Err() != nil {
			return cloud.Instance{}, ctx.Err()
		}
		// It is what it was: terminating, and for the next look, or Destroy, to end.
		seen.Reason = fmt.Sprintf("%s; %v", seen.Reason, withoutContext(err))
		return seen.Instance, nil
	}
	return cloud.Instance{}, fs.ErrNotExist
}

// inspect reads the files of an instance and changes nothing. The error is
// fs.ErrNotExist when it has no directory.
func (d *Driver) inspect(name string) (sight, error) {
	seen, err := read(d.path(name), name)
	// It may have been removed while it was read, file by file.
	if found, foundErr := exists(d.path(name)); !found {
		if foundErr == nil {
			foundErr = fs.ErrNotExist
		}
		return sight{}, foundErr
	}
	return seen, err
}

func read(directory, name string) (sight, error) {
	seen := sight{Instance: cloud.Instance{Name: name, State: cloud.Terminating}, ending: true}
	rec, err := readRecord(directory)
	if err == nil {
		err = readJSON(filepath.Join(directory, tagsFile), &seen.Tags)
	}
	if err != nil && !isLost(err) {
		return seen, err
	}
	if err != nil {
		seen.Reason = fmt.Sprintf("its record is unreadable: %v", err)
		return seen, nil
	}
	seen.CloudID, seen.ProviderType, seen.CreatedAt = rec.CloudID, rec.ProviderType, rec.CreatedAt
	seen.Root = filepath.Join(directory, rootDirectory)
	reason, terminating, err := readLine(filepath.Join(directory, terminatingFile))
	if err != nil || terminating {
		seen.Reason = reason
		return seen, err
	}
	// In this order: a process that was started, and then does not hold the lock, died.
	started, err := exists(filepath.Join(directory, pidFile))
	if err != nil {
		return seen, err
	}
	alive, err := isAlive(directory)
	if err != nil {
		return seen, err
	}
	if started && !alive {
		seen.Reason = reasonDied
		return seen, nil
	}
	seen.State, seen.ending = cloud.Pending, false
	address, listens, err := readLine(filepath.Join(directory, addressFile))
	if err != nil || !listens {
		return seen, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return seen, err
	}
	seen.Port, err = strconv.Atoi(port)
	seen.Address, seen.State = host, cloud.Running
	return seen, err
}

// Tag sets tags of an instance as cloud.Driver says.
func (d *Driver) Tag(ctx context.Context, name string, tags map[string]string) error {
	op := "tag instance " + name
	instance, err := d.Get(ctx, name)
	if err != nil {
		return err
	}
	if instance.State == cloud.Terminated {
		return fail(op, cloud.NotFound, errors.New("it is terminated"))
	}
	path := filepath.Join(d.path(name), tagsFile)
	err = d.withFleetLock(ctx, func() error {
		all := map[string]string{}
		if err := readJSON(path, &all); err != nil {
			return err
		}
		maps.Copy(all, tags)
		return writeJSON(path, all)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return fail(op, cloud.NotFound, errors.New("it has just ended"))
	}
	if err != nil {
		return fail(op, "", err)
	}
	return nil
}

// tail returns the last bytes of a file, at most that many.
func tail(path string, bytes int64) (content string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	from := max(0, info.Size()-bytes)
	data, err := io.ReadAll(io.NewSectionReader(f, from, bytes))
	return string(data), err
}
