// Package cloudtest is the suite that every cloud driver passes: the promises that
// the comments of cloud.Driver make, tried one by one.
package cloudtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"testing"
	"time"

	"drover/internal/cloud"

	"github.com/stretchr/testify/require"
)

// Harness is what a driver's test gives to the suite: drivers, and what the suite
// cannot know about the provider. It is made anew for every test, on a provider
// without any instance of the harness's fleets.
type Harness struct {
	// Driver is the driver under test.
	Driver cloud.Driver
	// Second is another driver of the same fleet, as in another worker.
	Second cloud.Driver
	// Other is a driver of another fleet with the same provider.
	Other cloud.Driver
	// Limited is a driver of a fleet of which no more than Quota instances can exist.
	Limited cloud.Driver
	// Quota is Limited's limit, at least 1.
	Quota int
	// ProviderType is a size that the provider has.
	ProviderType string
	// User is who logs in. Empty: root.
	User string
	// Port is where SSH listens when Instance.Port is 0. 0: 22.
	Port int
	// Unreachable says that instances can't be logged in to, because the provider is
	// a fake that has no machines. The tests over SSH are skipped.
	Unreachable bool
	// Patience is how long the provider may take to bring an instance up, or to end
	// it. 0: ten seconds.
	Patience time.Duration
}

// suite is one test's harness.
type suite struct {
	Harness
	t    *testing.T
	keys Keys
}

func newSuite(t *testing.T, harness func(t *testing.T) Harness) *suite {
	t.Helper()
	h := harness(t)
	if h.User == "" {
		h.User = "root"
	}
	if h.Port == 0 {
		h.Port = 22
	}
	if h.Patience == 0 {
		h.Patience = 10 * time.Second
	}
	return &suite{Harness: h, t: t, keys: NewKeys(t)}
}

// request returns a request for an instance of a new name.
func (s *suite) request() cloud.CreateRequest {
	name := Name(s.t)
	return cloud.CreateRequest{
		Name: name, ProviderType: s.ProviderType, User: s.User,
		AuthorizedKey: s.keys.Authorized, HostKey: s.keys.Host,
		Tags: map[string]string{
			cloud.TagInstance: name, cloud.TagType: "small", cloud.TagIdleBehavior: "run",
		},
	}
}

// create makes an instance that is destroyed when the test ends.
func (s *suite) create(d cloud.Driver, req cloud.CreateRequest) cloud.Instance {
	s.t.Helper()
	s.destroyLater(d, req.Name)
	instance, err := d.Create(s.t.Context(), req)
	require.NoError(s.t, err)
	return instance
}

func (s *suite) destroyLater(d cloud.Driver, name string) {
	// The test's own context has ended by then.
	ctx := context.WithoutCancel(s.t.Context())
	s.t.Cleanup(func() {
		if err := d.Destroy(ctx, name); err != nil {
			s.t.Errorf("clean up: %v", err)
		}
	})
}

// eventually waits until the provider has come round to what it promised.
func (s *suite) eventually(what string, holds func() bool) {
	s.t.Helper()
	require.Eventually(s.t, holds, s.Patience, s.Patience/1000, what)
}

// awaitRunning waits until the instance runs and has an address.
func (s *suite) awaitRunning(name string) cloud.Instance {
	s.t.Helper()
	var last cloud.Instance
	s.eventually("the instance runs", func() bool {
		instance, err := s.Driver.Get(s.t.Context(), name)
		last = instance
		return err == nil && instance.State == cloud.Running && instance.Address != ""
	})
	return last
}

// awaitEnd waits until the instance is terminated or forgotten, and not listed.
func (s *suite) awaitEnd(d cloud.Driver, name string) {
	s.t.Helper()
	s.eventually("the instance is gone", func() bool {
		instance, err := d.Get(s.t.Context(), name)
		gone := cloud.ClassOf(err) == cloud.NotFound || err == nil && instance.State == cloud.Terminated
		return gone && !s.lists(d, name)
	})
}

// names returns the names that a driver lists.
func (s *suite) names(d cloud.Driver) []string {
	s.t.Helper()
	instances, err := d.List(s.t.Context())
	require.NoError(s.t, err)
	names := []string{}
	for _, instance := range instances {
		names = append(names, instance.Name)
	}
	return names
}

func (s *suite) lists(d cloud.Driver, name string) bool {
	instances, err := d.List(s.t.Context())
	if err != nil {
		return true // who knows
	}
	for _, instance := range instances {
		if instance.Name == name {
			return true
		}
	}
	return false
}

// Name returns a name that no instance has had.
func Name(t testing.TB) string {
	t.Helper()
	var random [8]byte
	_, err := rand.Read(random[:])
	require.NoError(t, err)
	return "test-" + hex.EncodeToString(random[:])
}
