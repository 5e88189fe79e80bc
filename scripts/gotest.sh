#!/usr/bin/env bash
# Runs the tests of both modules and prints test2json's records, for gotestsum.
# RACE=1 turns on the race detector (which needs a C compiler).
set -uo pipefail
cd "$(dirname "$0")/.." || exit

# Most tests of the whole wait: for timeouts, for other processes.
flags=(-json -count=1 -timeout 30m -parallel 6)
if [[ ${RACE:-} == 1 ]]; then
	export CGO_ENABLED=1
	flags+=(-race)
fi

status=0
go test "${flags[@]}" ./... || status=1
(cd internal/devserver && go test "${flags[@]}" ./...) || status=1
exit "$status"
