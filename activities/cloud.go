package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"golang.org/x/crypto/ssh"

	"drover/internal/api"
	"drover/internal/cloud"
	"drover/internal/cloud/local"
	"drover/internal/fleetspec"
	"drover/internal/pause"
)

// CreateInstance asks the cloud for an instance. It may be called again: there is at
// most one.
func (a *Activities) CreateInstance(ctx context.Context, in api.CreateInput) (api.Machine, error) {
	m := in.Machine
	driver, err := a.driverOf(ctx, m)
	if err != nil {
		return m, err
	}
	access, err := a.access(m.SSH.KeyFile)
	if err != nil {
		return m, final(api.ErrorInvalid, err)
	}
	hostKey, _, err := access.key.HostKey(m.Name)
	if err != nil {
		return m, final(api.ErrorInvalid, err)
	}
	secret, err := access.key.Secret(m.Name)
	if err != nil {
		return m, final(api.ErrorInvalid, err)
	}
	instance, err := driver.Create(ctx, cloud.CreateRequest{
		Name: m.Name, ProviderType: in.Type.ProviderType, Preemptible: in.Type.Preemptible,
		Tags: map[string]string{
			cloud.TagFleet: m.Fleet, cloud.TagInstance: m.Name, cloud.TagType: in.Type.Name,
			cloud.TagIdleBehavior: string(in.Behavior), cloud.TagSecret: secret,
		},
		AuthorizedKey: string(ssh.MarshalAuthorizedKey(access.key.Signer().PublicKey())),
		HostKey:       hostKey, User: m.SSH.User, InitCommand: in.InitCommand,
	})
	if err == nil {
		return located(m, instance), nil
	}
	var refused *cloud.Error
	if !errors.As(err, &refused) || refused.Class == "" || refused.Class == cloud.NotFound {
		return m, err
	}
	return a.refused(ctx, m, driver, refused)
}

// refused returns the refusal to create an instance as the workflow understands it, unless
// an earlier try has created it, and its answer was lost.
func (a *Activities) refused(ctx context.Context, m api.Machine, driver cloud.Driver, e *cloud.Error) (api.Machine, error) {
	refusal := api.CreateRefusal{
		Class: string(e.Class), Scope: string(e.Scope), Group: e.Group, RetryAt: e.RetryAt, Message: e.Error(),
	}
	instance, err := driver.Get(ctx, m.Name)
	switch {
	case err == nil && instance.State != cloud.Terminated:
		return located(m, instance), nil
	case err != nil && cloud.ClassOf(err) != cloud.NotFound:
		refusal.Doubtful = activity.GetInfo(ctx).Attempt > 1 // nothing was asked for before the first
	}
	return m, final(api.ErrorRefused, e, refusal)
}

// isFinal reports whether no retry can mend an error.
func isFinal(err error) bool {
	var application *temporal.ApplicationError
	return errors.As(err, &application) && application.NonRetryable()
}

// located fills in what the cloud says about where an instance is.
func located(m api.Machine, instance cloud.Instance) api.Machine {
	m.CloudID, m.Root = instance.CloudID, instance.Root
	if instance.Address != "" {
		m.Address = net.JoinHostPort(instance.Address, strconv.Itoa(cmp.Or(instance.Port, m.SSH.Port)))
	}
	return m
}

// AwaitAddress returns the machine with its address once it has one.
func (a *Activities) AwaitAddress(ctx context.Context, m api.Machine) (api.Machine, error) {
	driver, err := a.driverOf(ctx, m)
	if err != nil {
		return m, err
	}
	const attempt = 10 * time.Second
	began := time.Now()
	for {
		instance, err := driver.Get(ctx, m.Name)
		switch {
		case err != nil:
			return m, goneOr(m.Name, err)
		case !instance.Alive():
			return m, gone(instance)
		case instance.State == cloud.Running && instance.Address != "":
			return located(m, instance), nil
		case time.Since(began) > attempt:
			return m, again(time.Millisecond, fmt.Errorf("%s is %s and has no address yet", m.Name, instance.State))
		}
		if err := pause.For(ctx, soon(began)); err != nil {
			return m, err
		}
	}
}

// gone says that the cloud says that an instance has ended, and, if that was a refusal
// that came late, which.
func gone(instance cloud.Instance) error {
	err := fmt.Errorf("%s is %s: %s", instance.Name, instance.State, cmp.Or(instance.Reason, "the cloud gives no reason"))
	if instance.Refused == "" {
		return final(api.ErrorGone, err)
	}
	return final(api.ErrorGone, err, api.CreateRefusal{Class: string(instance.Refused), Scope: string(cloud.ScopeType), Message: err.Error()})
}

// goneOr makes of a NotFound that the instance is gone.
func goneOr(name string, err error) error {
	if cloud.ClassOf(err) == cloud.NotFound {
		return final(api.ErrorGone, fmt.Errorf("the cloud has no instance %s", name))
	}
	return err
}

// checkAlive returns an error of type ErrorGone if the cloud says that the instance
// has ended, and nil if it is alive or the cloud can't be asked.
func (a *Activities) checkAlive(ctx context.Context, m api.Machine) error {
	driver, err := a.driverOf(ctx, m)
	if err != nil {
		return nil
	}
	instance, err := driver.Get(ctx, m.Name)
	switch {
	case cloud.ClassOf(err) == cloud.NotFound:
		return goneOr(m.Name, err)
	case err == nil && !instance.Alive():
		return gone(instance)
	}
	return nil
}

// DestroyInstance destroys an instance and returns once the cloud no longer has it.
func (a *Activities) DestroyInstance(ctx context.Context, in api.DestroyInput) error {
	m := in.Machine
	driver, err := a.driverOf(ctx, m)
	if err != nil {
		return again(in.Retry.D(), err) // another worker may know the driver
	}
	if err := driver.Destroy(ctx, m.Name); err != nil {
		return again(in.Retry.D(), err)
	}
	began := time.Now()
	for {
		instance, err := driver.Get(ctx, m.Name)
		switch {
		case cloud.ClassOf(err) == cloud.NotFound, err == nil && instance.State == cloud.Terminated:
			if access, err := a.access(m.SSH.KeyFile); err == nil {
				access.pool.Forget(m.Address)
			}
			return nil
		case err != nil:
			return again(in.Retry.D(), err)
		case time.Since(began) > in.Retry.D():
			return again(time.Millisecond, fmt.Errorf("%s is still %s", m.Name, instance.State))
		}
		if err := pause.For(ctx, soon(began)); err != nil {
			return err
		}
	}
}

// TagInstance writes the idle behavior into an instance's tag, if there is still an
// instance.
func (a *Activities) TagInstance(ctx context.Context, in api.TagInput) error {
	driver, err := a.driverOf(ctx, in.Machine)
	if err != nil {
		return err
	}
	err = driver.Tag(ctx, in.Machine.Name, map[string]string{cloud.TagIdleBehavior: string(in.Behavior)})
	if cloud.ClassOf(err) == cloud.NotFound {
		return nil
	}
	return err
}

// PrepareFleet checks that this worker can work for a fleet: that it has the key, the
// runner and the store, and that the cloud answers.
func (a *Activities) PrepareFleet(ctx context.Context, spec fleetspec.Spec) (api.FleetReady, error) {
	var ready api.FleetReady
	if _, err := a.access(spec.SSH.KeyFile); err != nil {
		return ready, final(api.ErrorInvalid, err)
	}
	if err := checkRunner(spec.Runner); err != nil {
		return ready, final(api.ErrorInvalid, err)
	}
	ready.OutputStore = cmp.Or(spec.Output.Store, "file://"+filepath.Join(a.stateDir, "output"))
	store, err := a.store(ctx, ready.OutputStore)
	if err == nil {
		err = store.Check(ctx)
	}
	if err != nil {
		return ready, final(api.ErrorInvalid, fmt.Errorf("output.store: %w", err))
	}
	driver, err := a.driver(spec.Name, spec.Driver, spec.Local, spec.Faults)
	if err != nil {
		return ready, err
	}
	instances, err := driver.List(ctx)
	if err != nil {
		return ready, err
	}
	ready.Found = found(instances)
	return ready, nil
}

// driver returns the driver of a fleet, which goes wrong as often as its faults say.
func (a *Activities) driver(fleet, name string, section *fleetspec.Local, injected *fleetspec.Faults) (cloud.Driver, error) {
	if name != "local" {
		return nil, final(api.ErrorInvalid, fmt.Errorf("driver: %q is not known; allowed: %s", name, strings.Join(fleetspec.Drivers(), ", ")))
	}
	config := local.Config{Fleet: fleet, Directory: filepath.Join(a.stateDir, "instances")}
	if section != nil {
		config.Directory = cmp.Or(section.Directory, config.Directory)
		config.BootDelay, config.Quota = section.BootDelay.D(), section.Quota
	}
	driver, err := local.New(config)
	if err != nil {
		return nil, final(api.ErrorInvalid, err)
	}
	return a.withFaults(driver, fleet, injected), nil
}

// soon is when to look again at what has been waited for since began: so that little
// is added to a short wait, and a long one is not asked about too often.
func soon(began time.Time) time.Duration {
	return min(max(time.Since(began)/20, 20*time.Millisecond), time.Second)
}
