SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules

# Pebble's zstd in C takes a third of the time of a first build, its zstd in Go a fiftieth. The journal
# does not use zstd. -ldflags=-w also saves time: stack traces and profiles do not need DWARF.
GOFLAGS ?=
export GOFLAGS := $(strip $(GOFLAGS) -tags=pebblegozstd)

# A number of inputs: with a duration, a run may fail with "context deadline exceeded".
FUZZTIME ?= 20000x
FUZZTIME_SLOW ?= 2000x
SOAK ?= 10m
SOAK_DIR ?= soak
RAW ?= $(or $(SOAK_DIR),soak)/raw.json
SEED ?= 0
PREVIOUS ?=
COMMIT ?=
SEEDS ?= 1000
FIRST ?= 1
STUDY ?=
VULNDB ?=
MODULES ?= . $(NATSTEST) tools
MODE ?= share

# A module of its own: what runs a real nats-server, which the product does not depend on.
NATSTEST = cmd/herd/jetstream/natstest

# Another one: what checks the code. What the tools need is not required by the product.
TOOLS = $(CURDIR)/bin/tools
HAVE_TOOLS = (cd tools && go list -deps -test ./... tool >/dev/null)
NO_TOOLS = echo "NOT RUN: staticcheck, gosec, licenses, tests of tools: modules cannot be fetched"; test -z "$${CI:-}"

# The absolute path of a file that may have spaces, unlike that of abspath.
absolute = $(if $(filter /%,$(firstword $(1))),$(1),$(CURDIR)/$(1))

.DEFAULT_GOAL := help
.PHONY: help build run cells test tools lint checks notice vuln race fuzz cross sim mutants e2e upgrade soak soakreport bench screenshots study clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/herd (COMMIT=...: what it says of itself where git does not tell, as in a tarball)
	CGO_ENABLED=0 go build -trimpath -ldflags='-w$(if $(COMMIT), -X main.givenCommit=$(COMMIT))' -o bin/herd ./cmd/herd

run: build ## start the five servers of herd.toml
	bin/herd up

cells: build ## start two herds and a NATS server; each finds the clients of the other (MODE=share or ask)
	cd $(NATSTEST) && go build -ldflags=-w -o "$(CURDIR)/bin/cells" ./demo
	bin/cells -mode $(MODE)

test: lint race fuzz cross ## everything that CI runs

tools: ## build the tools of tools/go.mod into bin/tools
	cd tools && go build -o "$(TOOLS)/" tool

lint: ## gofmt, go mod tidy, go vet, staticcheck, gosec, licenses
	@test -z "$$(gofmt -l .)" || { echo "not gofmt'd:"; gofmt -l .; exit 1; }
	go mod tidy -diff
	go vet ./...
	cd $(NATSTEST) && go mod tidy -diff
	cd $(NATSTEST) && go vet ./...
	@if $(HAVE_TOOLS); then $(MAKE) --no-print-directory checks; \
	  else $(NO_TOOLS); fi

checks: tools
	"$(TOOLS)/staticcheck" ./...
	go vet -vettool="$(TOOLS)/gosec" ./...
	cd $(NATSTEST) && go vet -vettool="$(TOOLS)/gosec" ./...
	cd tools && go mod tidy -diff
	cd tools && go vet ./...
	cd tools && "$(TOOLS)/staticcheck" ./...
	"$(TOOLS)/notice" -d

notice: tools ## write LICENSES: the modules that are linked, and their licenses
	"$(TOOLS)/notice"

vuln: ## look for known vulnerabilities in code that is called (VULNDB=file:///DIR: another database)
	@$(MAKE) --no-print-directory tools || { echo "NOT RUN: known vulnerabilities: the tools cannot be built"; exit 1; }
	@failed=0; for dir in $(MODULES); do \
	  (cd $$dir && "$(TOOLS)/govulncheck" $(if $(VULNDB),-db $(VULNDB)) ./...) || { \
	  test $$? = 3 || echo "nothing was checked in $$dir: the database or the module cannot be read"; failed=1; }; \
	done; exit $$failed

race: ## all tests, with the race detector
	@/usr/bin/python3 -c 'import twisted, tomllib' 2>/dev/null || \
	  echo "NOT RUN: a herd with the paper's server in it, the peer twisted: apt-get install python3-twisted"
	@node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2>/dev/null || \
	  echo "NOT RUN: the peer node: apt-get install nodejs, 18 or newer"
	@PATH=$$PATH:/usr/sbin command -v logrotate >/dev/null || \
	  echo "NOT RUN: logs rotated by logrotate: apt-get install logrotate"
	@command -v chromium chromium-browser google-chrome headless-shell >/dev/null || \
	  echo "NOT RUN: the page in a browser: apt-get install chromium"
	@PATH=$$PATH:/usr/sbin command -v haproxy >/dev/null || \
	  echo "NOT RUN: a server behind HAProxy: apt-get install haproxy"
	@command -v openssl >/dev/null || \
	  echo "NOT RUN: renegotiation of TLS: apt-get install openssl"
	@command -v systemd-analyze >/dev/null || \
	  echo "NOT RUN: systemd-analyze of the units: apt-get install systemd"
	@test "$$(id -u)" = 0 && test -x /usr/lib/systemd/systemd -o -x /lib/systemd/systemd && command -v openssl >/dev/null || \
	  echo "NOT RUN: the units under systemd, if Linux lets root mount: as root, apt-get install systemd openssl"
	@[ "$$(id -u)" = 0 ] || \
	  echo "NOT RUN: secrets of root that another user reads, and logs that a group reads: as root"
	@unshare --pid --fork true >/dev/null 2>&1 || \
	  echo "NOT RUN: a server as PID 1 in an empty root: as root"
	@unshare --net sh -c 'ip link add sites type bridge && tc qdisc add dev sites root tbf rate 16mbit burst 32k latency 40ms' >/dev/null 2>&1 || \
	  echo "NOT RUN: herds and a NATS cluster in network namespaces: as root, apt-get install iproute2"
	@git rev-parse --quiet --verify HEAD~1 >/dev/null 2>&1 || \
	  echo "NOT RUN: a rolling upgrade from an earlier commit: needs git and a history of two commits"
	go test -race -timeout 30m ./...
	go test ./herd/sim
	cd $(NATSTEST) && go test -count=1 -race -parallel 8 -timeout 30m ./...
	cd $(NATSTEST) && go test -count=1 -run '^TestBackpressure$$' .
	@if $(HAVE_TOOLS); then cd tools && go test ./...; else $(NO_TOOLS); fi

fuzz: ## run each fuzz target for FUZZTIME, or FUZZTIME_SLOW: a number of inputs, or a duration
	grep -r --include='*_test.go' '^func Fuzz' . | \
	  sed -E 's,^(.*)/[^/]*:func (Fuzz[^(]*).*,\1 \2,' | sort | \
	  while read -r package target; do \
	    case $$target in FuzzHygiene) inputs=$(FUZZTIME_SLOW) ;; *) inputs=$(FUZZTIME) ;; esac; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $$inputs -fuzzminimizetime 10x $$package; \
	  done

cross: ## build for the other platforms
	GOOS=linux GOARCH=arm64 go build -o /dev/null ./cmd/herd ./cmd/study
	GOOS=darwin GOARCH=arm64 go build -o /dev/null ./cmd/herd ./cmd/study

sim: ## run SEEDS seeds of the simulation from FIRST on, each twice
	go test -count=1 -v -timeout 24h -run '^Test(Seeds|Cells)$$' ./herd/sim -seeds $(SEEDS) -first $(FIRST)

mutants: ## apply each mutant (a bug) and check that a test detects it
	go run ./herd/sim/mutants

e2e: ## test herds of real processes under faults, in real size, with figures
	go test -count=1 -v -timeout 60m ./cmd/herd/e2e -e2e.real

upgrade: ## upgrade five servers from PREVIOUS, a commit or a herd binary, under load, and back, with figures
	@test -n '$(PREVIOUS)' || git rev-parse --quiet --verify HEAD~1 >/dev/null || \
	  { echo "NOT RUN: there is no earlier commit; PREVIOUS may be a herd binary"; exit 1; }
	go test -count=1 -v -timeout 30m -run '^TestRollingUpgrade$$' ./cmd/herd/e2e -e2e.real -e2e.previous='$(PREVIOUS)'

soak: ## load, faults and attacks together for SOAK; the report is in SOAK_DIR
	SOAK_DIR="$(call absolute,$(or $(SOAK_DIR),soak))" go test -count=1 -v -timeout 0 -run '^TestSoak$$' ./cmd/herd/e2e -e2e.real \
	  -e2e.soak $(SOAK) -e2e.seed $(SEED)

soakreport: ## make the report of a soak again from RAW (SOAK_DIR/raw.json) in SOAK_DIR
	go test -count=1 -v -run '^TestReport$$' ./cmd/herd/e2e/soak -raw "$(call absolute,$(RAW))" \
	  -into "$(call absolute,$(or $(SOAK_DIR),soak))"

bench: ## Go benchmarks with allocations
	go test -run '^$$' -bench . -benchmem ./...

screenshots: ## make the pictures of the documents with the real page, five servers and the demo
	PICTURES="$(CURDIR)/cmd/herd/console/pictures" go test -count=1 -run '^TestPictures$$' ./cmd/herd/e2e/browser

study: build ## measure engines and peers and write report/, in an hour (STUDY=--quick: two minutes)
	CGO_ENABLED=0 go build -trimpath -ldflags=-w -o bin/study ./cmd/study
	bin/study $(STUDY)

clean: ## remove binaries and logs
	rm -rf bin logs cells
