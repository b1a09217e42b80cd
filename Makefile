# Everything starts here: `make help`. Needs Python 3.11 or later, pip and make; nothing else, no root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints/constraints-3.11.txt
# The same versions, with the hashes of all their files: nothing else is installed.
LOCK := constraints/lock-3.11.txt
LOCKED = $(BIN)/python docker/requirements.py --locked $(LOCK)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --compile --no-build-isolation
# `make setup EXTRAS=demo,dev,torch` adds PyTorch, and with it the tests of the neural trainer: hundreds of megabytes.
EXTRAS ?= demo,dev
READY := $(VENV)/.ready
# Other extras than those installed make the environment anew.
ifneq ($(origin EXTRAS),file)
ifneq ($(EXTRAS),$(shell cat $(READY) 2>/dev/null))
OTHERS := others
endif
endif
# The airflow command writes into its home as soon as it is called; not into the user's.
export AIRFLOW_HOME := $(CURDIR)/var/cli
# Every job, task and server of a test is a process. Where Python is told to keep no compiled files, as in many images,
# each would compile the whole package anew.
COMPILED := $(BIN)/python -m compileall -q airflow_mlops_provider dags

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: others help setup lock base demo up down test lowest cover lint format docs dist bench clean

help: ## this list
	@echo "airflow-mlops-provider: the whole MLOps loop, in Airflow"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | while IFS="$$(printf '\t')" read -r name what; do \
		printf '  make %-8s %s\n' "$$name" "$$what"; done
	@echo
	@echo "The first of them also installs what it needs into $(VENV) (a few minutes, once)."

setup: $(READY) ## install everything into .venv, nothing else

# The stamp is written last: an installation that was interrupted is begun anew, not taken for finished.
$(READY): pyproject.toml $(CONSTRAINTS) $(LOCK) $(OTHERS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or later is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo missing)." >&2; \
		echo "Name another one: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
	@$(PYTHON) -c 'import sys, ctypes; sys.platform == "linux" and ctypes.CDLL("libgomp.so.1")' 2>/dev/null || { \
		echo "LightGBM needs OpenMP's runtime, libgomp.so.1: apt-get install libgomp1, or what your system calls it." >&2; \
		exit 1; }
	@git --version >/dev/null || { echo "git is needed: experiments commit what they find." >&2; exit 1; }
	@rm -f $@
	@echo "Installing into $(VENV): a few minutes, once."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(LOCKED) more "" "hatchling editables setuptools" > $(VENV)/locked.txt && $(INSTALL) --require-hashes --no-deps -r $(VENV)/locked.txt
	@$(LOCKED) all '$(EXTRAS)' > $(VENV)/locked.txt && $(INSTALL) --require-hashes --no-deps --use-pep517 -r $(VENV)/locked.txt
# PyTorch is not in the lock: which files of it are wanted, with CUDA or without, is the index's to say.
	@$(INSTALL) $(if $(findstring torch,$(EXTRAS)),-c $(CONSTRAINTS),--no-deps) -e '.[$(EXTRAS)]'
	@echo '$(EXTRAS)' > $@

lock: ## write the lock anew: hashes for the versions that constraints/ pins (edit those first)
	@echo torch | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --excludes /dev/stdin \
		--generate-hashes --no-header --annotation-style line --constraints $(CONSTRAINTS) -o $(LOCK) pyproject.toml

BASE ?= docker.io/library/python:3.11-slim-bookworm
base: ## print the image on which images are built, by its digest of today
	@digest="$$(skopeo inspect --format '{{.Digest}}' docker://$(BASE) 2>/dev/null \
		|| docker buildx imagetools inspect --format '{{.Manifest.Digest}}' $(BASE))" \
		&& echo "$(firstword $(subst :, ,$(BASE)))@$$digest"

demo: $(READY) ## the loop on real flights, in a real Airflow, from data to a served and monitored model
	@$(COMPILED)
	@$(BIN)/airflow mlops demo

up: $(READY) ## start Airflow with the reference DAGs and leave it running
	@$(BIN)/airflow mlops up

down: $(READY) ## stop it, and everything its tasks started
	@$(BIN)/airflow mlops down

test: $(READY) ## every test: unit, integration, and those that start a real Airflow
	@$(COMPILED)
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# `make lowest LOWEST=tests/unit/backends` runs those alone.
LOWEST ?= tests/unit tests/integration/backends
lowest: $(READY) ## the unit tests, and those of the vendors, with the lowest versions that pyproject.toml admits
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-lowest
	@$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct -e '.[demo,dev]'
	@.venv-lowest/bin/python -m pytest -q -n 2 --dist loadfile $(LOWEST)

# The decisions are covered by tests of their own, in seconds. Under Python 3.11 measuring every test would cost half as
# much time again, and see nothing of the processes in which jobs, servers and Airflow run.
cover: $(READY) ## which lines of the pure decisions their unit tests reach
	@$(BIN)/python -m coverage run --branch --data-file=var/coverage \
		--source=airflow_mlops_provider/lifecycle,airflow_mlops_provider/problems \
		-m pytest -q tests/unit/lifecycle tests/unit/problems tests/unit/runtime/reproduction
	@$(BIN)/python -m coverage report --data-file=var/coverage --skip-covered --skip-empty --sort=cover --show-missing

lint: $(READY) ## style, format, types, and which part may import which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY) ## put the code into its format
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

docs: $(VENV)/.docs ## build the documentation site into build/docs; a warning is an error
	@rm -rf build/docs
	@$(BIN)/python -m sphinx -q -W --keep-going -c docs . build/docs

# Beside what is there, so that nobody else has to wait for it.
$(VENV)/.docs: $(READY)
	@$(LOCKED) more docs > $@.txt && $(INSTALL) --require-hashes --no-deps -r $@.txt
	@touch $@

dist: $(READY) ## build wheel and source archive into dist/
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation

bench: $(READY) ## measure what docs/operating/guarantees.md claims
	@$(BIN)/python -m benchmarks

clean: ## remove what was built and installed; runs and models in var/ stay
	@rm -rf $(VENV) .venv-lowest build dist .*_cache .import_linter_cache *.egg-info
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
