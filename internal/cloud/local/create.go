package local

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drover/internal/cloud"

	"golang.org/x/crypto/ssh"
)

const newPrefix = ".new-"

// errQuota is the refusal of register: as many as may be.
type errQuota struct{ exist, quota int }

// Error names both numbers.
func (e errQuota) Error() string {
	return fmt.Sprintf("%d instances exist, and no more than %d may", e.exist, e.quota)
}

// Create makes an instance as cloud.Driver says. It returns once the instance's
// process is started, which is before it has an address.
func (d *Driver) Create(ctx context.Context, req cloud.CreateRequest) (cloud.Instance, error) {
	op := "create instance " + req.Name
	if err := ctx.Err(); err != nil {
		return cloud.Instance{}, fail(op, "", err)
	}
	if err := complete(&req); err != nil {
		return cloud.Instance{}, fail(op, cloud.Invalid, err)
	}
	err := d.register(ctx, req)
	if full := (errQuota{}); errors.As(err, &full) {
		// Instances that died and that nobody has looked at since do not count.
		if _, err := d.List(ctx); err != nil {
			return cloud.Instance{}, err
		}
		err = d.register(ctx, req)
	}
	if err == nil {
		err = start(d.path(req.Name), d.config.Fleet+"/"+req.Name)
	}
	if full := (errQuota{}); errors.As(err, &full) {
		return cloud.Instance{}, fail(op, cloud.Quota, full)
	}
	if errors.Is(err, errUnprepared) {
		return cloud.Instance{}, fail(op, cloud.Invalid, err)
	}
	if err != nil {
		return cloud.Instance{}, fail(op, "", err)
	}
	return d.Get(ctx, req.Name)
}

// complete checks a request and makes a host key when it has none.
func complete(req *cloud.CreateRequest) error {
	if !instanceName.MatchString(req.Name) {
		return fmt.Errorf("name %q is not 1 to 63 characters of [a-z0-9-]", req.Name)
	}
	if req.User == "" {
		return errors.New("no user to log in as")
	}
	if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(req.AuthorizedKey)); err != nil {
		return fmt.Errorf("authorized key: %w", err)
	}
	if req.HostKey == "" {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		block, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			return err
		}
		req.HostKey = string(pem.EncodeToMemory(block))
	}
	if _, err := ssh.ParsePrivateKey([]byte(req.HostKey)); err != nil {
		return fmt.Errorf("host key: %w", err)
	}
	return nil
}

// register puts the instance on record, complete but not yet started, unless it is
// on record already or was terminated. The error is errQuota when there are too
// many.
func (d *Driver) register(ctx context.Context, req cloud.CreateRequest) error {
	// New made it; somebody may have removed it since.
	if err := os.MkdirAll(d.fleet, 0o700); err != nil {
		return err
	}
	return d.withFleetLock(ctx, func() error {
		if known, err := d.isKnown(req.Name); known || err != nil {
			return err
		}
		entries, err := os.ReadDir(d.fleet)
		if err != nil {
			return err
		}
		count := 0
		for _, entry := range entries {
			switch {
			case instanceName.MatchString(entry.Name()):
				count++
			case strings.HasPrefix(entry.Name(), newPrefix):
				// Whoever holds the lock is the only one who makes these: its maker died.
				if err := os.RemoveAll(filepath.Join(d.fleet, entry.Name())); err != nil {
					return err
				}
			}
		}
		if d.config.Quota > 0 && count >= d.config.Quota {
			return errQuota{exist: count, quota: d.config.Quota}
		}
		return d.build(req)
	})
}

// isKnown reports whether an instance of that name exists or has existed.
func (d *Driver) isKnown(name string) (bool, error) {
	if known, err := exists(d.path(name)); known || err != nil {
		return known, err
	}
	_, err := d.buried(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return true, err
}

// build makes the directory of an instance beside its place, and then puts it there.
func (d *Driver) build(req cloud.CreateRequest) error {
	directory, err := os.MkdirTemp(d.fleet, newPrefix)
	if err != nil {
		return err
	}
	tags := map[string]string{}
	maps.Copy(tags, req.Tags)
	steps := []func() error{
		func() error { return os.Mkdir(filepath.Join(directory, homeDirectory), 0o700) },
		func() error { return os.Mkdir(filepath.Join(directory, rootDirectory), 0o755) },
		func() error { return os.Mkdir(filepath.Join(directory, tmpDirectory), 0o700) },
		func() error { return writeFile(filepath.Join(directory, aliveFile), nil) },
		func() error { return writeFile(filepath.Join(directory, consoleFile), nil) },
		func() error { return writeFile(filepath.Join(directory, hostKeyFile), []byte(req.HostKey)) },
		func() error { return writeJSON(filepath.Join(directory, tagsFile), tags) },
		func() error {
			return writeJSON(filepath.Join(directory, recordFile), record{
				Name: req.Name, Fleet: d.config.Fleet, CloudID: fmt.Sprintf("local-%x", markOf(d.path(req.Name)).brand),
				ProviderType: req.ProviderType, Preemptible: req.Preemptible,
				AuthorizedKey: req.AuthorizedKey, User: req.User, InitCommand: req.InitCommand,
				BootDelay: d.config.BootDelay, CreatedAt: time.Now().UTC(),
			})
		},
		func() error { return os.Rename(directory, d.path(req.Name)) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return errors.Join(err, os.RemoveAll(directory))
		}
	}
	return nil
}
