# Needs Python 3.11+ and make; everything else is installed into .venv from requirements.lock.
PYTHON ?= python3
CORES ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)
# One thread per job: jobs run side by side, and results do not depend on a thread count.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export NUMBA_NUM_THREADS := 1
export PYTHONHASHSEED := 0

.PHONY: setup all quick test bench lint lock docs clean distclean help
.DEFAULT_GOAL := all

setup: $(STAMP)  ## install only

all: $(STAMP)  ## set up, then data, estimates, tables, figures, paper and report
	@snakemake --cores $(CORES)

quick: $(STAMP)  ## the same on a small firm, in under a minute (results in results/quick)
	@snakemake --cores $(CORES) --configfile config/quick.yaml

test: $(STAMP)  ## run every test
	@python -m pytest

bench: $(STAMP)  ## time the estimators against other software, as ratios
	@python -m benchmarks

lint: $(STAMP)  ## style of Python and Snakemake files
	@ruff check . && ruff format --check . && snakefmt --check Snakefile workflow && snakemake --lint

lock: $(STAMP)  ## rewrite requirements.lock and environment.yml from pyproject.toml
	@uv pip compile pyproject.toml --extra dev --universal --generate-hashes --python-version 3.11 \
	  --no-emit-index-url --no-header --no-annotate --quiet --output-file requirements.lock
	@python scripts/write_environment.py

docs: $(STAMP)  ## rewrite the generated parts of the documentation
	@python scripts/write_documentation.py

clean:  ## remove everything made, keep the environment
	rm -rf results logs .snakemake benchmarks/results

distclean: clean  ## remove the environment as well
	rm -rf $(VENV) *.egg-info

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*##  *\(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

# uv verifies and installs the lock in seconds; it is itself installed by hash. Without it, pip does the same.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || { echo "Making $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "Installing the locked packages ..."
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt \
	  && VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
