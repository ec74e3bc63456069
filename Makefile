# `make demo` and `make test` are the two commands of the README; each does its own set-up in .venv.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
  if command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; break; fi; done)
VENV ?= .venv
BIN := $(VENV)/bin
# Whatever the shell says: many short processes start here, and compiling takes each a second.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check bench lock clean

$(VENV)/run.done: requirements/run.txt
	@test -n "$(PYTHON)" || { echo "crm-sync needs Python 3.11 or newer; install it or name it: make PYTHON=/path/to/python3"; exit 2; }
	"$(PYTHON)" -m venv "$(VENV)"
	"$(BIN)/python" -m pip --disable-pip-version-check install --quiet --no-compile --require-hashes -r requirements/run.txt
	touch "$@"

$(VENV)/dev.done: requirements/dev.txt $(VENV)/run.done
	"$(BIN)/python" -m pip --disable-pip-version-check install --quiet --no-compile --require-hashes -r requirements/dev.txt
	touch "$@"

demo: $(VENV)/run.done
	"$(BIN)/python" -m crm_sync demo

test: check
	"$(BIN)/python" -m pytest -n 4 --dist loadfile --no-loadscope-reorder

check: $(VENV)/dev.done
	"$(BIN)/python" -m ruff check .
	"$(BIN)/python" -m ruff format --check .
	"$(BIN)/python" -m mypy
	"$(BIN)/lint-imports" --no-cache

# What the work costs, counted; some twenty minutes on two cores.
bench: $(VENV)/run.done
	"$(BIN)/python" -m crm_sync.bench --write docs/benchmarks.md

# Needs uv; hashes for every platform and Python, no index named.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q requirements/run.in -o requirements/run.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q -c requirements/run.txt requirements/dev.in -o requirements/dev.txt

clean:
	rm -rf "$(VENV)" .mypy_cache .ruff_cache .pytest_cache dist build
