# The environment is .venv; scripts/setup.py makes it and says what it needs.
PYTHON ?= python3
BIN := .venv/bin
LOCKED := $(BIN)/uv pip compile --quiet --universal --generate-hashes \
	--python-version 3.11 --fork-strategy fewest --no-emit-index-url \
	--custom-compile-command "make lock"

.PHONY: help setup demo serve test check bench lock
help:
	@echo "make demo    set up, place one call to itself, then serve the page (ARGS=--once stops)"
	@echo "make test    set up what is missing and run the tests (ARGS=tests/agent)"
	@echo "make serve   open the doors and wait for callers"
	@echo "make bench   measure calls from the caller's side (ARGS=\"quick --json FILE\")"
	@echo "make check   ruff, mypy, import-linter and the tests"
	@echo "make lock    resolve the dependencies anew into the lock files (UPGRADE=--upgrade)"

setup:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11, 3.12 or 3.13"; exit 1; }
	@$(PYTHON) scripts/setup.py

demo: setup
	@$(BIN)/offhook demo $(ARGS)

serve: setup
	@$(BIN)/offhook serve $(ARGS)

bench: setup
	@$(BIN)/offhook bench $(or $(ARGS),quick)

test: setup
	$(BIN)/python -m pytest $(ARGS)

check: setup
	scripts/check $(ARGS)

lock:
	$(LOCKED) pyproject.toml --group dev $(UPGRADE) --output-file requirements.lock
	$(LOCKED) pyproject.toml --constraints requirements.lock --no-annotate \
		--output-file requirements-runtime.lock
	$(LOCKED) --group build $(UPGRADE) --output-file requirements-build.lock
