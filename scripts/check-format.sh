#!/usr/bin/env bash
# Fails, naming them, when Go files are not as gofmt -s would have them.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(find . -name '*.go' -not -path './.cache/*' -not -path './bin/*' -print0 | xargs -0r gofmt -s -l)
if [[ -n $unformatted ]]; then
	printf 'not formatted (gofmt -s -w FILE):\n%s\n' "$unformatted" >&2
	exit 1
fi
