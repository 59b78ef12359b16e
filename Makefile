# nucleiflow: `make demo` first, `make run IMAGES=/path/to/images` next.
# The README gives the plain commands behind each target.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORES ?= all
RESULTS ?= results
SETTINGS = $(if $(CONFIG),--configfile "$(CONFIG)") --config images="$(IMAGES)" results="$(RESULTS)"
# More to install, such as EXTRAS=vendor.
EXTRAS ?=

UNKNOWN := $(filter-out vendor,$(EXTRAS))
ifneq ($(UNKNOWN),)
$(error EXTRAS=$(UNKNOWN) is unknown: vendor, for files of ZEISS, Nikon and Leica, is the only one)
endif

.PHONY: help install install-dev demo run test test-long lint format docs bench bench-full clean

help:
	@echo "make demo             set up and run everything on simulated plates"
	@echo "make run IMAGES=DIR   the same on your own images (RESULTS=DIR, CONFIG=FILE, CORES=N)"
	@echo "make install          set up alone (EXTRAS=vendor: reads CZI, ND2 and LIF files, too)"
	@echo "make test             lint and tests, some minutes"
	@echo "make test-long        tests of whole runs for each feature"
	@echo "make bench            speed and accuracy, measured here"
	@echo "make bench-full       the same and what takes more than an hour, into benchmarks/RESULTS.md"
	@echo "make docs             config/config.yaml and config/README.md from the schema"
	@echo "make clean            remove what demo and bench made, and the environment"

$(BIN)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "nucleiflow needs Python 3.11 or later: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(BIN)/.installed-vendor: $(BIN)/.installed requirements-vendor.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-vendor.txt
	@touch $@

$(BIN)/.installed-dev: $(BIN)/.installed requirements-dev.txt requirements-vendor.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

install: $(BIN)/.installed $(EXTRAS:%=$(BIN)/.installed-%)

install-dev: $(BIN)/.installed-dev

demo: install
	$(BIN)/python workflow/demo.py

run: install
	@test -n "$(IMAGES)" || { echo "say where the images are: make run IMAGES=/path/to/images"; exit 2; }
	@test -z "$(CONFIG)" -o -f "$(CONFIG)" || { echo "there is no file $(CONFIG), check CONFIG"; exit 2; }
	$(BIN)/snakemake --cores $(CORES) --logger rich --report "$(RESULTS)/report.html" \
		--report-after-run $(SETTINGS)

lint: $(BIN)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

test: lint
	$(BIN)/pytest --numprocesses auto -m "not long" tests/unit tests/workflow

test-long: $(BIN)/.installed-dev
	$(BIN)/pytest --numprocesses auto --dist loadfile -m long tests/workflow

format: $(BIN)/.installed-dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

docs: $(BIN)/.installed-dev
	$(BIN)/python config/document.py

bench: $(BIN)/.installed-dev
	$(BIN)/python benchmarks/bench.py

bench-full: $(BIN)/.installed-dev
	$(BIN)/python benchmarks/bench.py --full --write benchmarks/RESULTS.md

clean:
	rm -rf demo bench $(VENV)
