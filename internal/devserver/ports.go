package devserver

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"syscall"
	"time"

	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
)

const loopback = "127.0.0.1"

// PortError says that something else listens where the server was to listen.
type PortError struct {
	// Flag is the option that named the port, such as "--port".
	Flag string
	// Address is what could not be listened on, host:port.
	Address string
	// Err is what the system said.
	Err error
}

// Error names the port, the flag and what to do.
func (e *PortError) Error() string {
	if errors.Is(e.Err, syscall.EADDRINUSE) {
		return fmt.Sprintf("%s: %s is already in use: stop what listens there, or choose another port with %s (0 picks a free one)",
			e.Flag, e.Address, e.Flag)
	}
	return fmt.Sprintf("%s: cannot listen on %s: %v", e.Flag, e.Address, e.Err)
}

// Unwrap gives the system's error.
func (e *PortError) Unwrap() error { return e.Err }

// ports are all that a server listens on; ui and http are 0 for none.
type ports struct {
	frontend, ui, http        int
	history, matching, worker int
}

// hosts tells every service where the others are, so that none needs a
// membership port.
func (p ports) hosts(frontend string) map[primitives.ServiceName]static.Hosts {
	return map[primitives.ServiceName]static.Hosts{
		primitives.FrontendService: static.SingleLocalHost(frontend),
		primitives.HistoryService:  static.SingleLocalHost(hostPort(loopback, p.history)),
		primitives.MatchingService: static.SingleLocalHost(hostPort(loopback, p.matching)),
		primitives.WorkerService:   static.SingleLocalHost(hostPort(loopback, p.worker)),
	}
}

// choosePorts checks the ports that were asked for before anything is written,
// and finds free ones for the rest.
func choosePorts(o Options) (ports, error) {
	if net.ParseIP(o.IP) == nil {
		return ports{}, fmt.Errorf("--ip: %q is not an IP address", o.IP)
	}
	var p ports
	var err error
	if p.frontend, err = checkPort("--port", o.IP, o.Port); err != nil {
		return ports{}, err
	}
	if o.UIPort >= 0 {
		if p.ui, err = checkPort("--ui-port", o.IP, o.UIPort); err != nil {
			return ports{}, err
		}
	}
	if o.HTTPPort > 0 {
		if p.http, err = checkPort("--http-port", o.IP, o.HTTPPort); err != nil {
			return ports{}, err
		}
	}
	for _, port := range []*int{&p.history, &p.matching, &p.worker} {
		if *port, err = freePort(loopback); err != nil {
			return ports{}, err
		}
	}
	return p, nil
}

// checkPort returns the port if it can be listened on, or a free one for 0.
func checkPort(flag, ip string, port int) (int, error) {
	if port == 0 {
		return freePort(ip)
	}
	address := hostPort(ip, port)
	l, err := net.Listen("tcp", address)
	if err != nil {
		return 0, &PortError{Flag: flag, Address: address, Err: err}
	}
	return port, l.Close()
}

// freePort finds a free port that can be reached: a firewall's rule may be about the first
// that is found.
func freePort(ip string) (port int, err error) {
	for range 5 {
		if port, err = reservePort(ip); err == nil {
			return port, nil
		}
	}
	return 0, err
}

// reservePort finds a port that nobody listens on and that, on Linux, nobody else
// is given within the next minute: a connection closed from the listening side
// leaves it in TIME_WAIT, which rules it out for automatic choice while Go,
// with SO_REUSEADDR, may still listen on it.
func reservePort(ip string) (port int, err error) {
	l, err := net.Listen("tcp", hostPort(ip, 0))
	if err != nil {
		return 0, fmt.Errorf("find a free port on %s: %w", ip, err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	port = l.Addr().(*net.TCPAddr).Port
	if runtime.GOOS != "linux" {
		return port, nil
	}
	near, err := net.DialTimeout("tcp", hostPort(reachable(ip), port), time.Second)
	if err != nil {
		return 0, fmt.Errorf("reserve port %d: %w", port, err)
	}
	defer func() { err = errors.Join(err, near.Close()) }()
	far, err := l.Accept()
	if err != nil {
		return 0, fmt.Errorf("reserve port %d: %w", port, err)
	}
	return port, far.Close()
}
