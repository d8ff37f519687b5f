# "make help" lists the targets. Each does one thing; CI runs "make test".
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BIN     := bin/nook
TOOL    := $(GO) tool -modfile=contrib/tools/go.mod
# The profile is of the process of a network, which has most to do for the longest.
PGO     := -pgo=$(CURDIR)/contrib/nook.pgo
BUILD   := $(GO) build -trimpath -buildvcs=false $(PGO) -ldflags '-s -w -X main.version=$(VERSION)'
# A program that was written in pieces of 64 KB is in the page cache in folios of that
# size, where the file system has them: what a fault maps, as ever, but at once. A start
# takes a tenth less than after the linker, which writes page by page. In larger
# folios it takes less still, and an idle process keeps more of them mapped.
PLACE   = dd if=$(1) of=$(2).new bs=64K status=none && chmod 755 $(2).new && mv $(2).new $(2)
export CGO_ENABLED = 0

.DEFAULT_GOAL := build
.PHONY: help build run test check fmt lint unit script long sandbox vm conform fuzz race cover fixtures bench docs repro profile install clean

help:      ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build:     ## bin/nook: static, stripped, reproducible
	$(BUILD) -o $(BIN) ./cmd/nook
	@$(call PLACE,$(BIN),$(BIN))

run:       ## set this machine up, build, and run a command in a real image
	@contrib/first-run

first-run-here:
	@contrib/first-run

test:      ## everything, as an ordinary user (made first, if you are root)
	@test/as-user check
	@test/inmachine/run

check: lint build conform-here ## lint, validation programs, unit tests and scripts; not as root
	NOOK=$(CURDIR)/$(BIN) $(TOOL) gotestsum --format pkgname --format-hide-empty-pkg -- -count=1 -timeout 20m -vet=off -ldflags='-s -w' ./...

fmt:       ## rewrite the sources in the house format
	$(TOOL) golangci-lint fmt

lint:      ## golangci-lint with .golangci.yml, formatting included
	$(TOOL) golangci-lint run --allow-parallel-runners

unit:      ## unit tests
	$(GO) test ./cmd/... ./libpod/... ./pkg/... ./slirp/... ./userns/...

script:    ## end-to-end scripts, all or one: make script RUN=run_exit
	@test/as-user script-here RUN='$(RUN)' V='$(V)'

long:      ## the scripts that move bulk data, with 1 GiB (else 64 MiB), and 500 kills (else 100)
	@test/as-user script-here RUN='(.*bulk|network_crash).*' BULK=1024

script-here: build # as-user's half of script
	NOOK=$(CURDIR)/$(BIN) NOOK_BULK=$(BULK) $(GO) test ./test -count=1 -timeout 60m -run 'TestScript/script/$(RUN)' $(V)

sandbox:   ## scripts in a systemd of their own, as root: make sandbox RUN=journald
	@test/inmachine/run sandbox '$(RUN)'

vm:        ## scripts in a VM with all cgroup controllers: make vm RUN=reboot
	@test/inmachine/run vm '$(RUN)'

payload-here: build # as-user's part of sandbox and vm
	$(GO) run ./test/inmachine payload $(KIND) bin/payload '$(RUN)'

vm-here: # as-user's part of vm
	$(GO) run ./test/inmachine vm bin/payload

conform:   ## the OCI runtime-tools validation programs against "nook oci"
	@test/as-user conform-here CONFORM_RUNTIME='$(CONFORM_RUNTIME)' CONFORM_REPORTS='$(CONFORM_REPORTS)'

conform-here: build # as-user's half of conform
	cd test/conform && NOOK=$(CURDIR)/$(BIN) $(GO) test -count=1 $(V)

fuzz:      ## every fuzzer for five seconds, or: make fuzz FUZZ="60 pkg/store"
	@test/fuzz $(FUZZ)

race:      ## unit tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race ./cmd/... ./libpod/... ./pkg/... ./slirp/... ./userns/...

cover:     ## coverage of the unit tests
	$(GO) test -coverpkg=./... -coverprofile=bin/cover.out ./cmd/... ./libpod/... ./pkg/... ./slirp/... ./userns/...
	$(GO) tool cover -func=bin/cover.out | tail -1

fixtures:  ## make the test images now (else the first test does)
	$(GO) run ./test/lab/mklab busybox debian registry machine disk

bench:     ## side by side with podman, crun and bwrap: ratios against docs/bench.md (ROWS=regexp)
	@test/bench/run

docs:      ## write docs/commands.md, and check docs against the tree
	$(GO) test ./cmd/nook/root -count=1 -update
	$(GO) test ./cmd/nook/root ./test -count=1 -run 'TestDocs|TestFeatures|TestAbsent'

repro:     ## build twice, in two directories, and compare
	@contrib/repro '$(VERSION)'

install: build ## into $(DESTDIR)$(PREFIX), default /usr/local
	@mkdir -p $(DESTDIR)$(or $(PREFIX),/usr/local)/bin
	$(call PLACE,$(BIN),$(DESTDIR)$(or $(PREFIX),/usr/local)/bin/nook)

profile:   ## write contrib/nook.pgo, by which the compiler knows what is worth its while (needs iperf3)
	@contrib/profile

clean:     ## remove bin/
	rm -rf bin
