// Package connect finds Temporal the way Temporal's own tools do, and says where
// drover keeps its files on this machine.
package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"

	"drover/internal/api"
	"drover/internal/usage"
)

// Options override what the environment and the configuration file of Temporal's CLI
// say. The zero value overrides nothing.
type Options struct {
	Address   string // host:port of Temporal's frontend
	Namespace string
	Profile   string // of the CLI's configuration file
	Logger    log.Logger
	Metrics   client.MetricsHandler
}

// Dial connects to Temporal and checks that it answers, within 10 seconds.
func Dial(ctx context.Context, o Options) (client.Client, client.Options, error) {
	options, err := envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{ConfigFileProfile: o.Profile})
	if err != nil {
		return nil, options, configError(err)
	}
	options.HostPort = cmp.Or(o.Address, options.HostPort, client.DefaultHostPort)
	options.Namespace = cmp.Or(o.Namespace, options.Namespace, client.DefaultNamespace)
	if err := check(options.HostPort, options.Namespace); err != nil {
		return nil, options, err
	}
	options.Logger, options.MetricsHandler = o.Logger, o.Metrics
	if onThisMachine(options.HostPort) { // to compress costs more than it saves
		options.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, options, fmt.Errorf("no Temporal at %s: %s; start one with `drover dev`, or set TEMPORAL_ADDRESS", options.HostPort, why(ctx, options.HostPort, err))
	}
	return c, options, nil
}

// onThisMachine reports whether a host:port is reached without a network.
func onThisMachine(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// configError says where the configuration of Temporal's client comes from.
func configError(err error) error {
	from := "the files and variables of Temporal's CLI, such as TEMPORAL_CONFIG_FILE and TEMPORAL_PROFILE"
	if strings.Contains(err.Error(), "TLS") {
		from = "files in PEM, named by TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH, or TEMPORAL_TLS_SERVER_CA_CERT_PATH"
	}
	return fmt.Errorf("the configuration of Temporal's client: %w; allowed: %s", err, from)
}

// check says what is wrong with an address and a namespace, before they are used.
func check(address, namespace string) error {
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	host, port, err := net.SplitHostPort(address)
	_, portErr := strconv.ParseUint(port, 10, 16)
	plain := err == nil && portErr == nil && !strings.Contains(host, "/")
	if strings.ContainsFunc(address, odd) || !plain && !target.MatchString(address) {
		return usage.Errorf("%q is not Temporal's address (--address, TEMPORAL_ADDRESS); allowed: HOST:PORT, such as %s", address, client.DefaultHostPort)
	}
	if strings.ContainsFunc(namespace, odd) {
		return usage.Errorf("%q is not a namespace (--namespace, TEMPORAL_NAMESPACE); allowed: printable ASCII without spaces", namespace)
	}
	return nil
}

// target is an address in gRPC's own form, such as dns:///temporal:7233.
var target = regexp.MustCompile(`^(dns|ipv4|ipv6|passthrough|unix|unix-abstract|xds):`)

// NamespaceError says that Temporal has no such namespace.
type NamespaceError struct{ Name string }

// Error is one line that says what to do.
func (e *NamespaceError) Error() string {
	return fmt.Sprintf("Temporal has no namespace %q; choose another with --namespace or TEMPORAL_NAMESPACE, or create it: temporal operator namespace create -n %s", e.Name, e.Name)
}

// why says why Temporal can't be reached. gRPC does not say it of a name that can't be
// resolved.
func why(ctx context.Context, address string, err error) string {
	if host, _, splitErr := net.SplitHostPort(address); splitErr == nil && host != "" {
		if _, lookupErr := net.DefaultResolver.LookupHost(ctx, host); lookupErr != nil {
			return lookupErr.Error()
		}
	}
	return brief(err)
}

// brief returns the last part of a gRPC error, which names the cause.
func brief(err error) string {
	text := err.Error()
	if at := strings.LastIndex(text, "desc = "); at >= 0 {
		text = text[at+len("desc = "):]
	}
	return strings.Trim(strings.TrimPrefix(text, "failed reaching server: "), `"`)
}

// RegisterSearchAttributes registers drover's search attributes in the namespace,
// where they are not yet. Without them a workflow that sets one is blocked.
func RegisterSearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	operator := c.OperatorService()
	listed, err := operator.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	var unknown *serviceerror.NamespaceNotFound
	if errors.As(err, &unknown) {
		return &NamespaceError{Name: namespace}
	}
	if err != nil {
		return fmt.Errorf("list search attributes: %w", err)
	}
	missing := map[string]enumspb.IndexedValueType{}
	for _, name := range api.SearchAttributes() {
		switch kind, there := listed.GetCustomAttributes()[name]; {
		case !there:
			missing[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
		case kind != enumspb.INDEXED_VALUE_TYPE_KEYWORD:
			return fmt.Errorf("search attribute %s is of type %s; it must be a Keyword", name, kind)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = operator.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
	var exists *serviceerror.AlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("register search attributes %s (a person who may can do it: temporal operator search-attribute create --type Keyword --name …): %w",
			strings.Join(api.SearchAttributes(), ", "), err)
	}
	return nil
}

// StateDir returns the directory for what drover keeps on this machine, an absolute
// path: the given one, or $DROVER_STATE_DIR, or drover under $XDG_STATE_HOME, or
// ~/.local/state/drover.
func StateDir(given string) (string, error) {
	dir := cmp.Or(given, os.Getenv("DROVER_STATE_DIR"))
	if dir == "" {
		base := os.Getenv("XDG_STATE_HOME")
		if base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", fmt.Errorf("no state directory: set DROVER_STATE_DIR: %w", err)
			}
			base = filepath.Join(home, ".local", "state")
		}
		dir = filepath.Join(base, "drover")
	}
	return filepath.Abs(dir)
}
