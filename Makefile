# make demo   the analysis of the slides, from a fresh clone
# make test   the tests, on all cores
# make test-all           slow repetitions too: more models, seeds and libraries; .ci/run calls this
# make test-slow          the tests with clusters of processes: Dask, Spark
# make torture            hard models (tests/torture/README.md)
# make test-debug         the tests of the kernels, with bounds checks and assertions
# make sanitize           the same tests under AddressSanitizer and UndefinedBehaviorSanitizer (gcc)
# make fuzz               coverage-guided fuzzing of kernels, formulas and files (tests/fuzz/README.md);
#                         FUZZ_SECONDS=60 per target, FUZZ_SEED=1 to repeat a run
# make leaks              resident memory over 10,000 fits of each engine, then a few fits under valgrind
# make bench              comparison with the installed libraries, a few minutes (benchmarks/README.md)
# make bench-competitors  the other libraries, each in its own environment
# make bench-all | bench-scaling | bench-kernels
# make wheel              source distribution and a wheel that contains SuiteSparse, in dist/
# make test-wheel         the tests of that wheel, without SuiteSparse on the system
# make test-pythons       the tests with every installed Python, 3.10 to 3.14
# make test-lower-bounds  the tests with the oldest dependencies that pyproject.toml allows
# make reproducible       compare two builds from two folders byte by byte
# make docs               the pages and the API reference, in build/docs
# make pictures           the pictures of README.md, in docs/pictures
# make lint | clean
#
# The virtual environment is .venv, and the extensions are built in place. Stamp files in .venv record
# which steps are done.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
# Extensions are compiled by the rule for $(VENV)/built, not at each of these calls.
EDITABLE := MIXEDFAST_METADATA_ONLY=1 $(PIP) install --no-build-isolation --editable

BUILD_TOOLS := "setuptools>=77" "cython>=3.0" "numpy>=2.0" "scipy>=1.11.1"
SOURCES := setup.py pyproject.toml $(wildcard build_support/*.py csrc/*.c csrc/*.h mixedfast/*.pyx mixedfast/*/*.pyx mixedfast/*/*.pxd)

.PHONY: demo test test-all test-slow test-debug torture sanitize fuzz leaks bench bench-all bench-scaling bench-kernels bench-competitors docs pictures lint build clean
.PHONY: sdist wheel test-wheel test-pythons test-lower-bounds reproducible
.DELETE_ON_ERROR:

demo: build
	@$(BIN)/mixedfast demo

# Idle workers take tests from the end of another worker's list: neighbours share a module's fixtures.
PYTEST := $(BIN)/python -m pytest -q -n auto --dist worksteal
test: $(VENV)/tested-with build
	$(PYTEST)

test-all: $(VENV)/tested-with build
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/tested-slowly-with build
	$(BIN)/python -m pytest -q -m slow

torture: $(VENV)/tested-with build
	TORTURE=all OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/torture

# Extensions of their own in build/NAME, beside a copy of the Python files: $(call apart,NAME,SETTINGS OF THE BUILD)
define apart
	rm -rf build/$(1) && mkdir -p build/$(1)
	cp -r mixedfast tests pyproject.toml build/$(1)/ && find build/$(1)/mixedfast -name "*.so" -delete
	$(2) $(BIN)/python setup.py --quiet build_ext --force --build-temp build/$(1)/temp --build-lib build/$(1)
endef

KERNELS_TESTS := $(wildcard tests/*/test_*_kernels.py)
CHECKED_TESTS := $(KERNELS_TESTS) tests/engines/test_cholmod.py tests/engines/test_threads.py tests/engines/test_large_sizes.py \
    tests/crossprod/test_products.py tests/crossprod/test_residual_products.py tests/estimation/test_starting_values.py \
    tests/estimation/test_pls.py
test-debug: $(VENV)/tested-with build
	$(call apart,debug,MIXEDFAST_DEBUG=1)
	cd build/debug && PYTHONPATH=. ../../$(BIN)/python -m pytest -q -p no:cacheprovider $(CHECKED_TESTS)

# Leaks are not looked for: Python leaves much behind at its end. Tests that measure resident memory would measure the sanitizer's.
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
sanitize: $(VENV)/tested-with build
	$(call apart,sanitized,CC="gcc $(SANITIZERS)")
	cd build/sanitized && ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=. \
	    LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	    ../../$(BIN)/python -m pytest -v -s -p no:cacheprovider $(CHECKED_TESTS) -k "not memory_is_flat"

# Inputs nobody thought of: two targets at a time. What cannot be run on this machine is named, and is no failure.
FUZZ_SECONDS ?= 60
FUZZ_MODELS ?= 500
FUZZ_SEED ?=
fuzz: $(VENV)/fuzzed-with build
	$(BIN)/python tests/fuzz/run.py --seconds $(FUZZ_SECONDS) $(FUZZ_SEED:%=--seed %)
	MODELS=$(FUZZ_MODELS) $(BIN)/python -m pytest -q $(FUZZ_SEED:%=--hypothesis-seed=%) tests/estimation/test_random_models.py

# A quarter of an hour.
leaks: build
	@build_support/system_packages.sh $(PYTHON) valgrind
	$(BIN)/python tests/leaks/run.py

bench: $(VENV)/benched-with build
	$(BIN)/python -m benchmarks run --limit 30 --budget 5

bench-all: $(VENV)/benched-with build
	$(BIN)/python -m benchmarks run --problems P1,P3,P4,P6,P7,P8,P8b,P9,P10a,P10b,P10c,P10d --limit 60
	$(BIN)/python -m benchmarks run --problems P11 --limit 600 --repeat 1 --update

bench-scaling: $(VENV)/benched-with build
	$(BIN)/python -m benchmarks scaling

bench-kernels: $(VENV)/benched-with build
	$(BIN)/python -m pytest -q benchmarks/micro

bench-competitors: $(VENV)/benched-with build
	$(BIN)/python -m benchmarks environments

# What is published (docs/trust.md, "Packaging"). The source distribution is small and made anew each time.
sdist: $(VENV)/packed-with
	@rm -f dist/*.tar.gz
	@$(BIN)/python build_support/distributions.py dist

wheel: $(VENV)/packed-with build/suitesparse/done
	@rm -rf dist
	@$(BIN)/python build_support/distributions.py dist build/suitesparse

build/suitesparse/done: build_support/suitesparse.py $(VENV)/packed-with
	rm -rf build/suitesparse
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python build_support/suitesparse.py build/suitesparse
	@touch $@

# What the wheel could do otherwise than the tree: its kernels, its CHOLMOD, its files, its command. WHEEL_TESTS=tests takes all.
WHEEL_TESTS ?= $(KERNELS_TESTS) $(foreach part,engines/test_cholmod crossprod/streaming/test_pushdown estimation/test_golden api/test_api \
    api/test_cli api/test_datasets data/test_storage project/test_published_files,tests/$(part).py)
test-wheel: wheel
	MIXEDFAST_TESTED_WHEEL=repaired RUN=build_support/without_suitesparse.sh TESTS="$(WHEEL_TESTS)" \
	    build_support/test_away.sh $(PYTHON) dist/*.tar.gz dist/*.whl

# All of them, whatever the first says; then a line for each. Pythons of pyenv and on the path, the newest of each minor version.
PYTHONS ?= $(shell for minor in 10 11 12 13 14; do \
    ls -d $(HOME)/.pyenv/versions/3.$$minor.*/bin/python 2>/dev/null | sort -V | tail -n 1 | grep . || command -v python3.$$minor; done)
test-pythons: sdist
	@failed=""; summary=""; for python in $(PYTHONS); do \
	    if build_support/test_away.sh $$python dist/*.tar.gz dist/*.tar.gz; then how=passed; else how=FAILED; failed=1; fi; \
	    summary="$$summary$$how  $$python\n"; done; \
	printf "\n$$summary"; test -z "$$failed"

# The oldest versions have binaries for Python 3.10 and 3.11 only.
OLDEST_PYTHON ?= $(firstword $(PYTHONS))
test-lower-bounds: sdist
	@mkdir -p build
	$(BIN)/python build_support/lower_bounds.py test plots >build/lower-bounds.txt
	build_support/test_away.sh $(OLDEST_PYTHON) dist/*.tar.gz dist/*.tar.gz --constraint build/lower-bounds.txt

reproducible: $(VENV)/packed-with
	PATH="$(CURDIR)/$(BIN):$$PATH" build_support/reproducible.sh $(CURDIR)/$(BIN)/python

# A warning is an error. `make test` runs the examples in the pages.
docs: $(VENV)/documented-with build
	$(BIN)/sphinx-build -W --keep-going -q -E -b html docs build/docs
	@echo "build/docs/index.html"

pictures: $(VENV)/tested-with build
	$(BIN)/python docs/make_pictures.py

lint: $(VENV)/linted-with build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy mixedfast
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run -Werror $(wildcard csrc/*.[ch] tests/fuzz/kernels/*.[ch])
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint mixedfast

build: $(VENV)/built

$(VENV)/made:
	@build_support/system_packages.sh $(PYTHON)
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade pip $(BUILD_TOOLS)
	@touch $@

# The package itself and what it needs, in place: sources are used where they are.
$(VENV)/installed: $(VENV)/made pyproject.toml
	@$(EDITABLE) '.'
	@touch $@

# After a change of C or Cython only that is compiled again.
$(VENV)/built: $(VENV)/installed $(SOURCES)
	$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

# scikit-sparse compiles against SuiteSparse; where it does not, its tests are skipped and say so.
$(VENV)/tested-with: $(VENV)/installed
	@$(EDITABLE) '.[test,plots]'
	@echo "Building scikit-sparse, the tests' second opinion (a minute, once)"
	@$(EDITABLE) '.[second-opinion]' || \
	    echo "scikit-sparse does not build here: the tests that compare with it will be skipped."
	@touch $@

$(VENV)/tested-slowly-with: $(VENV)/tested-with
	@$(EDITABLE) '.[test,dask,ibis,spark]'
	@touch $@

$(VENV)/fuzzed-with: $(VENV)/tested-with
	@build_support/system_packages.sh $(PYTHON) libfuzzer
	@$(EDITABLE) '.[fuzz]' || echo "atheris does not install here: formulas, files and tables will not be fuzzed."
	@touch $@

$(VENV)/benched-with: $(VENV)/installed
	@$(EDITABLE) '.[bench]'
	@touch $@

$(VENV)/packed-with: $(VENV)/installed
	@$(EDITABLE) '.[release]'
	@touch $@

$(VENV)/documented-with: $(VENV)/installed
	@$(EDITABLE) '.[docs]'
	@touch $@

$(VENV)/linted-with: $(VENV)/tested-with
	@$(EDITABLE) '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist docs/made *.egg-info mixedfast/_buildinfo.py
	find mixedfast -name "*.so" -delete -o -name "*.pyd" -delete
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -rf .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache .benchmarks
