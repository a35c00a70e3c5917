# `make` says what there is. Everything works on a bare checkout with python3 (3.11 or later) and make; only `make test-all`
# and `make tools` want Go 1.26, which builds the servers that those tests run against, once.

PYTHON ?= python3
VENV   ?= .venv
CACHE  ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/nats-k8s-oidc-callout
ARGS   ?=
TOOLS  ?=
# Files are what is shared out: worlds belong to them (tests/processes.py). To four processes on however few cores: half of the
# time they wait for servers. ARGS=-n0 runs all in one, for a debugger.
SIDE_BY_SIDE := -n 4 --dist=loadfile --no-loadscope-reorder
BENCH  ?=

BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check --quiet
SRC     := src tests tools image $(wildcard bench fuzz)
# A virtual environment belongs to one Python: the other versions of `make test-python` have theirs outside the checkout.
PYTHON_VERSION = $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)

# Images of containers like to set it; the tests start hundreds of Pythons, and each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo dev tools test test-all test-kind test-python coverage check fmt bench fuzz image docs lock release release-check dist audit clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r name what; do \
		printf '  make %-13s %s\n' "$$name" "$$what"; done
	@printf '\nPYTHON=%s   VENV=%s   ARGS=… goes to what runs: pytest, the demo, the benchmarks\n' '$(PYTHON)' '$(VENV)'

demo: $(VENV)/.demo ## the whole story on this machine, in seconds
	@$(BIN)/nats-k8s-oidc-callout demo $(ARGS)

dev: $(VENV)/.dev ## .venv with all that developing needs

tools: $(VENV)/bin/python ## build the pinned servers that tests run against (minutes, once; TOOLS=helm: that one)
	@$(BIN)/python tools/build.py $(TOOLS)
	@$(BIN)/python -m tools.crds

test: $(VENV)/.dev ## the quick tests, with a real nats-server from its wheel: Python is all they need
	@$(BIN)/python -m pytest -m 'not slow and not go' $(SIDE_BY_SIDE) $(ARGS)

test-all: $(VENV)/.dev tools ## what `make test` leaves out: the slow tests, and those that need what Go builds
	@$(BIN)/python tools/build.py prometheus helm-3
	@$(BIN)/python -m tests.clients.builds
	@$(BIN)/python -c 'from tools import image; image.missing_for_stand_in() or image.stand_in()'
	@# 3: with four, tests with deadlines of seconds failed on a busy machine. pytest's 1: some failed; 5: none were left to run.
	@failed=0; \
	$(BIN)/python -m pytest -m '(slow or go) and not alone' $(SIDE_BY_SIDE) -n 3 $(ARGS) || case $$? in 1) failed=1;; 5);; *) exit 2;; esac; \
	$(BIN)/python -m pytest -m '(slow or go) and alone' $(ARGS) || case $$? in 1) failed=1;; 5);; *) exit 2;; esac; \
	exit $$failed

test-kind: $(VENV)/.dev image ## an installation in a cluster of kind's, with docker, kind, kubectl and helm
	@$(BIN)/python -m pytest -m slow tests/e2e/test_any_cluster.py -k kind $(ARGS)

test-python: ## core, settings, responder and adapters on another Python: make test-python PYTHON=python3.12
	@[ -n '$(PYTHON_VERSION)' ] || { echo 'There is no $(PYTHON) here.' >&2; exit 2; }
	@$(MAKE) --no-print-directory VENV='$(CACHE)/venv-test-$(PYTHON_VERSION)-$(shell cksum < requirements/test.txt | cut -d" " -f1)' PYTHON='$(PYTHON)' .test-python

.PHONY: .test-python
.test-python: $(VENV)/.test
	@$(BIN)/python -m pytest -o cache_dir='$(VENV)/.pytest_cache' -m 'not slow' $(SIDE_BY_SIDE) tests/core tests/bounded tests/settings tests/test_responder.py tests/adapters $(ARGS)

coverage: $(VENV)/.dev ## what the quick tests reach, by branches; all of core/, by its own tests alone, or this fails
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest --quiet -m 'not slow and not go' $(SIDE_BY_SIDE) tests/core $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --include='src/*/core/*' --fail-under=100
	@$(BIN)/coverage run -m pytest --quiet -m 'not slow and not go' $(SIDE_BY_SIDE) $(ARGS)
	@$(BIN)/coverage combine --quiet --append
	@$(BIN)/coverage report

check: $(VENV)/.dev ## lint, format, types, the import contract, and nothing in the checkout that does not belong there
	@$(BIN)/ruff check $(SRC)
	@$(BIN)/ruff format --check $(SRC)
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tools/hygiene.py

fmt: $(VENV)/.dev ## sort imports and format
	@$(BIN)/ruff check --fix-only --quiet $(SRC)
	@$(BIN)/ruff format $(SRC)

bench: $(VENV)/.dev ## the quick benchmarks, in at most 10 minutes: one table, and plots (BENCH=bench/x.py: that one)
	@$(BIN)/python $(or $(BENCH),-m bench) $(ARGS)

fuzz: $(VENV)/.dev ## fuzz every parser of strangers' bytes (ARGS='--seconds=20 token': that long, that one)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(PIP) install --require-hashes --only-binary :all: -r requirements/fuzz.txt || true
	@$(BIN)/python -c 'import atheris' 2>/dev/null || { echo 'NOT FUZZED: there is no atheris for this Python.'; exit 0; }; \
		$(BIN)/python fuzz/run.py $(ARGS)

image: ## build the container image, with docker, podman or buildah (ARGS=--help)
	@$(new-enough)
	@$(PYTHON) tools/image.py $(ARGS)

docs: $(VENV)/.dev ## write what is made from the code: tables of settings and benchmarks, the chart's README, copies in examples/
	@cp src/nats_k8s_oidc_callout/client.py src/nats_k8s_oidc_callout/frameworks.py examples/clients/python/
	@$(BIN)/python -m tools.configuration_table
	@$(BIN)/python -m tools.policy_reference
	@$(BIN)/python -m tools.chart_readme
	@$(BIN)/python -m bench --write-docs

lock: $(VENV)/.lock ## pin requirements/ anew from pyproject.toml (ARGS=--upgrade: the newest of everything)
	@PATH='$(CURDIR)/$(BIN)':"$$PATH" $(BIN)/python tools/lock.py $(ARGS)

release: $(VENV)/.dev ## write VERSION=1.2.3 everywhere it stands; then commit, and tag it v1.2.3
	@$(BIN)/python -m tools.release '$(VERSION)'

release-check: $(VENV)/.dev ## say where VERSION=1.2.3 is missing
	@$(BIN)/python -m tools.release '$(VERSION)' --check

dist: $(VENV)/.dev ## build what a release publishes into dist/: wheel, source archive, chart, notes
	@$(BIN)/python -m tools.release "$$($(BIN)/python -c 'import importlib.metadata as m; print(m.version("nats-k8s-oidc-callout"))')" --dist dist

audit: $(VENV)/.audit ## look the pinned dependencies up in the advisories (asks the network)
	@$(BIN)/pip-audit --requirement requirements/runtime.txt --disable-pip --progress-spinner off

clean: ## remove .venv and what tools left in the checkout; the built servers stay in their cache
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests tools fuzz -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: what is installed, no older than the pins that it came from. `dev` holds all that the others do.
$(VENV)/bin/python:
	@$(new-enough)
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(VENV)/bin/python
	@if [ -e $(VENV)/.dev ] && [ $(VENV)/.dev -nt $< ] && [ $(VENV)/.dev -nt pyproject.toml ]; then :; else \
		echo 'Installing what the demo needs into $(VENV) …'; $(call install,$<); fi
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@echo 'Installing what developing needs into $(VENV) …'; $(call install,$<)
	@touch $@

# Shared by all checkouts of one user, so our own package is not installed there: pytest finds src/ by itself.
$(VENV)/.test: | $(VENV)/bin/python
	@echo 'Installing what these tests need into $(VENV) …'; $(PIP) install --require-hashes -r requirements/test.txt
	@touch $@

$(VENV)/.audit: requirements/audit.txt | $(VENV)/bin/python
	@$(PIP) install --require-hashes -r $<
	@touch $@

$(VENV)/.lock: requirements/lock.txt | $(VENV)/bin/python
	@$(PIP) install --require-hashes -r $<
	@touch $@

new-enough = $(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or later is needed: make PYTHON=…")'
install = $(PIP) install --require-hashes -r $(1) && $(PIP) install --no-deps --no-build-isolation --editable .
