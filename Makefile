# One place for every command; `make help` lists them. Needs nothing but Python >= 3.11 beforehand.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ARGS="…" are passed on: make demo ARGS="--scenario=failure-spike"
.PHONY: demo
demo: $(VENV)/runtime.stamp ## the exporter against a simulated Twilio account; needs no account
	@exec $(BIN)/python -m exporter demo $(ARGS)

.PHONY: run
run: $(VENV)/runtime.stamp ## the exporter against Twilio; credentials from the environment
	@exec $(BIN)/python -m exporter run $(ARGS)

.PHONY: once
once: $(VENV)/runtime.stamp ## one poll, printed; credentials from the environment
	@exec $(BIN)/python -m exporter once $(ARGS)

.PHONY: check
check: $(VENV)/runtime.stamp ## whether the credentials work, and what polling will cost
	@exec $(BIN)/python -m exporter check $(ARGS)

.PHONY: test
test: $(VENV)/dev.stamp ## the tests, with coverage
	$(BIN)/python -m pytest -n auto --cov --cov-report=term $(ARGS)

.PHONY: bench
bench: $(VENV)/dev.stamp ## what it all costs, measured on this machine; docs/performance.md is written anew
	$(BIN)/python -m bench $(ARGS)

.PHONY: lint
lint: $(VENV)/dev.stamp ## ruff and mypy (strict)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: format
format: $(VENV)/dev.stamp ## mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: docs
docs: $(VENV)/dev.stamp ## write docs/metrics.md, docs/settings.md and the golden pages anew from the code
	$(BIN)/python -m tests.reference
	$(BIN)/python -m tests.golden

.PHONY: lock
lock: ## write the hashed lock files anew from pyproject.toml
	$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet uv
	$(VENV)-lock/bin/uv pip compile $(LOCK_FLAGS) --output-file requirements.lock pyproject.toml
	$(VENV)-lock/bin/uv pip compile $(LOCK_FLAGS) --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml
LOCK_FLAGS := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade

.PHONY: clean
clean: ## remove what these commands made
	rm -rf $(VENV) $(VENV)-lock dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; choose another one with: make PYTHON=…" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV) && touch $@

$(VENV)/runtime.stamp: requirements.lock | $(VENV)/python.stamp
	@echo "Installing what the exporter needs into $(VENV) …" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< && touch $@

$(VENV)/dev.stamp: requirements-dev.lock | $(VENV)/python.stamp
	@echo "Installing what the tests need into $(VENV) …" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< && touch $@ $(VENV)/runtime.stamp
