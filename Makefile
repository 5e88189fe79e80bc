# Everything that can be built, tried and checked. Needs Go and the Go module proxy.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# Static binaries, the same with and without a C compiler or git.
export CGO_ENABLED := 0
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

# Checkers are built from the modules in tools/, once per version of Go.
BIN := $(CURDIR)/.cache/bin/$(shell go env GOVERSION)
GOLANGCI_LINT := $(BIN)/golangci-lint
GOTESTSUM := $(BIN)/gotestsum
GOVULNCHECK := $(BIN)/govulncheck
WORKFLOWCHECK := $(BIN)/workflowcheck
export GOLANGCI_LINT_CACHE := $(CURDIR)/.cache/golangci-lint

# Where internal/whole finds the programs that it runs.
WHOLE := DROVER_BIN=$(CURDIR)/bin

.PHONY: help build runners demo dev test check vuln bench size chaos tools clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

build: runners ## build everything into bin/
	go build -o bin/drover ./starter
	go build -o bin/drover-worker ./worker
	cd internal/devserver && go build -ldflags="-s -w" -o ../../bin/drover-devserver ./cmd/drover-devserver

# The worker embeds the runners, so they come first.
runners:
	@mkdir -p bin
	./internal/runner/embedded/build.sh bin

demo: build ## bring everything up, run a few containers, take everything down
	./scripts/demo.sh

dev: build ## a Temporal server, a worker and a local fleet, until Ctrl-C
	bin/drover dev

test: build $(GOTESTSUM) ## run every test; RACE=1 adds the race detector
	$(WHOLE) $(GOTESTSUM) --format pkgname --raw-command -- ./scripts/gotest.sh

check: $(GOLANGCI_LINT) $(WORKFLOWCHECK) ## format, vet, lint, determinism of workflows
	./scripts/check-format.sh
	./scripts/check-suppressions.sh
	go vet ./...
	cd internal/devserver && go vet ./...
	$(GOLANGCI_LINT) run ./...
	cd internal/devserver && $(GOLANGCI_LINT) run ./...
	$(WORKFLOWCHECK) -config tools/workflowcheck/config.yaml ./workflows/...

vuln: $(GOVULNCHECK) ## known vulnerabilities (fetches a database from vuln.go.dev)
	$(GOVULNCHECK) ./...
	cd internal/devserver && $(GOVULNCHECK) ./...

bench: build ## benchmarks: the scheduler, what a fleet carries over, then the whole system
	go test -run '^$$' -bench . -benchmem ./internal/schedule ./internal/api
	$(WHOLE) go test -count=1 -timeout 30m -run '^$$' -bench . -benchtime 1x ./internal/whole
	$(WHOLE) go test -count=1 -timeout 30m -v -run '^TestSize$$' ./internal/whole
	DROVER_SIZE=medium $(WHOLE) go test -count=1 -timeout 30m -v -run '^TestSize$$' ./internal/whole

size: build ## the largest fleet, with simulated instances and containers, for about ten minutes; DROVER_SIZE=medium: a smaller one
	DROVER_SIZE=$${DROVER_SIZE:-full} $(WHOLE) go test -count=1 -timeout 60m -v -run '^TestSize$$' ./internal/whole

chaos: build ## containers while everything goes wrong, for three minutes; prints its seed
	DROVER_CHAOS_DURATION=$${DROVER_CHAOS_DURATION:-3m} $(WHOLE) go test -count=1 -timeout 60m -v -run '^TestChaos$$' ./internal/whole

tools: $(GOLANGCI_LINT) $(GOTESTSUM) $(WORKFLOWCHECK) ## build the checkers (check and test do it by themselves)

clean: ## remove everything that was built
	rm -rf bin .cache coverage.out internal/runner/embedded/dist/*.gz

# $(call tool,name,package)
define tool
$(BIN)/$(1): tools/$(1)/go.mod tools/$(1)/go.sum
	go build -C tools/$(1) -o $$@ $(2)
	@touch $$@
endef
$(eval $(call tool,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint))
$(eval $(call tool,gotestsum,gotest.tools/gotestsum))
$(eval $(call tool,govulncheck,golang.org/x/vuln/cmd/govulncheck))
$(eval $(call tool,workflowcheck,go.temporal.io/sdk/contrib/tools/workflowcheck))
