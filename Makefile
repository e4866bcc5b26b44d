# make demo: train on an embedded data set, print a table, write a report and pictures
# make test: style, types, and all tests
# make test WHEEL=1: the same, but the tests run on the wheel, in an environment of its own
# make test-engines: the examples of docs/engines on Ray, Dask, Spark and Optuna; graphs
#   without Python, in WebAssembly under Node
# make test-browser: reports, and the documentation without its gallery run, in the
#   Chromium that is installed, with axe-core
# make docs: the documentation, into docs/_build/html
# make dist: the sdist, and the wheel that is built from it, into dist
# make test-versions: the tests on the oldest versions that pyproject.toml allows, on the
#   newest with pandas 3, and on the newest without pandas; and files across the first two

VENV := $(if $(WHEEL),.venv-wheel,.venv)
PYTHON := python3
RUN := $(VENV)/bin/python
PIP := -m pip install --quiet --disable-pip-version-check
CONSTRAINTS := .ci/constraints.txt
INSTALLED := $(VENV)/.installed
PROJECT := $(if $(WHEEL),"$$(echo dist/*.whl)[test]",-e ".[test]")
JOBS := $(shell nproc 2>/dev/null || echo 2)
ORT_WEB := 1.30.0
PLAYWRIGHT := 1.65.2
AXE := 4.14.1
NODE := $(if $(shell command -v npm),.venv-node/.installed)
SPHINX = OMP_NUM_THREADS=1 $(RUN) -m sphinx --quiet --fail-on-warning --keep-going
TEXTS := dephn_sk tests benchmarks docs $(wildcard *.md)

.PHONY: demo test test-engines test-browser docs dist test-versions clean

$(INSTALLED): pyproject.toml $(CONSTRAINTS) $(if $(WHEEL),dist/.built)
	$(PYTHON) -m venv $(if $(WHEEL),--clear) $(VENV)
	$(RUN) $(PIP) -c $(CONSTRAINTS) torch==2.13.0
	$(RUN) $(PIP) -c $(CONSTRAINTS) $(PROJECT)
	touch $@

demo: $(INSTALLED)
	$(RUN) benchmarks/demo.py $(if $(DATA),--data "$(DATA)")

# not `python -m pytest`, for which the source tree would come before the wheel
test: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/codespell $(TEXTS)
	$(VENV)/bin/mypy
	OMP_NUM_THREADS=1 DEPHN_SK_WHEEL=$(WHEEL) $(VENV)/bin/pytest -n $(JOBS) --dist worksteal \
		$(if $(WHEEL),tests --pyargs dephn_sk)

$(VENV)/.engines: $(INSTALLED)
	$(RUN) $(PIP) -c $(CONSTRAINTS) $(subst [test],[engines],$(PROJECT))
	touch $@

.venv-node/.installed: Makefile
	npm install --prefix .venv-node --no-save --no-audit --no-fund --ignore-scripts \
		--silent onnxruntime-web@$(ORT_WEB) axe-core@$(AXE)
	touch $@

# what needs Java or Node skips where there is none
test-engines: $(VENV)/.engines $(NODE)
	OMP_NUM_THREADS=1 $(VENV)/bin/pytest tests/engines tests/export/test_engines.py

$(VENV)/.browser: $(VENV)/.documented
	$(RUN) $(PIP) playwright==$(PLAYWRIGHT)
	touch $@

test-browser: $(VENV)/.browser $(NODE)
	$(SPHINX) -D plot_gallery=0 docs docs/_build/quick
	DEPHN_SK_AXE=.venv-node/node_modules/axe-core/axe.min.js DEPHN_SK_SITE=docs/_build/quick \
		OMP_NUM_THREADS=1 $(VENV)/bin/pytest -n $(JOBS) tests/browser

$(VENV)/.documented: $(INSTALLED)
	$(RUN) $(PIP) -c $(CONSTRAINTS) $(subst [test],[docs],$(PROJECT))
	touch $@

docs: $(VENV)/.documented
	$(SPHINX) docs docs/_build/html
	$(RUN) docs/check_links.py docs/_build/html

dist: dist/.built

dist/.built: $(shell find dephn_sk -name '*.py') pyproject.toml MANIFEST.in README.md LICENSE
	rm -rf dist
	$(PYTHON) -m venv .venv-build
	.venv-build/bin/python $(PIP) -c $(CONSTRAINTS) build
	.venv-build/bin/python -m build --outdir dist . >/dev/null
	touch $@

# one environment for each combination; tests that need pandas skip where it is absent
test-versions:
	$(call in_fresh,.venv-oldest,-c .ci/oldest.txt -e ".[frames,plot,file]" "pytest<9" hypothesis)
	$(call in_fresh,.venv-newest,torch==2.13.0 -U -e ".[frames,plot,file]" "pandas>=3" pytest hypothesis)
	$(call read_by,.venv-oldest,.venv-newest)
	$(call read_by,.venv-newest,.venv-oldest)
	$(call in_fresh,.venv-without,torch==2.13.0 -U -e ".[plot]" pytest hypothesis)

define in_fresh
	$(PYTHON) -m venv --clear $(1)
	$(1)/bin/python $(PIP) $(2)
	OMP_NUM_THREADS=1 $(1)/bin/python -m pytest -p no:cacheprovider tests
endef

# what the first writes, the second reads
define read_by
	rm -rf .files
	$(1)/bin/python tests/fixtures/write_fixtures.py --around .files
	$(2)/bin/python -W ignore tests/fixtures/write_fixtures.py --check .files
	rm -rf .files
endef

clean:
	rm -rf .files .venv* dist demo_output .pytest_cache .ruff_cache .mypy_cache .hypothesis
	rm -rf docs/_build docs/auto_examples docs/generated
