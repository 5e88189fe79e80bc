// Drover-devserver runs a Temporal server with SQLite and its Web UI in one
// process, prints where they are as one line of JSON, and stops with SIGTERM.
package main

import (
	"os"

	"drover/internal/devserver"
)

func main() {
	os.Exit(devserver.Main(os.Args[1:], os.Stdout, os.Stderr))
}
