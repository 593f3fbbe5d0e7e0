# `make` lists the targets. Works with GNU make 3.81 (macOS) and later.

PORT  ?= 8501
RUN   ?= data/runs/demo
ARGS  ?=

VENV  := .venv
PY    := $(VENV)/bin/python
UV    := $(VENV)/bin/uv
STAMP := $(VENV)/.loupe-installed

# TORCH=cpu, cu128, auto...: which builds of torch to take; empty: those that the package index
# serves. The stamp keeps the choice, so that later targets need not repeat it.
CHOSEN := $(shell cat $(STAMP) 2>/dev/null)
TORCH ?= $(CHOSEN)
ifneq ($(wildcard $(STAMP)),)
ifneq ($(TORCH),$(CHOSEN))
$(error $(VENV) was installed with TORCH='$(CHOSEN)'; delete the folder $(VENV) to take TORCH='$(TORCH)')
endif
endif

# The lock also pins the CUDA packages of the index's own Linux builds. Other builds do not need
# them, so that with TORCH the lock bounds the versions and does not name what is installed.
ifeq ($(TORCH),)
WHAT := --requirement requirements.txt
else
WHAT := --torch-backend $(TORCH) --constraint requirements.txt --extra dev --requirement pyproject.toml
endif

# Universal: one lock for Linux and macOS and for every Python from 3.11 on.
COMPILE := $(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
	--fork-strategy fewest --custom-compile-command 'make lock' --quiet

# Bytecode that is written once saves every later start seconds.
unexport PYTHONDONTWRITEBYTECODE

export RUN
serve = $(PY) -m streamlit run dashboard/app.py --server.port $(PORT) --

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-data dashboard test check lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  PORT=8501           the dashboard's port"
	@echo "  RUN=data/runs/demo  the run or bundle that 'make dashboard' opens"
	@echo "  TORCH=cpu           on the first call: the small builds of torch, without CUDA"
	@echo "  PYTHON=python3.12   on the first call: the Python to use"

demo: demo-data ## set up, run the pipeline on the demo, open the dashboard
	@$(serve) data/runs/demo

demo-data: $(STAMP) ## set up and run the pipeline on the demo's CLIP and on its LLaVA
	$(PY) -m pipeline run pipeline/configs/demo.toml
	$(PY) -m pipeline run pipeline/configs/demo-llava.toml

dashboard: $(STAMP) ## open the dashboard on another run: make dashboard RUN=data/runs/mine
	@$(serve) "$$RUN"

test: $(STAMP) ## set up and run all tests; ARGS="-k hooks" chooses
	@$(PY) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile \
		--no-loadscope-reorder $(ARGS)

check: $(STAMP) ## lint, format, types, import rules, and whether the lock is current
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest --quiet tests/test_architecture.py
	@new=$$(mktemp -d) && cp requirements.txt $$new/ && \
	{ $(COMPILE) --output-file $$new/requirements.txt >/dev/null && \
	  diff requirements.txt $$new/requirements.txt; }; stale=$$?; rm -rf "$$new"; \
	test $$stale -eq 0 || \
	{ echo "requirements.txt is not the lock of pyproject.toml: run 'make lock'" >&2; exit 1; }

lock: $(UV) ## compile requirements.txt; keeps pins that still fit, ARGS=--upgrade renews all
	$(COMPILE) $(ARGS) --output-file requirements.txt >/dev/null

clean: ## remove caches and build leftovers; keeps .venv and data
	rm -rf build dist loupe.egg-info .mypy_cache .pytest_cache .ruff_cache
	find pipeline dashboard tests -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(STAMP) ## only make .venv and install

$(STAMP): pyproject.toml requirements.txt | $(UV)
	$(UV) pip install --python $(PY) $(WHAT)
	$(UV) pip install --python $(PY) --no-deps --editable .
	@echo '$(TORCH)' > $@

$(UV): | $(PY)
	@$(PY) -m pip install --quiet --disable-pip-version-check --constraint requirements.txt uv

$(PY):
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Making $(VENV) with $$($$python --version)"; \
	    $$python -m venv $(VENV) && exit 0; \
	    rm -f $(PY); \
	    echo "$$python cannot make a virtual environment (on Debian and Ubuntu: install" \
	      "python3-venv)" >&2; exit 1; \
	  fi; \
	done; \
	echo "Loupe needs Python 3.11 or newer, and no python3, python3.13, python3.12 or python3.11" \
	  "here is: install one, or name one with PYTHON=/path/to/python" >&2; exit 1
