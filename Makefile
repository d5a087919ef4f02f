# The only entrance. Every target first installs what it lacks and says what it installs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
SWIFT_FLAGS := --explicit-target-dependency-import-check error

.PHONY: check-pythons check-torch drill help setup build demo demo-model test check bench fmt fuzz soak zero-loss check-sanitizers clean
help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: ## install Debian and PyPI packages that are missing
	@scripts/setup

build: setup ## release build: bin/roost
	@swift build -c release --product roost --static-swift-stdlib $(SWIFT_FLAGS)
	@mkdir -p bin && ln -sf "$$(swift build -c release --show-bin-path)/roost" bin/roost
	@bin/roost version --client

demo: build ## a notebook cell answers behind a REST API
	@scripts/demo

demo-model: build ## saved models answer behind the Open Inference Protocol
	@scripts/demo-model

test: setup build ## every test
	@scripts/test

check: setup ## format, layers, vocabulary, ruff, mypy
	@scripts/check

check-pythons: ## Python tests under each of Python 3.9 to 3.13 that is here
	@scripts/check-pythons

check-torch: build ## torch in checkpoints and in instances; installs it (3 GB) on first use
	@scripts/check-torch

bench: build ## every benchmark; prints tables with ratios
	@scripts/bench

fuzz: setup ## fuzz the decoders for a minute each
	@Fuzz/run

soak: build ## ten minutes of real clients, bad manners and killed instances; SOAK=SECONDS
	@$(PY) Tests/Soak/soak.py --seconds $(or $(SOAK),600)

zero-loss: build ## five minutes of load of every kind while aliases, nodes and processes change; ZERO_LOSS=SECONDS
	@ROOST_ZERO_LOSS_SECONDS=$(or $(ZERO_LOSS),300) scripts/with-engine $(PY) -m pytest -q -s Tests/EndToEnd/test_zero_loss.py

drill: zero-loss ## that, and as long an alias under load while instances are killed, frozen, slowed, the server restarted; DRILL=SECONDS
	@ROOST_DRILL_SECONDS=$(or $(DRILL),300) $(PY) -m pytest -q -s Tests/EndToEnd/test_drill.py -k nothing_is_lost

check-sanitizers: setup ## every Swift test with address, leak and thread sanitizer
	@scripts/check-sanitizers

fmt: setup ## format the sources
	@swift format -i -r Sources Tests Package.swift
	@$(PY) -m ruff format python && $(PY) -m ruff check --fix python

clean: ## remove build products
	@rm -rf .build bin
