# galviz: `make dashboard` is all that a first look needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help setup dashboard test lint bench clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## install galviz into .venv

dashboard: setup ## make the demo catalogue if it is missing, and serve it on http://127.0.0.1:5006
	@$(BIN)/galviz demo

test: $(VENV)/.installed-test ## run all tests, those in a browser included
	@$(BIN)/python -m tests.browser.chromium
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(VENV)/.installed-lint ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-bench ## measure the simulated sky and a small version of the drawing engine's race
	@echo benchmarks.realism; $(BIN)/python -m benchmarks.realism
	@echo benchmarks.engine; $(BIN)/python -m benchmarks.engine --rows 1000000 --memory

clean: ## remove what tools leave behind; .venv and the catalogues in data stay
	rm -rf build dist test-results .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find galviz dashboard tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "galviz needs Python 3.11 or newer, and '$(PYTHON)' is not; name one with PYTHON=/path/to/python3.11." >&2; \
		exit 1; }
	@echo "Making the environment $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing galviz and what it needs into $(VENV); the first time this takes a few minutes ..."
	@$(PIP) install -e .
	@touch $@

$(VENV)/.installed-%: pyproject.toml | $(VENV)/.installed
	@echo "Installing what '$*' needs into $(VENV) ..."
	@$(PIP) install -e '.[$*]'
	@touch $@ $(VENV)/.installed
