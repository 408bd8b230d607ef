# `make demo` and `make test` do all the set-up themselves. `make help` lists the rest.

# The interpreter for .venv; where it is empty, the first Python 3.11 or newer that is found.
PYTHON ?=
# Arguments for pytest: make test TESTS="tests/unit -k wire"
TESTS ?=
# How often: make test-kills TIMES=3
TIMES ?= 20
# How many executions, and for how many seconds they are sent at most: make soak SOAK="--executions 500 --seconds 60"
SOAK ?=
# Of a running example: make example-django EXAMPLE="--port 8080"
EXAMPLE ?=
# Arguments for uv: make lock LOCK=--upgrade
LOCK ?=
# Some of the benchmarks' cases: make bench CASES="python shell"
CASES ?=
# Where `make wheel` puts it.
DIST ?= dist

VENV := .venv
BIN := $(VENV)/bin
# What the benchmarks measure against has a venv of its own: ansible-runner brings much, and shares nothing with ours.
BENCH_VENV := .venv-bench
# So has the documentation site.
DOCS_VENV := .venv-docs
# Its builder would otherwise talk about a later version of itself.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs
COMPILE := uv pip compile --quiet --universal --generate-hashes --no-header $(LOCK)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo example-django example-flask test test-kills test-docker soak lint format bench tables docs docs-serve \
	reference lock wheel clean

help: ## List these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(firstword $(MAKEFILE_LIST)) | awk -F '\t' '{ printf "make %-14s %s\n", $$1, $$2 }'

demo: $(VENV)/.run-installed ## Show Python and shell actions run through a real Celery worker
	@$(BIN)/attune-tasks demo

example-django: $(VENV)/.test-installed ## Start the Django example with Redis, worker, beat and Flower, until Ctrl-C (EXAMPLE="--port number")
	@exec $(BIN)/python examples/start.py django $(EXAMPLE)

example-flask: $(VENV)/.test-installed ## The same with the Flask example
	@exec $(BIN)/python examples/start.py flask $(EXAMPLE)

test: $(VENV)/.test-installed ## Run all tests (TESTS="arguments for pytest")
	@tools/ensure-test-tools
	@$(BIN)/python -m tests.vault_binary
	@tools/run-tests $(VENV) $(TESTS)

test-kills: $(VENV)/.test-installed ## Kill workers and actions in each way, 20 times over (TIMES=number)
	@tools/ensure-test-tools
	@tools/repeat-kills $(VENV) $(TIMES)

test-docker: $(VENV)/.test-installed ## Build the images, bring the stack up in containers, and test it (as root where no engine runs)
	@tools/ensure-docker
	@$(BIN)/python -m tests.vault_binary
	@PATH=$$PATH:/usr/sbin:/sbin $(BIN)/python -m pytest -p no:cacheprovider tests/docker

soak: $(VENV)/.test-installed ## Run 5,000 executions while workers and Redis are killed, and judge each (SOAK="--executions number")
	@tools/ensure-test-tools
	@$(BIN)/python -m tests.soak $(SOAK)

lint: $(VENV)/.test-installed ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.test-installed ## Format the code and mend what can be mended safely
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test-installed $(BENCH_VENV)/.bench-installed ## Measure against the naive ways, as ratios (CASES="python ...": some)
	@tools/ensure-test-tools
	@$(BIN)/python -m tests.vault_binary
	@$(BIN)/python benchmarks/run.py $(CASES)

tables: $(VENV)/.test-installed ## Measure anew what docs/security.md says of processes, and write it there (as root)
	ATTUNE_TASKS_WRITE_TABLES=1 $(BIN)/python -m pytest -q tests/security/test_same_user.py tests/security/test_undumpable.py

docs: $(DOCS_VENV)/.docs-installed ## Build the documentation site into site/; a broken link ends it
	@$(MKDOCS) build --strict --quiet

docs-serve: $(DOCS_VENV)/.docs-installed ## Serve the documentation site at 127.0.0.1:8001, and build it anew at each change
	@$(MKDOCS) serve --strict --dev-addr 127.0.0.1:8001

reference: $(VENV)/.test-installed ## Write the tables in docs/settings.md and docs/commands.md anew
	@$(BIN)/python -m tests.docs_reference

lock: ## Write the lock files anew, by uv (LOCK=--upgrade for newer versions)
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	$(COMPILE) pyproject.toml --group test -o requirements/test.txt
	$(COMPILE) pyproject.toml -c requirements/test.txt -o requirements/run.txt
	$(COMPILE) --group build -c requirements/test.txt -o requirements/build.txt
	$(COMPILE) pyproject.toml --group image -c requirements/test.txt -o requirements/image.txt
	$(COMPILE) --group docs -c requirements/test.txt -o requirements/docs.txt
	$(COMPILE) --group bench -c requirements/test.txt -o requirements/bench.txt

wheel: $(VENV)/.run-installed ## Build the wheel (DIST=folder)
	@$(BIN)/python -m build --wheel --no-isolation --outdir $(DIST) .

clean: ## Remove what was built and cached; .venv stays
	rm -rf build dist site htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find attune_tasks tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

$(BIN)/python:
	@tools/make-venv $(VENV) $(PYTHON)

$(BENCH_VENV)/bin/python:
	@tools/make-venv $(BENCH_VENV) $(PYTHON)

$(DOCS_VENV)/bin/python:
	@tools/make-venv $(DOCS_VENV) $(PYTHON)

# Stamps: a second run installs nothing, a changed lock file installs again.
$(VENV)/.run-installed: requirements/build.txt requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "Installing what running needs into $(VENV)"
	@tools/pip-install $(VENV) --require-hashes -r requirements/build.txt -r requirements/run.txt
	@tools/pip-install $(VENV) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test-installed: requirements/test.txt pyproject.toml | $(BIN)/python
	@echo "Installing what the tests need into $(VENV)"
	@tools/pip-install $(VENV) --require-hashes -r requirements/test.txt
	@tools/pip-install $(VENV) --no-deps --no-build-isolation -e .
	@touch $@

$(BENCH_VENV)/.bench-installed: requirements/bench.txt | $(BENCH_VENV)/bin/python
	@echo "Installing what the benchmarks measure against into $(BENCH_VENV)"
	@tools/pip-install $(BENCH_VENV) --require-hashes -r requirements/bench.txt
	@touch $@

$(DOCS_VENV)/.docs-installed: requirements/docs.txt | $(DOCS_VENV)/bin/python
	@echo "Installing what the documentation site is built with into $(DOCS_VENV)"
	@tools/pip-install $(DOCS_VENV) --require-hashes -r requirements/docs.txt
	@touch $@
