# Nave: `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The clusters of the lab say that they are this version.
KUBERNETES := v1.36.3
KUBE_LDFLAGS := -s -w -X k8s.io/component-base/version.gitVersion=$(KUBERNETES) \
	-X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36
KUBE_SOURCES := $(shell find kube -name '*.go' -o -name 'go.*')

# The race detector needs a C compiler.
RACE := $(shell command -v gcc >/dev/null 2>&1 && echo -race)

# Tests that only start other programs, read the source, or use up a budget of work in
# one goroutine: nothing to race.
PLAIN := /internal/(lab|lint|testenv|dialect/argocd/templates)$$

.PHONY: help build kube demo lab check test verify bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: kube bin/helm ## Build nave, nave-lab and everything they need into bin/
	go build -o bin/ ./cmd/...

kube: bin/kube bin/kwok bin/kubectl ## Build the lab's control planes and kubectl (six minutes the first time)

bin/kube bin/kwok: bin/%: $(KUBE_SOURCES)
	@echo "building $@ (the first time takes minutes)"
	cd kube && go build -ldflags '$(KUBE_LDFLAGS)' -o ../$@ ./cmd/$*
	@touch $@

bin/kubectl: $(KUBE_SOURCES)
	cd kube && go build -ldflags '$(KUBE_LDFLAGS)' -o ../$@ k8s.io/kubernetes/cmd/kubectl
	@touch $@

bin/helm: go.mod # which stories of releases look at them with
	go build -ldflags '-s -w' -o $@ helm.sh/helm/v4/cmd/helm

demo: build ## Start the sample fleet, until Ctrl-C
	bin/nave-lab demo

lab: build ## Start the sample fleet that fits this machine and leave it running
	bin/nave-lab up --fleet auto

check: verify test ## Everything that must pass before a change lands

verify: ## Format, vet, staticcheck, tidy modules
	@test -z "$$(gofmt -l .)" || { echo 'not formatted:'; gofmt -l .; exit 1; }
	go mod tidy -diff
	cd kube && go mod tidy -diff
	go vet ./...
	cd kube && go vet ./...
	go tool staticcheck ./...

test: build ## All tests, with the race detector where it pays and there is a C compiler
	go test $(RACE) -timeout 30m $$(go list ./... | grep -vE '$(PLAIN)')
	go test -timeout 45m $$(go list ./... | grep -E '$(PLAIN)')

bench: build ## Measure everything, and rewrite the table in docs/performance.md
	bin/nave-lab bench --page docs/performance.md

clean: ## Remove what was built, and the lab
	[ ! -x bin/nave-lab ] || bin/nave-lab down --delete
	rm -rf bin
