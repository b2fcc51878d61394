# Every target sets up what it needs in .venv (no root, no keys) and says what it does.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core
DEV := $(VENV)/.dev
PEERS := .bench
BENCH := $(VENV)/.bench

.PHONY: help demo test check scenarios suites bench soak clean
help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(BIN)/python:
	@echo "== making $(VENV) with $$($(PYTHON) --version) (a few seconds)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "toolguard needs Python 3.11 or newer: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --upgrade "pip>=25.1"

$(CORE): pyproject.toml $(BIN)/python
	@echo "== installing toolguard with its OpenAI extra (about half a minute)"
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --editable ".[openai,testing]"
	@touch $@

$(DEV): pyproject.toml $(CORE)
	@echo "== installing what the checks need: LiveKit, type checkers, pytest (a minute or two)"
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --editable ".[openai,livekit,pipecat,redis,postgres,testing]" --group dev
	@touch $@

$(BENCH): pyproject.toml $(DEV)
	@echo "== installing the peers of the benchmarks (a minute or two)"
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --quiet --disable-pip-version-check install --upgrade "pip>=25.1"
	@$(PEERS)/bin/python -m pip --quiet --disable-pip-version-check install --editable . --group bench
	@touch $@

demo: $(CORE) ## two phone calls, naive and guarded: barge-ins, then a hand-off and kill -9 (under a minute after set-up)
	@echo "== demo: act 1, a charge, two barge-ins, a re-issue, a broken-off call; act 2, a hand-off and a killed worker"
	@$(BIN)/python -m toolguard demo

check: $(DEV) ## lint and types (about two minutes)
	@echo "== ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "== mypy --strict"
	@$(BIN)/mypy
	@echo "== pyright strict"
	@$(BIN)/pyright --pythonpath $(BIN)/python --warnings

test: check ## all checks: lint, types and tests (some minutes on two cores)
	@echo "== pytest"
	@$(BIN)/python -m pytest -n auto --dist loadgroup

scenarios: $(DEV) ## scenario x adapter; SABOTEURS=1 also breaks the code once for every check
	@$(BIN)/python -m toolguard.testing.scenarios $(if $(SABOTEURS),--saboteurs) $(ARGS)

soak: $(DEV) ## two minutes of bad luck on many sessions; ARGS="--store postgres --seed N ..."
	@$(BIN)/python -m tests.soak $(ARGS)

suites: $(DEV) ## the frameworks' own tests, plain and with every tool observed (most of an hour); ARGS="--runs 1"
	@$(BIN)/python -m tests.frameworks livekit $(ARGS)
	@$(BIN)/python -m tests.frameworks pipecat $(ARGS)

bench: $(BENCH) ## ratios to floors and peers, interleaved in one run (some minutes)
	@$(BIN)/python -m tests.bench $(ARGS)

clean: ## remove what the targets made
	rm -rf $(VENV) $(PEERS) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
