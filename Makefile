# Everything a contributor runs. `make` lists the targets.
#
#   PYTHON=python3.12 make test     uses another Python, in a venv of its own

PYTHON  ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV    ?= $(if $(filter python3,$(PYTHON)),.venv,.venv-$(VERSION))
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check --quiet

RUNTIME := $(VENV)/installed
DEV     := $(VENV)/installed-dev
CURATOR := $(VENV)-curator

# A run starts hundreds of processes, which would all compile the same modules where this is set, as in many images.
unexport PYTHONDONTWRITEBYTECODE

# Nothing may hang: pytest shows where it is stuck after FAULT_AFTER seconds in one test, and is told
# to stop, with its fixtures, after TEST_TIMEOUT.
FAULT_AFTER  ?= 600
TEST_TIMEOUT ?= 50m
PYTEST       := timeout --foreground --signal=INT --kill-after=2m $(TEST_TIMEOUT) \
                $(BIN)/python -m pytest -o faulthandler_timeout=$(FAULT_AFTER)

# Kinds of tests side by side: Slurm's wait for half of their time, plain ones for longer, so that these alone take one
# worker more. A part that is named runs in one process.
WORKERS       ?= 4
PLAIN_WORKERS ?= 5
SIDE_BY_SIDE   = $(if $(TESTS),,--numprocesses=$(1))

.DEFAULT_GOAL := help
.PHONY: help quickstart check test test-curator lint unit examples matrix faults chaos scale shapes doctor bottlenecks containers staging stalls damage bench packages venv cluster cluster-down docs docs-tables docs-picture fuzz clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

quickstart: $(RUNTIME) ## Curate the standard library's source on this machine, no Slurm needed
	$(BIN)/curator-slurm run examples/quickstart.yaml --cluster local

test: packages $(DEV) ## All checks and tests, on a real Slurm where root may start one
	$(BIN)/ruff check
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(PYTEST) $(call SIDE_BY_SIDE,$(WORKERS)) $(TESTS)

check: lint ## Style, types and plain tests but long ones, in less than three minutes: for every change
	$(PYTEST) $(call SIDE_BY_SIDE,$(PLAIN_WORKERS)) -m 'not slurm and not ray$(if $(TESTS),, and not long)' $(TESTS)

lint: $(DEV) ## Style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy

unit: $(DEV) ## Tests without the real Slurm
	$(PYTEST) $(call SIDE_BY_SIDE,$(WORKERS)) -m 'not slurm' $(TESTS)

examples: packages $(DEV) ## Every example on all three executors here, and on two nodes of the real Slurm (ten minutes)
	EXAMPLES_ON="ray_actor_pool ray_data xenna" $(PYTEST) tests/examples tests/on_slurm/test_examples_on_slurm.py \
	    -k "runs_as_written or two_nodes"

chaos: packages $(DEV) ## Kill nodes, processes and the controller under 40 shards: make chaos SEED=7
	SEED="$(or $(SEED),1)" $(PYTEST) -m chaos -s tests/on_slurm/test_chaos.py

scale: packages $(DEV) ## Run 300 array elements where an array may have 100
	$(PYTEST) -m scale -s tests/on_slurm/test_scale.py

shapes: packages $(DEV) ## One spec on the real Slurm in fourteen shapes of sites, with right and wrong site files (ten minutes)
	$(PYTEST) -m shapes -s tests/on_slurm/test_site_shapes.py

doctor: packages $(DEV) ## Plant twenty faults in the real Slurm, of which `curator-slurm doctor` must find each (five minutes)
	$(PYTEST) -m doctor -s tests/on_slurm/test_doctor_on_slurm.py

bottlenecks: $(DEV) ## Plant five bottlenecks in pipelines on a real Ray, which a report must name, on three executors (five minutes)
	CURATOR_SLURM_BOTTLENECKS=all $(PYTEST) -s tests/executors/run/test_planted_bottlenecks.py

containers: $(DEV) ## Runs inside Debian images, made once by debootstrap, by three runtimes on the real Slurm (half an hour)
	@tests/slurm_cluster/install-packages.sh debootstrap charliecloud-runtime podman uidmap crun
	$(BIN)/python tests/image_folder.py
	$(PYTEST) -m containers -s --durations=0 tests/on_slurm/test_curator_in_image.py \
	    tests/on_slurm/test_containers_on_slurm.py tests/on_slurm/test_mistakes_in_images.py $(CONTAINERS)

staging: packages $(DEV) ## Copies of 20,000 files on three nodes of the real Slurm, and all that can go wrong (five minutes)
	$(PYTEST) -m staging -s tests/on_slurm/test_staging_on_slurm.py

stalls: packages $(DEV) ## Freeze shared storage and suspend jobs for 100 s on the real Slurm (a quarter of an hour)
	$(PYTEST) -m stalls -s tests/on_slurm/test_stalls.py

faults: packages $(DEV) ## Every fault under a run and an array on every executor, into docs/fault-table.md (hours): make faults FAULTS="-k power"
	$(BIN)/python tests/fault_table.py $(FAULTS)

damage: $(DEV) ## Every file of a run, damaged in every way, under every verb (an hour)
	EVERY_DAMAGE=1 $(PYTEST) -s tests/launcher/cli/test_damaged_runs.py

matrix: packages ## Every failure and shared test on every executor and cosmos-xenna, as tables (two hours)
	@$(PYTHON) tests/matrix.py $(MATRIX)

bench: packages $(DEV) ## All benchmarks, peers beside us, into docs/performance.md (hours): make bench BENCH="fill --again"
	$(BIN)/python benchmarks/bench.py $(BENCH)

fuzz: $(DEV) ## 5,000 hostile specs at random: make fuzz FUZZ="--seed 17 --count 100"
	$(BIN)/python tests/fuzz_specs.py $(FUZZ)

test-curator: $(CURATOR)/installed ## Tests with NeMo Curator 1.4.0, in a venv of its own
	@command -v ffprobe >/dev/null || tests/slurm_cluster/install-packages.sh ffmpeg
	timeout --foreground --signal=INT --kill-after=2m $(TEST_TIMEOUT) \
	    $(CURATOR)/bin/python -m pytest -o faulthandler_timeout=$(FAULT_AFTER) $(or $(TESTS),tests/interop)

packages: ## Install Slurm, shellcheck and Chromium from Debian (as root; does nothing when they are there)
	@tests/slurm_cluster/install-packages.sh

venv: $(DEV) ## Make the venv with everything for development

cluster: packages $(DEV) ## Start a Slurm of 3 nodes by hand
	@$(BIN)/python tests/slurm_cluster/cluster.py up
	@echo "Take it down: make cluster-down"

cluster-down: ## Stop it
	@$(BIN)/python tests/slurm_cluster/cluster.py down --purge

docs: $(DEV) ## Build the documentation as a site in site/, strictly; open site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-tables: $(DEV) ## Write again what the docs have from the code: tables, schemas, the picture of the packages
	@$(BIN)/python tests/generated_docs.py

screenshots: packages $(DEV) ## Reports of runs of every kind on the real Slurm in a browser, pictures into docs/pictures: make screenshots RUNS=lost
	$(PYTEST) -m screenshots -s tests/on_slurm/test_reports_on_slurm.py $(if $(RUNS),-k "$(RUNS)")

docs-picture: ## Write docs/packages.toml into its picture and the packages' docstrings
	@$(PYTHON) docs/packages.py

clean: ## Remove venvs, caches and builds
	rm -rf .venv .venv-* build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A venv whose Python has gone is made again; a newer pyproject.toml only installs again.
ifneq ($(shell $(BIN)/python -c 'print("works")' 2>/dev/null),works)
.PHONY: $(VENV)/pyvenv.cfg
endif
$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Python 3.11 or later is needed; $(PYTHON) is $(VERSION)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || tests/slurm_cluster/install-packages.sh python$(VERSION)-venv
	$(PYTHON) -m venv --clear $(VENV)

$(RUNTIME): $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	@echo "Installing curator-slurm into $(VENV) ..."
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(DEV): $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	@echo "Installing curator-slurm and its tools into $(VENV) ..."
	@$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $(RUNTIME) $@

$(CURATOR)/installed: pyproject.toml constraints.txt
	@echo "Installing curator-slurm and NeMo Curator into $(CURATOR); this takes some minutes ..."
	@$(PYTHON) -m venv --clear $(CURATOR)
	@$(CURATOR)/bin/python -m pip --disable-pip-version-check --quiet install torch==2.13.0
	@$(CURATOR)/bin/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt \
	    nemo-curator==1.4.0 --editable '.[dev,languages]'
	@touch $@
