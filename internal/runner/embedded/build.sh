#!/bin/sh
# Builds the runner for every architecture, reproducibly: BIN_DIR/drover-runner-linux-ARCH, and
# compressed in dist/ for package embedded. A file whose content would stay the same is not
# touched, so that Go's build cache holds.
#
# usage: internal/runner/embedded/build.sh BIN_DIR
set -eu

[ $# -eq 1 ] || { echo "usage: $0 BIN_DIR" >&2; exit 2; }
mkdir -p "$1"
bin=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# put FILE DESTINATION MODE, in one rename
put() {
	cp "$1" "$2.new.$$"
	chmod "$3" "$2.new.$$"
	mv -f "$2.new.$$" "$2"
}

cd "$here/../cmd"
for arch in amd64 arm64; do
	name=drover-runner-linux-$arch
	# No version control stamp: the runner on an instance is replaced when the runner changes, not
	# with every commit.
	CGO_ENABLED=0 GOOS=linux GOARCH=$arch GOAMD64=v1 GOARM64=v8.0 GOFLAGS= \
		go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o "$work/$name" .
	cmp -s "$work/$name" "$bin/$name" || put "$work/$name" "$bin/$name" 755
	zip=$here/dist/$name.gz
	if ! gzip -dc "$zip" 2>/dev/null | cmp -s - "$work/$name"; then
		gzip -n -9 <"$work/$name" >"$work/$name.gz"
		put "$work/$name.gz" "$zip" 644
	fi
done
