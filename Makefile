# What one does with a checkout. Every verb makes ready what it needs, and is quick when it is ready.
# From nothing but Python 3.11 or newer, gcc and make; as root on Debian it installs what is missing.

# The system's Python where it can be had: Debian's does the same work with 6 to 14 % less CPU than one
# that was compiled with the usual settings. Another one: make PYTHON=python3.13 ...
SUITS := import ensurepip, pathlib, sys, sysconfig, venv; sys.exit(sys.version_info < (3, 11) \
	or not pathlib.Path(sysconfig.get_paths()["include"], "Python.h").exists())
PYTHON ?= $(shell /usr/bin/python3 -c '$(SUITS)' 2>/dev/null && echo /usr/bin/python3 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
# Tests at a time. More than there are cores: those that start daemons spend most of their time waiting.
JOBS ?= 3
# How many times the usual number of histories and examples `make sim` and `make fuzz` run.
SCALE ?= 20

# What users import; tests/unit/test_public_api.py sees to it that each name is documented.
DOCUMENTED := spirula.rados spirula.rados.aio spirula.testing

# Those that a wheel is for.
PYTHONS := 3.11 3.12 3.13 3.14

PYTEST := $(BIN)/python -m pytest
SOURCES := src tests $(wildcard bench)
KERNELS := $(wildcard src/spirula/kernels/*.[ch])
DEBIAN_PACKAGES := $(shell sed -e 's/\#.*//' requirements/debian.txt)

.DEFAULT_GOAL := help
.PHONY: help setup up down test quick lint format sim thrash fuzz bench docs pins wheels interop-packages clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1	\2/p' Makefile | expand -t 28

setup: $(VENV)/.spirula ## make .venv and the command .venv/bin/spirula

up: $(VENV)/.spirula ## start a cluster of three monitors, three OSDs and a manager in .cluster
	$(BIN)/spirula up --dir .cluster --mons 3

down: $(VENV)/.spirula ## end what `make up` started; its data stays
	$(BIN)/spirula down --dir .cluster

test: lint interop-packages ## lint, then all tests
	$(PYTEST) -n $(JOBS)

quick: $(VENV)/.spirula ## the unit tests, in less than two minutes
	$(PYTEST) -n $(JOBS) -m 'not slow' tests/unit

lint: $(VENV)/.spirula ## ruff, mypy, the order of imports, banned calls
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --cache-dir .import_linter_cache

format: $(VENV)/.spirula ## let ruff lay out the sources
	$(BIN)/ruff format $(SOURCES)

sim: $(VENV)/.spirula ## many more simulated histories than `make test` (SCALE=20 times)
	$(PYTEST) -n $(JOBS) --scale $(SCALE) tests/sim

thrash: $(VENV)/.spirula ## let daemons and links suffer under load, SCALE times as long as in `make test`
	$(PYTEST) -s --scale $(SCALE) tests/thrash

fuzz: $(VENV)/.spirula ## much more bad input than `make test`, new at each run (SCALE=20 times)
	HYPOTHESIS_PROFILE=explore $(PYTEST) --randomly-seed=default -n $(JOBS) --scale $(SCALE) tests/fuzz tests/property

bench: $(VENV)/.spirula ## measure: every script in bench/ in turn
	@set -e; for script in bench/[!_]*.py; do \
		[ -e "$$script" ] || { echo 'make bench: bench/ holds no scripts' >&2; exit 1; }; \
		echo "== $$script"; $(BIN)/python "$$script"; \
	done

wheels: $(VENV)/.spirula ## build the wheel into dist, and run the guide with it on every Python that is here
	rm -rf build dist
	$(BIN)/uv build -q --wheel --no-build-isolation --python $(BIN)/python --out-dir dist
	@set -e; for version in $(PYTHONS); do \
		python=$$($(BIN)/uv python find --no-python-downloads --system $$version 2>/dev/null) \
			|| { echo "Python $$version: not here"; continue; }; \
		rm -rf build/try; $(BIN)/uv venv -q --python $$python build/try; \
		$(BIN)/uv pip install -q --python build/try/bin/python dist/*.whl; \
		build/try/bin/python tests/try_guide.py; \
	done

docs: $(VENV)/.spirula ## write the reference of the Python API to docs/_build, out of its docstrings
	$(BIN)/pdoc --output-directory docs/_build $(DOCUMENTED)

pins: $(VENV)/.uv ## pin requirements/*.in anew, with hashes and without addresses
	for name in uv runtime dev; do \
		UV_CUSTOM_COMPILE_COMMAND='make pins' $(BIN)/uv pip compile --quiet --upgrade --universal \
			--python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
			-o requirements/$$name.txt requirements/$$name.in || exit 1; \
	done

clean: ## remove .venv and what tools left behind
	rm -rf $(VENV) build dist docs/_build .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# An empty environment, with Debian's python3-venv where that is what is missing.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Spirula needs Python 3.11 or newer: make PYTHON=/path/to/python3 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -q && DEBIAN_FRONTEND=noninteractive \
				apt-get install -q -y --no-install-recommends python3-venv; \
		else \
			echo 'Python has no venv module here. On Debian: apt-get install python3-venv' >&2; exit 1; \
		fi; }
	@$(PYTHON) -c 'import pathlib, sys, sysconfig; \
		sys.exit(not pathlib.Path(sysconfig.get_paths()["include"], "Python.h").exists())' || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive \
			apt-get install -q -y --no-install-recommends python3-dev || true; \
	else \
		echo "no headers of Python: kernels are not compiled (Debian: apt-get install python3-dev)" >&2; \
	fi
	$(PYTHON) -m venv $(VENV)

# uv, by its hash; everything else is installed by it.
$(VENV)/.uv: requirements/uv.txt | $(BIN)/python
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/.requirements: requirements/dev.txt $(VENV)/.uv
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install -q --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.spirula: pyproject.toml requirements/runtime.in src/spirula/__init__.py $(KERNELS) $(VENV)/.requirements
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# Ceph's own programs, for the tests that talk to a real cluster. Without them those tests are skipped,
# and say so.
interop-packages:
	@missing=''; for package in $(DEBIAN_PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' \
			|| missing="$$missing $$package"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing for the interop tests:$$missing"; \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive \
			apt-get install -q -y --no-install-recommends $$missing \
			|| echo 'apt-get failed: the tests that need a real Ceph will be skipped' >&2; \
	else \
		echo "the tests that need a real Ceph will be skipped: not installed:$$missing" >&2; \
	fi
