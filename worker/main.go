// The drover worker: it carries out drover's workflows and activities. Any number of
// them may run, and any of them may die at any time.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"drover/internal/cloud/local"
	"drover/internal/usage"
)

func main() {
	local.RunIfInstance()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "drover-worker: %v\n", err)
		if errors.As(err, new(*usage.Error)) {
			os.Exit(usage.ExitStatus)
		}
		os.Exit(1)
	}
}
