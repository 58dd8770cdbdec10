# make demo   restores the sample tape          make test   runs all tests, notebooks too
# `make help` lists the rest. Only Python 3.11+, git and make are needed beforehand.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Old and new pip differ in which of the two reaches isolated builds (basicsr asks for torch in its own).
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_BUILD_CONSTRAINT := $(CURDIR)/constraints.txt

.PHONY: help demo test test-gpu lab bench lint clean
.DEFAULT_GOAL := help

help:  ## list what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

$(VENV)/.base: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vhs-toolkit needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set it: make PYTHON=python3.12 demo")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e '.[weights]'
	@touch $@

$(VENV)/.test: $(VENV)/.base
	$(BIN)/python -m pip install --quiet -e '.[test]'
	@touch $@

demo: $(VENV)/.base  ## restore the sample tape, print the report and where the files are
	$(BIN)/vhs-toolkit demo demo

test: $(VENV)/.test  ## all tests, notebooks too
	$(BIN)/python -m pytest tests
	$(BIN)/python -m pytest --nbval --nbval-sanitize-with notebooks/nbval.cfg notebooks/*.ipynb

test-gpu: $(VENV)/.test  ## the tests of kernels, stages and nets on an NVIDIA GPU
	$(BIN)/python -m pytest tests/test_kernels.py tests/test_gpu.py --device cuda

lab: $(VENV)/.test  ## open JupyterLab with the first notebook
	$(BIN)/jupyter lab notebooks --LabApp.default_url=/lab/tree/00_first_tape.ipynb

bench: $(VENV)/.test  ## measure against the rivals, half an hour; writes benchmarks/results/ and the tables
	for part in restore kernels audio upscale; do $(BIN)/python benchmarks/bench_$$part.py || exit 1; done
	$(BIN)/python benchmarks/render.py

lint: $(VENV)/.test  ## check style, and look for leaks and wasted work
	$(BIN)/ruff check .
	$(BIN)/vhs-toolkit profile lint toolkit kernels

clean:  ## remove the environment, demo files and caches
	rm -rf $(VENV) demo runs .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
