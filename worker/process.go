package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"
)

func timeEncoder(t time.Time, e zapcore.PrimitiveArrayEncoder) {
	e.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}

// exitWithParent has the kernel send SIGTERM when the parent process ends. The kernel
// means the thread that started this process, so a parent that is a Go program keeps
// that thread.
func exitWithParent() error {
	runtime.LockOSThread() // the setting is kept per thread group, but made by this thread
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGTERM), 0, 0, 0); err != nil {
		return fmt.Errorf("--exit-with-parent: %w", err)
	}
	if os.Getppid() == 1 {
		return errors.New("--exit-with-parent: the parent process has ended already")
	}
	return nil
}

// serveMetrics serves metrics for Prometheus at /metrics, and readiness at /healthz.
// An empty address: none are kept.
func serveMetrics(address string) (client.MetricsHandler, error) {
	if address == "" {
		return nil, nil
	}
	exporter, err := otelprometheus.New()
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.Handler())
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(listener); err != nil {
			fmt.Fprintf(os.Stderr, "drover-worker: metrics: %v\n", err)
		}
	}()
	return opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{Meter: provider.Meter("drover")}), nil
}
