package devserver

import (
	"net"
	"strings"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
)

// startUI runs the Web UI until stop.
func (s *Server) startUI(o Options, p ports) {
	s.ui = uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		TemporalGRPCAddress: s.address,
		Host:                bracketed(o.IP),
		Port:                p.ui,
		EnableUI:            true,
		DefaultNamespace:    o.Namespaces[0],
		HideLogs:            true,
		// Nothing on this machine should call out for news.
		DisableNewsFetch: true,
		// Plain HTTP: a secure cookie would never come back.
		CORS: uiconfig.CORS{CookieInsecure: true},
	}))
	s.uiDone = make(chan error, 1)
	go func() { s.uiDone <- s.ui.Start() }()
}

// bracketed is how an IP address is written before a colon and a port.
func bracketed(ip string) string {
	return strings.TrimSuffix(net.JoinHostPort(ip, ""), ":")
}
