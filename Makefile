# "make help" lists the targets. Each does one thing; CI runs "make test".
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BIN     := bin/nook
TOOL    := $(GO) tool -modfile=contrib/tools/go.mod
BUILD   := $(GO) build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)'
export CGO_ENABLED = 0

.DEFAULT_GOAL := build
.PHONY: help build run test check fmt lint unit script long conform race cover fixtures bench docs repro install clean

help:      ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build:     ## bin/nook: static, stripped, reproducible
	$(BUILD) -o $(BIN) ./cmd/nook

run:       ## set this machine up, build, and run a command in a real image
	@contrib/first-run

first-run-here:
	@contrib/first-run

test:      ## everything, as an ordinary user (made first, if you are root)
	@test/as-user check

check: lint build conform-here ## lint, validation programs, unit tests and scripts; not as root
	NOOK=$(CURDIR)/$(BIN) $(TOOL) gotestsum --format pkgname --format-hide-empty-pkg -- -count=1 -timeout 20m ./...

fmt:       ## rewrite the sources in the house format
	$(TOOL) golangci-lint fmt

lint:      ## golangci-lint with .golangci.yml, formatting included
	$(TOOL) golangci-lint run

unit:      ## unit tests
	$(GO) test ./cmd/... ./libpod/... ./pkg/... ./userns/...

script:    ## end-to-end scripts, all or one: make script RUN=run_exit
	@test/as-user script-here RUN='$(RUN)'

long:      ## the scripts that move bulk data, with 1 GiB (else 64 MiB)
	@test/as-user script-here RUN='bulk_.*' BULK=1024

script-here: build # as-user's half of script
	NOOK=$(CURDIR)/$(BIN) NOOK_BULK=$(BULK) $(GO) test ./test -count=1 -timeout 60m -run 'TestScript/script/$(RUN)' $(V)

conform:   ## the OCI runtime-tools validation programs against "nook oci"
	@test/as-user conform-here CONFORM_RUNTIME='$(CONFORM_RUNTIME)' CONFORM_REPORTS='$(CONFORM_REPORTS)'

conform-here: build # as-user's half of conform
	cd test/conform && NOOK=$(CURDIR)/$(BIN) $(GO) test -count=1 $(V)

race:      ## unit tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race ./cmd/... ./libpod/... ./pkg/... ./userns/...

cover:     ## coverage of the unit tests
	$(GO) test -coverpkg=./... -coverprofile=bin/cover.out ./cmd/... ./libpod/... ./pkg/... ./userns/...
	$(GO) tool cover -func=bin/cover.out | tail -1

fixtures:  ## make the test images now (else the first test does)
	$(GO) run ./test/lab/mklab busybox debian registry

bench:     ## side by side with podman, crun and bwrap: ratios against docs/bench.md
	@test/bench/run

docs:      ## check docs against the tree: code map, dependencies, links
	$(GO) test ./test -count=1 -run 'TestDocs'

repro:     ## build twice, in two directories, and compare
	@contrib/repro '$(VERSION)'

install: build ## into $(DESTDIR)$(PREFIX), default /usr/local
	install -D -m 0755 $(BIN) $(DESTDIR)$(or $(PREFIX),/usr/local)/bin/nook

clean:     ## remove bin/
	rm -rf bin
