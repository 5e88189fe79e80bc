// The drover command: runs containers on instances that come and go, and shows and
// steers them.
package main

import (
	"context"
	"os"

	"drover/internal/cli"
	"drover/internal/cloud/local"
)

func main() {
	local.RunIfInstance()
	os.Exit(cli.Report(os.Stderr, rootCommand().ExecuteContext(context.Background())))
}
