# The two commands: `make reproduce` and `make test`. Each sets up .venv when it is absent or stale.

PYTHON   ?= $(shell command -v python3.11 || command -v python3)
PROFILE  ?= quick
MANIFEST ?=
ARGS     ?=
HASHES   ?= yes
export PYTHONUNBUFFERED = 1

BIN   := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup reproduce figures evidence report test slow browser fuzz notebooks lab docs lessons viewer lint lock bench gpu crops channels registration metrics scaling calibrate balance readme clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) scripts/install.py .venv $(if $(filter no,$(HASHES)),--no-hashes)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

setup: $(READY)  ## only the environment, with the command .venv/bin/pgmif; HASHES=no: any archive of a version

reproduce: $(READY)  ## all figures; PROFILE=quick|smoke|paper MANIFEST=file.csv
	@$(BIN)/python -m pgmif.cli.reproduce reproduce --profile $(PROFILE) \
	    $(if $(MANIFEST),--manifest "$(MANIFEST)") $(ARGS)

figures: $(READY)  ## all figures from the released weights, nothing trained: figures/phantom-released
	@$(BIN)/python -m pgmif.cli.reproduce reproduce --set released=true --set run=phantom-released \
	    --set phantom_train=1 $(ARGS)

evidence: $(READY)  ## delineation, ablations, five seeds (after or without reproduce); PROFILE, MANIFEST as there
	@$(BIN)/python -m pgmif.cli.reproduce reproduce --evidence --profile $(PROFILE) \
	    $(if $(MANIFEST),--manifest "$(MANIFEST)") $(ARGS)

report: $(READY)  ## results/<run>/report/index.html, a page that opens offline; RUN=name, else the newest
	@$(BIN)/python -m pgmif.report $(RUN)

test: $(READY)  ## the fast tests, under three minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow and not browser" $(ARGS)

slow: $(READY)  ## tests that run whole pipelines, two at a time on one core each
	OMP_NUM_THREADS=1 LOKY_MAX_CPU_COUNT=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "slow and not browser" $(ARGS)

browser: $(READY)  ## tests in headless Chromium (apt install chromium); screenshots in results/screenshots
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser $(ARGS)

fuzz: $(READY)  ## 1,600 damaged files through check, fuse and evaluate (8 min); ARGS="--seconds 30"
	$(BIN)/python tests/fuzz $(ARGS)

notebooks: $(READY)  ## strip the outputs of all notebooks
	$(BIN)/nbstripout --keep-id notebooks/*.ipynb notebooks/teaching/*.ipynb

lab: $(READY)  ## JupyterLab with explore.ipynb open; ARGS="--no-browser --port=8888"
	$(BIN)/python -m jupyterlab --LabApp.default_url=/lab/tree/notebooks/explore.ipynb $(ARGS)

docs: $(READY)  ## this documentation as a site: docs/_build/html; warnings are errors
	OMP_NUM_THREADS=2 $(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going docs docs/_build/html
	@echo "Documentation: docs/_build/html/index.html"

lint: $(READY)  ## ruff
	$(BIN)/ruff check . && $(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb notebooks/teaching/*.ipynb

bench: $(READY)  ## every measurement of speed as ratios: benchmarks/results.csv and .png (minutes)
	$(BIN)/python benchmarks/bench.py $(ARGS)

gpu: $(READY)  ## training and inference on a GPU beside the paper's figures: benchmarks/gpu.csv
	$(BIN)/python benchmarks/gpu.py $(ARGS)

crops: $(READY)  ## training on crops beside whole slices, on validation patients
	$(BIN)/python benchmarks/crops.py --profile $(PROFILE) \
	    $(if $(MANIFEST),--manifest $(MANIFEST)) $(ARGS)

channels: $(READY)  ## the generator's width, judged on training patients left out
	$(BIN)/python benchmarks/channels.py --profile $(PROFILE) \
	    $(if $(MANIFEST),--manifest $(MANIFEST)) $(ARGS)

registration: $(READY)  ## registration of phantoms beside elastix (installs itk-elastix)
	$(BIN)/python -m pip install --quiet itk-elastix
	$(BIN)/python benchmarks/registration.py $(ARGS)

metrics: $(READY)  ## the standard fusion metrics beside literal versions, images per second
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/fusion_metrics.py $(ARGS)

lessons: $(READY)  ## seconds and memory of every lesson: benchmarks/lessons.csv
	$(BIN)/python benchmarks/lessons.py

viewer: $(READY)  ## milliseconds per slice of the viewer, in Chromium: benchmarks/viewer.csv
	$(BIN)/python benchmarks/viewer.py

scaling: $(READY)  ## patients per minute by processes, peak memory by patients
	$(BIN)/python benchmarks/scaling.py $(ARGS)

calibrate: $(READY)  ## check the phantom's calibration (CNR of its untouched inputs)
	$(BIN)/python benchmarks/calibrate_phantom.py --check --profile $(PROFILE)

balance: $(READY)  ## content : adversarial balance of PGMIF and GMMCI on validation patients
	for method in pgmif gmmci; do $(BIN)/python benchmarks/balance.py --method $$method \
	    --profile $(PROFILE) $(if $(MANIFEST),--manifest $(MANIFEST)) $(ARGS) || exit 1; done

readme: $(READY)  ## write README's numbers from figures/
	$(BIN)/python benchmarks/readme_results.py

lock: $(READY)  ## write requirements.lock from .venv, with the hashes of all archives
	$(BIN)/python scripts/lock.py

clean:  ## remove results and the environment; figures stay
	rm -rf .venv results .snakemake
