# Two commands: `make lab` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LABS := $(BIN)/python -m labs
#: Test processes at once: most of them wait for real servers, so a few more than cores.
JOBS ?= 4
# The lab is many short-lived processes: without bytecode each of them would compile it all again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

setup: $(VENV)/.ready ## make the environment (.venv), nothing else

$(VENV)/.ready: requirements.txt constraints.txt pyproject.toml
	@echo "making the environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "this Python can't make environments: install its venv package (Debian: apt install python3-venv)" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --requirements requirements.txt --constraints constraints.txt --editable .
	@touch $@

lab: setup ## start everything, send a letter through, open JupyterLab; Ctrl-C ends it
	@$(LABS) lab

demo: setup ## the same without JupyterLab, and it ends
	@$(LABS) demo

down: setup ## end what `labs up` or Compose has started
	@$(LABS) down

test: setup ## every test but the long form of trials, and every notebook
	@$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadgroup tests
	@$(BIN)/python -m pytest --numprocesses=2 --dist=loadscope --nbval-lax --nbval-current-env --nbval-cell-timeout=120 notebooks

test-compose: setup ## the same flow on RabbitMQ 4.3 under Docker Compose
	@$(BIN)/python -m pytest tests/compose -m "compose and not long"

test-long: setup ## the long form of trials: every fault, every wrong program and every exercise, with all seeds
	@$(BIN)/python -m pytest --numprocesses=2 --dist=loadgroup -m "long and not compose" tests

load: setup ## every load test for some seconds: a table, charts, and what limited it
	@$(BIN)/python -m loadtest.guided

trial: setup ## all systems under load and all faults: did they keep their promises?
	@$(LABS) trial all --seconds 20

bench: setup ## measure this machine, print the table
	@$(BIN)/python -m benchmarks

compose: ## bring the whole lab up under Docker Compose
	docker compose up --build --detach --wait

lint: setup ## formatting, lint rules, types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

lock: setup ## renew constraints.txt from requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header requirements.txt --output-file constraints.txt

clean: ## end everything, delete .lab (data) and .venv
	@test ! -x $(BIN)/python || $(LABS) down || true
	rm -rf .lab $(VENV) .mypy_cache .pytest_cache .ruff_cache *.egg-info

.PHONY: help setup lab demo down test test-compose test-long load trial bench compose lint lock clean
