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
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"

	"drover/internal/api"
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
		return nil, options, fmt.Errorf("the configuration of Temporal's client: %w", err)
	}
	options.HostPort = cmp.Or(o.Address, options.HostPort, client.DefaultHostPort)
	options.Namespace = cmp.Or(o.Namespace, options.Namespace, client.DefaultNamespace)
	options.Logger, options.MetricsHandler = o.Logger, o.Metrics
	if onThisMachine(options.HostPort) { // to compress costs more than it saves
		options.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, options, fmt.Errorf("no Temporal at %s: %s; start one with `drover dev`, or set TEMPORAL_ADDRESS", options.HostPort, brief(err))
	}
	return c, options, nil
}

// onThisMachine reports whether a host:port is reached without a network.
func onThisMachine(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
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
