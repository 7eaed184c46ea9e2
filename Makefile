# `make` lists the targets. Whatever takes more than a few lines is a script in .ci/.

SHELL := /bin/bash
.DEFAULT_GOAL := help

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X main.version=$(VERSION)

DEMO     ?=
BENCH    ?= Hit|Miss|Key
BENCHPKG ?= ./proxy ./policy
COUNT    ?= 6
FIGURES  ?= full
LARGE    ?= 4GiB
TRACE    ?=
FUZZTIME ?= 30s
FUZZ     ?= .
ROUNDS   ?= 5
SECONDS  ?= 3
SYSTEMS  ?=
SITES    ?=
SCENARIOS ?=
CHAOS_FOR ?= 60s
SEED      ?=
FAULTS    ?=

export PATH := $(CURDIR)/.tools/bin:$(PATH)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/weir and bin/weirload: static binaries, without cgo
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/weir ./cmd/weirload

.PHONY: build-cgo
build-cgo: ## Build bin/weir static with cgo: Pebble's memory lies outside the Go heap (needs gcc)
	CGO_ENABLED=1 $(GO) build -trimpath -tags netgo,osusergo \
		-ldflags '$(LDFLAGS) -linkmode external -extldflags "-static"' -o bin/weir ./cmd/weir

.PHONY: run
run: build ## Start the demo: a small shop with weir in front of it (DEMO='flags of weir demo')
	@bin/weir demo $(DEMO)

.PHONY: test
test: tools lint ## Install what is missing, lint, run every test (race detector), then again without cgo
	GO='$(GO)' .ci/test

.PHONY: lint
lint: ## go vet, staticcheck and gofumpt, at the versions in go.mod
	GO='$(GO)' .ci/lint

.PHONY: format
format: ## Rewrite the Go files as gofumpt wants them
	$(GO) tool gofumpt -w .

.PHONY: bench
bench: ## Benchmarks of hit, miss and key, for benchstat (BENCH=regexp BENCHPKG=packages COUNT=6)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -timeout 30m $(BENCHPKG)

.PHONY: bench-disk
bench-disk: ## Print the figures of the disk tier beside their targets (FIGURES=quick or full; full takes ten minutes, 60 GiB of sparse files; TRACE=access log)
	CGO_ENABLED=0 $(GO) test ./tiers/disk -run '^TestFigures$$' -v -count=1 -timeout 40m -disk.figures=$(FIGURES) -disk.trace='$(TRACE)'
	$(GO) test ./cmd/weir -run '^$$' -bench '^BenchmarkLargeObject$$' -benchtime 1x -timeout 40m -large=$(LARGE)

.PHONY: fuzz
fuzz: ## Run every fuzz target, one after the other (FUZZTIME=30s FUZZ=regexp)
	GO='$(GO)' .ci/fuzz '$(FUZZ)' '$(FUZZTIME)'

.PHONY: conformance
conformance: ## Run the public HTTP caching suite against weir, print the table (needs npm)
	WEIR_REQUIRE_TOOLS=1 $(GO) test ./proxy/conformance -run TestSuite -count=1 -v -table

.PHONY: replay
replay: ## Replay the access log through weir, compare every byte, print the table
	GO='$(GO)' .ci/replay

.PHONY: bench-invalidation
bench-invalidation: ## Print the figures of purges beside their targets (FIGURES=quick or full; full takes about five minutes)
	$(GO) test ./proxy -run '^TestFigures$$' -count=1 -timeout 40m -v -proxy.figures=$(FIGURES)
	$(GO) test ./invalidation/bus -run '^TestFigures$$' -count=1 -timeout 40m -v -bus.figures=$(FIGURES)

.PHONY: compare
compare: build ## Measure weir beside HAProxy, nginx, Traffic Server, Varnish; write docs/benchmarks.md (ROUNDS=5 SECONDS=3 SYSTEMS= SCENARIOS=)
	.ci/compare-tools
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/weir-compare ./loadtest/compare/cmd
	bin/weir-compare --rounds '$(ROUNDS)' --seconds '$(SECONDS)' --systems '$(SYSTEMS)' --scenarios '$(SCENARIOS)'

.PHONY: trial
trial: build ## Run Express, Django, WordPress and Next.js behind weir; look for pages of somebody else (installs them; SITES=)
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/weir-trial ./loadtest/trial/cmd
	.ci/trial --sites '$(SITES)'

.PHONY: chaos
chaos: build ## Let random faults over weir, check what must hold whatever happens (CHAOS_FOR=60s SEED= FAULTS=name,name)
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/weir-chaos ./loadtest/chaos/cmd
	bin/weir-chaos --for '$(CHAOS_FOR)' $(if $(SEED),--seed '$(SEED)') --faults '$(FAULTS)'

.PHONY: chaos-planted
chaos-planted: ## Plant faults into weir, one after the other, and want each of them found by chaos (minutes)
	$(GO) test ./loadtest/chaos -run '^TestPlanted$$' -count=1 -v -timeout 20m -chaos.planted

.PHONY: tools
tools: ## Install what the tests need where it is missing (gcc, curl, promtool)
	GO='$(GO)' .ci/tools

.PHONY: clean
clean: ## Remove bin/ and .tools/
	rm -rf bin .tools
