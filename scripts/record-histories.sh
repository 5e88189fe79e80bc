#!/usr/bin/env bash
# Records the histories that workflows/replay_test.go replays: one directory for each version of the
# logic. Never record over a version that has been released: add a directory.
#
# usage: scripts/record-histories.sh VERSION    (such as v1)
set -euo pipefail
cd "$(dirname "$0")/.."
[[ $# -eq 1 ]] || { echo "usage: $0 VERSION" >&2; exit 2; }
make build
DROVER_BIN=$PWD/bin DROVER_RECORD=$PWD/workflows/testdata/histories/$1 DROVER_REQUIRE_REAL_PARTS=1 \
	go test -tags record -count=1 -v -run TestRecordHistories ./internal/whole
