// Package embedded carries the runner's binaries, for each CPU architecture that an
// instance can have, inside the program that imports it. build.sh puts them there.
package embedded

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// all: since a build without runners has only the README in it.
//
//go:embed all:dist
var dist embed.FS

// Binary returns the runner for linux and the given architecture, in Go's words: amd64 or
// arm64. Each call decompresses it anew, some 10 ms. The error says what to do when this
// program was built without it.
func Binary(arch string) ([]byte, error) { return binary(dist, arch) }

func binary(files fs.FS, arch string) ([]byte, error) {
	data, err := fs.ReadFile(files, "dist/drover-runner-linux-"+arch+".gz")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("this binary was built without the runner for linux/%s: run `make build`", arch)
	}
	if err != nil {
		return nil, fmt.Errorf("the runner for linux/%s: %w", arch, err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("the runner for linux/%s: %w", arch, err)
	}
	var buf bytes.Buffer
	if _, err := io.Copy(&buf, zip); err != nil {
		return nil, fmt.Errorf("the runner for linux/%s: %w", arch, err)
	}
	return buf.Bytes(), nil
}
