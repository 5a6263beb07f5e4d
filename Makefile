# SPDX-License-Identifier: AGPL-3.0-or-later
# Every target is one line; what needs more is a script in scripts/ or a Go
# program in tools/. `make help` prints the comments behind the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

export ONCE REPORT FAULT
export CHARTROOM_REQUIRE ?= engine,redis,browser,compose
# Built and not `go run`, which does not pass a signal on.
STAGES := GOWORK=off go build -C tools -o ../bin/tools/stages ./cmd/stages && exec bin/tools/stages

.PHONY: help build demo test bootstrap unit lint generate verify-generated race browser e2e faults conformance fuzz bench images compose-up compose-down clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build every binary into bin/ (and the dashboard that one of them carries)
	@scripts/build

demo: ## See a container die and come back with its state (ONCE=1, REPORT=file, FAULT=drop|twice|stale)
	@scripts/demo

test: ## Run everything that can fail: lint, drift, unit, race, browser, e2e, compose, fault demos
	@$(STAGES)

bootstrap: ## Install what the tests need (Debian, as root; elsewhere print the command)
	@scripts/bootstrap test

unit: ## Run the unit and scenario tests of every module
	@$(STAGES) -only unit

lint: ## Run gofmt, vet, staticcheck, licence headers, buf, and cross-build the agent
	@$(STAGES) -only lint

generate: ## Regenerate everything under a path with gen in it
	@scripts/generate

verify-generated: ## Fail when the committed generated code is not what generate makes
	@scripts/generate --verify

race: ## Run the packages with goroutines under the race detector
	@$(STAGES) -only race

browser: ## Run the dashboard's tests in Chromium against the real gateway
	@$(STAGES) -only bootstrap,build,browser

e2e: ## Run the tests against the real engine and a real Redis, with real kills
	@$(STAGES) -only bootstrap,build,e2e

faults: ## Run the three demos with a fault built in: each must be found out
	@$(STAGES) -only bootstrap,build,faults

conformance: ## Run the SCXML conformance suites named by CHARTROOM_CONFORMANCE
	@$(STAGES) -only conformance

fuzz: ## Look for inputs that break the kernel (FUZZTIME=20s a target, CHECKS=1000 a property, SEED)
	@scripts/fuzz

bench: build ## Measure against the yardsticks, run in the same minute
	@scripts/bench

images: build ## Build the container images from bin/ (and a Redis where none can be pulled)
	@scripts/bootstrap
	@scripts/images

compose-up: images ## Bring up deploy/compose.yaml, and print the dashboard's address
	@scripts/compose -f deploy/compose.yaml up --detach --wait
	@scripts/compose -f deploy/compose.yaml logs --no-log-prefix init

compose-down: ## Take deploy/compose.yaml down again, with its volumes
	@scripts/compose -f deploy/compose.yaml down --volumes

clean: ## Remove bin/ and build/
	@rm -rf bin build
