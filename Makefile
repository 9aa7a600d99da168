# The two main commands: `make demo` serves a demo, `make test` runs the same as CI.
# Both need only Debian with Python 3.11 or newer, python3-venv and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_ADDRESS ?= 127.0.0.1:10106
# PIP_USE_PEP517: else Debian 12's pip warns that it builds source packages in an old way.
PIP := PIP_USE_PEP517=1 $(BIN)/python -m pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }  # do not keep an incomplete venv

# Without --no-build-isolation pip would download the newest build tools, without checking a hash.
$(VENV)/runtime: $(BIN)/python requirements-build.txt requirements.txt pyproject.toml
	$(PIP) install --require-hashes --requirement requirements-build.txt
	$(PIP) install --require-hashes --no-build-isolation --requirement requirements.txt
	$(PIP) install --no-index --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/development: $(VENV)/runtime requirements-dev.txt
	$(PIP) install --require-hashes --no-build-isolation --requirement requirements-dev.txt
	@touch $@

.PHONY: install
install: $(VENV)/runtime ## Install the exporter into .venv.

.PHONY: demo
demo: $(VENV)/runtime ## Serve simulated numbers on loopback; no credentials needed.
	@echo "Metrics: http://$(DEMO_ADDRESS)/metrics   Status page: http://$(DEMO_ADDRESS)/numbers   (Ctrl-C ends it)"
	@$(BIN)/cams_exporter --demo --web.listen-address=$(DEMO_ADDRESS)

.PHONY: demo-cluster
demo-cluster: $(VENV)/runtime ## Serve the demo by two replicas as one, to kill one of them; needs redis-server.
	@$(BIN)/python -m scripts.demo_cluster

.PHONY: develop
develop: $(VENV)/development ## Install everything for the tests, also servers (apt, as root or with sudo).
	@scripts/install-test-tools
	@scripts/install-prometheus-3 $(VENV)/prometheus-3

.PHONY: lint
lint: $(VENV)/development ## Check style and types.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.PHONY: test
test: develop lint ## Install everything for the tests, then lint, type-check and test.
	@$(BIN)/pytest --collect-only --quiet >/dev/null || true  # compile the tests once, not in six processes at once
	$(BIN)/pytest --numprocesses 6 --dist worksteal

.PHONY: coverage
coverage: develop ## Test, and show the lines that no test runs; takes twice as long.
	$(BIN)/coverage erase
	$(BIN)/pytest --numprocesses 6 --dist worksteal --cov --cov-report=term

.PHONY: test-image
test-image: develop ## Build and test the container image, with buildah and podman (root; installs them).
	scripts/test-image

.PHONY: test-python
test-python: ## Run unit and property tests on the Pythons of Debian's releases (root; debootstrap), or of SUITES=testing.
	scripts/test-python $(SUITES)

.PHONY: bench
bench: $(VENV)/development ## Measure and write benchmarks/RESULTS.md; ONLY=scrape,memory or QUICK=1 print instead.
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) \
		$(if $(ONLY),--only $(ONLY),$(if $(QUICK),,--output benchmarks/RESULTS.md))

.PHONY: soak
soak: $(VENV)/development ## Poll 10,000 numbers of a faulty API for SECONDS (600), and check the result.
	$(BIN)/python -m benchmarks.soak --seconds $(or $(SECONDS),600)

.PHONY: lock
lock: $(BIN)/python ## Pin the newest compatible dependencies.
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --upgrade --strip-extras --generate-hashes --no-header --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host --allow-unsafe --output-file requirements-build.txt \
		requirements-build.in
	$(BIN)/pip-compile --quiet --upgrade --strip-extras --generate-hashes --no-header --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host --extra cluster --output-file requirements.txt pyproject.toml
	# No --strip-extras here: pip before 24 would look for a newer coverage[toml] than the pinned coverage, and fail.
	$(BIN)/pip-compile --quiet --upgrade --generate-hashes --no-header --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host --allow-unsafe --output-file requirements-dev.txt requirements-dev.in

.PHONY: clean
clean: ## Remove all installed and generated files.
	rm -rf $(VENV) build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
