# Everything sets itself up: Python 3.11 or newer, make and git are enough to begin with.
#
#   make demo    a whole deploy on this machine, as yourself, measured
#   make test    all tests; as root on Debian also those on real systemd hosts
#   make check   what must hold before every commit: linters, types, layers, fast tests
#   make bench   the figures of the README, side by side with other tools
#   make test-chaos  every fault at every step: what make test tries a few of (ROUNDS=200)
#   make mutations   plant faults in the code, and see a test notice each
#   make lab     real hosts for you to play with (HOSTS=3); make lab-down removes them

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
ROUNDS ?= 200
.PHONY: help demo test test-chaos mutations check fast lint embedded acceptance bench lab lab-down packages clean

HOSTS ?= 3
BIN := .venv/bin
READY := .venv/.ready
FAST := $(wildcard tests/unit tests/golden tests/laws)

# The lock names PyPI's own addresses; where only a mirror answers, pip's settings know it.
export UV_PYTHON_DOWNLOADS := never
export UV_SYSTEM_CERTS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help:
	@sed -n 's/^#   //p' Makefile

demo: $(READY)
	@$(BIN)/steer demo

test: $(READY) packages fast embedded acceptance

check: $(READY) packages lint fast

lint: $(READY)
	@echo "ruff"
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { \
		echo "error: not formatted; run $(BIN)/ruff format"; exit 1; }
	@echo "mypy --strict"
	@$(BIN)/mypy --no-error-summary
	@echo "import-linter"
	@$(BIN)/lint-imports > .venv/imports.log || { cat .venv/imports.log; exit 1; }

fast: $(READY) packages
	@echo "tests: $(FAST)"
	@$(BIN)/pytest -q -n 2 --no-header -m "not slow" $(FAST)

embedded: $(READY) packages
	@echo "tests: the drivers' laws on the embedded host"
	@$(BIN)/pytest -q -n 2 --dist loadfile --no-header -m slow $(FAST)

acceptance: $(READY) packages
	@echo "tests: tests/acceptance"
	@$(BIN)/pytest -q -n 2 --dist loadfile --no-header tests/acceptance

test-chaos: $(READY) packages
	@echo "tests: every fault at every step, $(ROUNDS) cut links, and RabbitMQ"
	@STEERSMAN_CHAOS=$(ROUNDS) $(BIN)/pytest -q --no-header tests/acceptance/test_chaos.py \
		tests/acceptance/test_workers.py

mutations: $(READY)
	@PYTHONPATH=tests $(BIN)/python -m mutations

bench: $(READY) packages
	@PYTHONPATH=tests $(BIN)/python -m benchmarks
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.rollout
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.push
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.daemon
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.fleet
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.store
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.logs
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.statsd
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.wires
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.plugins
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.start

lab: $(READY) packages
	@PYTHONPATH=tests $(BIN)/python -m lab up --hosts $(HOSTS)

lab-down: $(READY)
	@PYTHONPATH=tests $(BIN)/python -m lab down

packages:
	@tests/debian-packages

clean:
	@rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(READY): pyproject.toml uv.lock tests/make-venv
	@tests/make-venv
	@touch $@
