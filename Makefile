# The two commands: `make reproduce` and `make test`. Each sets up .venv when it is absent or stale.

PYTHON   ?= $(shell command -v python3.11 || command -v python3)
PROFILE  ?= quick
MANIFEST ?=
SUITE    ?= fast
PART     ?= all
NAME     ?=
RUN      ?=
ARGS     ?=
HASHES   ?= yes
export PYTHONUNBUFFERED = 1

BIN   := .venv/bin
READY := .venv/.ready
COHORT = --profile $(PROFILE) $(if $(MANIFEST),--manifest "$(MANIFEST)") $(ARGS)
BOOKS := notebooks/*.ipynb notebooks/teaching/*.ipynb

.DEFAULT_GOAL := help
.PHONY: help setup reproduce figures evidence report lab test docs lint bench study clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) scripts/install.py .venv $(if $(filter no,$(HASHES)),--no-hashes)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

setup: $(READY)  ## only the environment, with the command .venv/bin/pgmif; HASHES=no: any archive of a version

reproduce: $(READY)  ## all figures; PROFILE=quick|smoke|paper MANIFEST=file.csv
	@$(BIN)/pgmif reproduce $(COHORT)

figures: $(READY)  ## all figures from the released weights, nothing trained: figures/phantom-released
	@$(BIN)/pgmif reproduce --set released=true --set run=phantom-released --set phantom_train=1 $(ARGS)

evidence: $(READY)  ## delineation, ablations, five seeds (after or without reproduce); PROFILE, MANIFEST as there
	@$(BIN)/pgmif reproduce --evidence $(COHORT)

report: $(READY)  ## results/<run>/report/index.html, a page that opens offline; RUN=name, else the newest
	@$(BIN)/pgmif report $(RUN)

lab: $(READY)  ## JupyterLab with explore.ipynb open; ARGS="--no-browser --port=8888"
	$(BIN)/python -m jupyterlab --LabApp.default_url=/lab/tree/notebooks/explore.ipynb $(ARGS)

test: $(READY) $(SUITE)-tests  ## the tests; SUITE=fast (under 3 minutes) | slow | browser | fuzz | all

.PHONY: fast-tests slow-tests browser-tests fuzz-tests all-tests
fast-tests: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not browser" $(ARGS)

slow-tests: $(READY)
	OMP_NUM_THREADS=1 LOKY_MAX_CPU_COUNT=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "slow and not browser" $(ARGS)

browser-tests: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser $(ARGS)

fuzz-tests: $(READY)
	$(BIN)/python tests/fuzz $(ARGS)

all-tests: fast-tests slow-tests browser-tests fuzz-tests

docs: $(READY)  ## the documentation as a site: docs/_build/html; warnings are errors
	OMP_NUM_THREADS=2 $(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going docs docs/_build/html
	@echo "Documentation: docs/_build/html/index.html"

lint: $(READY)  ## style, stripped notebooks, and the house: rooms, floors, the wall; ARGS=--fix mends what it can
	$(BIN)/ruff check $(ARGS) .
	$(BIN)/nbstripout --keep-id $(if $(filter --fix,$(ARGS)),,--verify) $(BOOKS)
	$(BIN)/lint-imports --no-cache
	$(BIN)/python scripts/house.py

bench: $(READY)  ## speed as ratios: benchmarks/results.csv; PART=all|training|inference|losses|metrics|pipeline|growth|gpu|viewer|lessons|fusion_metrics
	$(BIN)/python benchmarks/speed/bench.py $(filter-out all,$(PART)) $(ARGS)

study: $(READY)  ## one choice measured on training patients, or checked (agreement, replication, mutants, scaling); NAME=length|agreement|replication|reference|mutants|registration|scaling|calibration
	$(if $(NAME),,$(error make study NAME=length|agreement|replication|reference|mutants|registration|scaling|calibration))
	$(if $(filter registration,$(NAME)),$(BIN)/python -m pip install --quiet itk-elastix)
	$(BIN)/python benchmarks/studies/$(NAME).py $(if $(filter scaling,$(NAME)),,--profile $(PROFILE)) \
	    $(if $(MANIFEST),--manifest "$(MANIFEST)") $(ARGS)

clean:  ## remove results and the environment; figures stay
	rm -rf .venv results .snakemake
