# The whole developer interface. Every target sets up what it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help install torch frameworks demo serve test check fix bench bench-load bench-storage bench-detection bench-repair docs migration clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

install: $(READY) ## .venv with the client, the service and every development tool

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Gradwatch needs Python 3.11 or newer; set PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[service,dev,bench]'
	@touch $@

torch: $(READY) ## add PyTorch, for the tests that train real models
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0

frameworks: $(READY) ## add PyTorch, Lightning, transformers, Keras, JAX and optax, for the tests of integrations
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt \
		torch==2.13.0 pytorch-lightning transformers accelerate keras jax optax

demo: $(READY) ## one training job explodes, the same job with Gradwatch's help survives
	@$(BIN)/gradwatch demo

serve: $(READY) ## the service on http://127.0.0.1:8321, data in gradwatch.db
	@$(BIN)/gradwatch serve

test: $(READY) ## every test; what this machine lacks is skipped with its reason
	$(BIN)/python -m pytest -n 3 --dist loadfile

check: $(READY) ## formatting, linters, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(READY) ## format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## benchmarks; figures are ratios within one run
	$(BIN)/python benchmarks/detect_cost.py
	$(BIN)/python benchmarks/replay_cost.py

bench-detection: torch ## records real training runs, judges ours and every baseline; < 30 min
	$(BIN)/python -m benchmarks.detection

bench-repair: torch ## trains real models with faults, with and without our help; < 20 min
	$(BIN)/python -m benchmarks.repair

bench-load: $(READY) ## writing, reading and growth on SQLite and PostgreSQL, beside installed peers
	$(BIN)/python -m benchmarks.load

bench-storage: $(READY) ## bytes a float, compaction and reads on both databases
	$(BIN)/python -m benchmarks.storage

docs: $(READY) ## a page per rule and cause, written from the code; the pictures of the README
	$(BIN)/python -m docs.handbook
	$(BIN)/python -m docs.picture
	$(BIN)/python -m docs.screenshots

migration: $(READY) ## new migration from the tables: make migration name="add x"
	$(BIN)/alembic revision --autogenerate -m "$(name)"

clean: ## remove the environment and all caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
