# Every target makes .venv by itself. All it needs is make and a Python from 3.11 to 3.13; name one with PYTHON=...
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo "$$p" && break; done)
BIN := .venv/bin

.PHONY: setup demo test lint bench clean
.DEFAULT_GOAL := setup

setup: .venv/assets

demo: .venv/assets
	$(BIN)/gristmill demo

test: .venv/assets
	$(BIN)/pytest -n 2 --dist loadgroup

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/assets
	@set -e; for script in tests/benchmarks/*.py; do \
		test "$$script" = tests/benchmarks/harness.py || $(BIN)/python "$$script" --quick; done

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist

# pip prefers an installed torch, and a local wheel of the same version (+cpu, +cu126), over the index's own.
.venv/ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python from 3.11 to 3.13 found; name one: make PYTHON=/path/to/python3.12 setup" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray,train,icu,dev]'
	@touch $@

# Without a network the rest still works, so this does not stop the target; it is tried again the next time.
.venv/assets: .venv/ready
	@if $(BIN)/gristmill assets fetch; then touch $@; else \
		echo "The language model is missing: language identification will not work until 'gristmill assets fetch' has succeeded." >&2; fi
