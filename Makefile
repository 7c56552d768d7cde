# Works from a fresh clone: each target makes the virtual environment that it needs.
PYTHON ?= python3
PYTHON_LOWEST ?= python3.11
FRAMES ?=
OUT ?= demo_output
# Processes that run the tests, each with one thread.
PROCESSES ?= 2

BIN := .venv/bin

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test fuzz mutants test-lowest lint format docs site benchmark clean

help:  ## list the targets
	@grep -E '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

# One stamp for each set of extras. It is written last, so an install that was cut short is done
# again; an environment that cannot even run pip is made anew.
.venv/.installed-%: pyproject.toml constraints.txt Makefile
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo "installing into .venv: minutes, where PyTorch has to be fetched"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$*]"
	@touch $@

# FRAMES is read as a shell would: names with blanks in quotes of their own, and *.tif works.
demo: .venv/.installed-dev  ## estimate drift and damage of a simulated series, or of FRAMES="a.png b.png"
ifeq ($(strip $(FRAMES)),)
	$(BIN)/stemkit demo -o "$(OUT)"
else
	$(BIN)/stemkit drift $(FRAMES) -o "$(OUT)"
endif

test: lint  ## check style and types, then run the tests and the examples in docstrings
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile

fuzz: .venv/.installed-dev  ## make 10,000 calls with wrong arguments and files, and print their outcomes
	$(BIN)/python -m tests.fuzz

mutants: .venv/.installed-dev  ## change 200 expressions one at a time, and print how many changes the tests notice: an hour
	$(BIN)/python tools/mutants.py

test-lowest: .venv-lowest/.installed  ## run the tests with the lowest versions of all dependencies but PyTorch
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -n $(PROCESSES) --dist loadfile

.venv-lowest/.installed: pyproject.toml constraints-lowest.txt Makefile
	@.venv-lowest/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON_LOWEST) -m venv --clear .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --constraint constraints-lowest.txt \
		--editable ".[test,noise]"
	@touch $@

lint: .venv/.installed-dev  ## check style, types and the order of packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.installed-dev  ## format the code with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.installed-docs  ## build the documentation into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

site: docs .venv/.installed-site  ## build the documentation and test it in a browser
	tests/site/install_chromium.sh
	$(BIN)/python -m pytest tests/site

benchmark: .venv/.installed-benchmarks  ## run the benchmarks, in full or with QUICK=1 in a quarter of an hour; lists first what they take
	$(BIN)/python benchmarks/run.py $(if $(QUICK),--quick)

clean:  ## remove everything that make created, the virtual environments too
	rm -rf .venv .venv-lowest build dist *.egg-info docs/_build docs/api/generated docs/auto_examples \
		.import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis demo_output
