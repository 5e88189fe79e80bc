// Package cloud is the boundary between drover and a cloud provider: the Driver
// interface, the values that cross it, and the classes of errors that come back.
//
// A driver speaks to one provider on behalf of one fleet. It keeps no state of
// its own: everything it knows it has just asked the provider. Package cloudtest
// is the suite that every driver passes.
package cloud

import (
	"context"
	"time"
)

// Driver creates, finds, tags and destroys the instances of one fleet.
//
// All methods may be called concurrently, from several workers, and again after
// a worker died in the middle of a call. Every error is, or wraps, an *Error, or
// the context's own.
type Driver interface {
	// Create asks for one instance and returns as soon as the provider has
	// accepted, usually before the instance has an address.
	//
	// It is idempotent in CreateRequest.Name: a second call with the same request
	// returns the instance that the first one made, alive or terminated, and never
	// makes another. Refusals have class Quota, Capacity or RateLimit.
	Create(ctx context.Context, req CreateRequest) (Instance, error)

	// Get returns the instance of that name, alive or terminated, for as long as
	// the provider remembers it. Afterwards, and for a name that was never created,
	// the class is NotFound. A driver hides the provider's delayed visibility: an
	// instance that Create has returned is not reported as NotFound.
	Get(ctx context.Context, name string) (Instance, error)

	// List returns every instance of the fleet that is not Terminated, whoever
	// created it. Instances of other fleets are never in it. The order is
	// unspecified.
	List(ctx context.Context) ([]Instance, error)

	// Destroy asks for the end of an instance and of everything that runs on it,
	// without a grace period, and returns once the provider has accepted; the end
	// itself shows in Get and List. It is idempotent: destroying what is gone, or
	// never was, succeeds.
	Destroy(ctx context.Context, name string) error

	// Tag sets the given tags of an instance, keeping its others. It is idempotent.
	// Class NotFound when the instance is gone.
	Tag(ctx context.Context, name string, tags map[string]string) error
}

// Consoler is implemented by drivers whose provider keeps what a machine wrote to
// its console while booting.
type Consoler interface {
	// ConsoleOutput returns the last part, at most 64 KiB, of the console output of
	// the instance of that name. It may be empty.
	ConsoleOutput(ctx context.Context, name string) (string, error)
}

// Noticer is implemented by drivers whose provider warns before it takes a preemptible
// instance away.
type Noticer interface {
	// NoticeCommand returns a shell command that is run on the instance, every few
	// seconds, over a connection that is open anyway. It exits 0 and prints the time at
	// which the provider will take the instance, in RFC 3339, or nothing as long as the
	// provider has not said so.
	NoticeCommand() string
}

// CreateRequest describes the instance that Create makes.
type CreateRequest struct {
	// Name is drover's name of the instance, unique for all time, 1 to 63
	// characters of [a-z0-9-]. It is the provider's idempotency token as well.
	Name string
	// ProviderType is the provider's name of the size, such as m7i.large.
	ProviderType string
	// Preemptible asks for the provider's cheaper, revocable kind (spot).
	Preemptible bool
	// Tags are put on every resource that is created. The keys are those of
	// TagFleet and its siblings.
	Tags map[string]string
	// AuthorizedKey is the public key, in authorized_keys format, that may log in
	// as User.
	AuthorizedKey string
	// HostKey is the SSH host key that the instance must present, a private key in
	// OpenSSH's PEM format. It is secret: drivers neither log nor return it.
	HostKey string
	// User is the login that AuthorizedKey is for.
	User string
	// InitCommand is a shell command that runs once, as root, at first boot. Empty:
	// none.
	InitCommand string
}

// Instance is what a provider says about one instance.
type Instance struct {
	// Name is drover's name of the instance, from its tags.
	Name string `json:"name"`
	// CloudID is the provider's own identifier, such as i-0abc.
	CloudID string `json:"cloud_id"`
	// Address is the host name or IP address that SSH is reached at. Empty while
	// the instance has none.
	Address string `json:"address,omitempty"`
	// Port is where SSH listens when the provider decides it. 0: the fleet's.
	Port int `json:"port,omitempty"`
	// Root is put before absolute paths on the instance, for instances that share
	// a file system with others. Empty on real machines.
	Root string `json:"root,omitempty"`
	// State is where the instance is in its life.
	State State `json:"state"`
	// Reason says why the instance is terminating or terminated, in the provider's
	// words. It may be empty.
	Reason string `json:"reason,omitempty"`
	// Refused is Quota or Capacity when a provider that had accepted the creation ends the
	// instance, before it has run, because it could not be had after all. Its scope is the
	// type. Empty otherwise.
	Refused Class `json:"refused,omitempty"`
	// ProviderType is the size that was created.
	ProviderType string `json:"provider_type,omitempty"`
	// Tags are the instance's tags, those that drover did not set included.
	Tags map[string]string `json:"tags,omitempty"`
	// CreatedAt is when the provider accepted its creation.
	CreatedAt time.Time `json:"created_at"`
}

// State is where an instance is in its life, as its provider sees it.
type State string

// The states of an instance. What is being paid for is every state but Terminated.
const (
	Pending     State = "pending"     // accepted, not yet running
	Running     State = "running"     // running; whether it can be reached is another question
	Terminating State = "terminating" // will be gone
	Terminated  State = "terminated"  // gone, with everything that ran on it
)

// Alive reports whether the instance may run something, now or later.
func (i Instance) Alive() bool { return i.State == Pending || i.State == Running }

// The keys of the tags that drover sets, with the default prefix.
const (
	TagFleet        = "drover:fleet"
	TagInstance     = "drover:instance"
	TagType         = "drover:instance-type"
	TagIdleBehavior = "drover:idle-behavior"
	TagSecret       = "drover:instance-secret"
)
