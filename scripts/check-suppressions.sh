#!/usr/bin/env bash
# Fails when a Go file silences a checker: a finding is fixed, or its rule is
# changed for everyone in .golangci.yml.
set -euo pipefail
cd "$(dirname "$0")/.."

pattern='//[[:space:]]*(nolint|lint:(file-)?ignore|revive:disable|workflowcheck:ignore|#nosec)'
if find . -name '*.go' -not -path './.cache/*' -not -path './bin/*' -print0 | xargs -0r grep -nE "$pattern"; then
	echo 'suppressed lint: fix the finding, or change the rule in .golangci.yml' >&2
	exit 1
fi
