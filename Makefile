# Everything here starts from Python 3.11 or newer, make and pip. Each target brings its own environment up to date
# first; stamp files in .venv/ remember what is installed, so a second run installs nothing.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet -c constraints.txt
DATA ?= ../shared/data
NOTEBOOK_TIMEOUT ?= 600
JOBS ?= 2

export MPLBACKEND := Agg
# Threads that wait sleep instead of spinning: on cores that others use, too, that saves most of the CPU time.
export OMP_WAIT_POLICY := PASSIVE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint docs tutorials bench soak clean

help: ## Say what each target does
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.core ## Toy data to embedding, clusters and plots in demo_output/
	$(BIN)/genebert demo --output demo_output

# One thread of torch per worker: two workers with two threads each fight over two cores and take many times as long.
test: lint ## Check the style, run all tests and doctests, ask for 90 % coverage
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --cov --cov-report=term --cov-report=xml --cov-fail-under=90

lint: $(VENV)/.test ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: $(VENV)/.doc ## Build the documentation into docs/_build/html; warnings are errors
	$(BIN)/sphinx-build -E -W --keep-going -b html docs docs/_build/html

tutorials: $(VENV)/.doc ## Execute every notebook from top to bottom
	$(BIN)/jupyter-execute --timeout=$(NOTEBOOK_TIMEOUT) tutorials/*.ipynb

bench: $(VENV)/.bench ## Measure on the data in DATA and write docs/benchmarks.md
	set -e; for script in tests/benchmarks/[a-z]*.py; do $(BIN)/python $$script --data $(DATA) --report docs/benchmarks.md; done

soak: $(VENV)/.test ## Kill a pre-training ten times and resume it; the loss curve must not change
	$(BIN)/python tests/soak/kill_resume.py

clean: ## Remove the environment and everything that was built
	rm -rf $(VENV) build dist demo_output docs/_build docs/generated docs/tutorials/*.ipynb
	rm -rf .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* coverage.xml lightning_logs
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "genebert needs Python 3.11 or newer and found none. Install one, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "genebert needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.core: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

$(VENV)/.%: $(VENV)/.core
	$(PIP) -e '.[$*]'
	@touch $@
