// Package devserver runs a Temporal server with SQLite and its Web UI inside
// one process, for `drover dev` and for tests. It is a Go module of its own so
// that drover itself does not depend on the server.
package devserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/temporal"
)

// Options says what to run. The zero value is not useful: IP and Namespaces
// must be set.
type Options struct {
	// IP is the address that the frontend and the UI listen on; everything else
	// listens on 127.0.0.1.
	IP string
	// Port is the frontend's gRPC port; 0 chooses a free one.
	Port int
	// UIPort is the Web UI's port; 0 chooses a free one, negative means no UI.
	UIPort int
	// HTTPPort is the port of the frontend's HTTP API; 0 means none.
	HTTPPort int
	// DBFile keeps the data over restarts; empty keeps it in memory.
	DBFile string
	// Namespaces are created unless they exist already. At least one.
	Namespaces []string
	// Logger receives the server's log; nil discards it. Note that the server
	// ends the process through its Fatal.
	Logger log.Logger
}

// Server is a running Temporal server, perhaps with a Web UI.
type Server struct {
	temporal temporal.Server
	ui       *uiserver.Server
	uiDone   chan error
	store    *store
	address  string
	uiURL    string
}

// Start runs a server and returns once it truly serves: every namespace is
// there, workflows can be started in all of its shards, and the UI answers.
// A taken port is a *PortError. Cancelling ctx gives up starting; it has no
// effect on a server that was returned.
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = log.NewNoopLogger()
	}
	p, err := choosePorts(o)
	if err != nil {
		return nil, err
	}
	st, err := openStore(o.DBFile)
	if err != nil {
		return nil, err
	}
	s := &Server{store: st, address: hostPort(reachable(o.IP), p.frontend)}
	if p.ui > 0 {
		s.uiURL = "http://" + hostPort(reachable(o.IP), p.ui)
	}
	if err := s.start(ctx, o, p); err != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return nil, errors.Join(err, s.Stop(stopCtx))
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, o Options, p ports) error {
	cfg := serverConfig(o.IP, p, s.store.sql)
	if err := createNamespaces(s.store.sql, o.Namespaces); err != nil {
		return err
	}
	server, err := newTemporal(cfg, p, o.Logger)
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return errors.Join(fmt.Errorf("start Temporal: %w", err), server.Stop())
	}
	s.temporal = server
	if p.ui > 0 {
		s.startUI(o, p)
	}
	return s.awaitReady(ctx, o.Namespaces)
}

func newTemporal(cfg *config.Config, p ports, logger log.Logger) (temporal.Server, error) {
	server, err := temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(p.hosts(cfg.PublicClient.HostPort)),
		temporal.WithLogger(logger),
		temporal.WithDynamicConfigClient(dynamicConfig()),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper {
			return authorization.NewNoopClaimMapper()
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("configure Temporal: %w", err)
	}
	return server, nil
}

// Address is the frontend's gRPC address, host:port.
func (s *Server) Address() string { return s.address }

// UI is the Web UI's URL, or empty when there is none.
func (s *Server) UI() string { return s.uiURL }

// Stop ends the server and the UI. When ctx ends first it returns ctx's error
// and leaves the rest to the end of the process: what was acknowledged is in
// the database by then. To be called once.
func (s *Server) Stop(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.stop() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("stop the Temporal server: %w", ctx.Err())
	}
}

func (s *Server) stop() error {
	var errs []error
	if s.ui != nil {
		s.ui.Stop()
		errs = append(errs, <-s.uiDone)
	}
	if s.temporal != nil {
		errs = append(errs, s.temporal.Stop())
	}
	return errors.Join(append(errs, s.store.close())...)
}

// hostPort is net.JoinHostPort for a number.
func hostPort(host string, port int) string {
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// reachable is the address under which this machine reaches what listens on ip.
func reachable(ip string) string {
	parsed := net.ParseIP(ip)
	switch {
	case parsed == nil || !parsed.IsUnspecified():
		return ip
	case parsed.To4() != nil:
		return loopback
	default:
		return net.IPv6loopback.String()
	}
}

// probeClient never asks a proxy for what is on this machine.
var probeClient = &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second}
