# make demo: train on an embedded data set, print a table, draw two pictures
# make test: style, types, and all tests
# make docs: the documentation, into docs/_build/html
# make test-versions: the tests on the oldest scikit-learn with pandas 2, on the newest
#   with pandas 3, and on the newest without pandas

VENV := .venv
PYTHON := python3
RUN := $(VENV)/bin/python
CONSTRAINTS := .ci/constraints.txt
INSTALLED := $(VENV)/.installed

.PHONY: demo test docs test-versions clean

$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) torch==2.13.0
	$(RUN) -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e ".[test]"
	touch $@

demo: $(INSTALLED)
	$(RUN) benchmarks/demo.py $(if $(DATA),--data "$(DATA)")

test: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/codespell dephn_sk tests benchmarks docs README.md CHANGELOG.md
	$(VENV)/bin/mypy
	OMP_NUM_THREADS=1 $(RUN) -m pytest

$(VENV)/.documented: $(INSTALLED)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e ".[docs]"
	touch $@

docs: $(VENV)/.documented
	OMP_NUM_THREADS=1 $(RUN) -m sphinx --quiet --fail-on-warning --keep-going docs docs/_build/html
	$(RUN) docs/check_links.py docs/_build/html

# one environment for each combination; tests that need pandas skip where it is absent
OLDEST := "scikit-learn==1.6.1" "scipy==1.14.1" "numpy==2.0.2" "pandas==2.2.3" "pytest<9"
NEWEST := -U "scikit-learn" "pandas>=3"
WITHOUT := -U "scikit-learn"
test-versions:
	$(call in_fresh,.venv-oldest,$(OLDEST) polars pyarrow matplotlib hypothesis)
	$(call in_fresh,.venv-newest,$(NEWEST) polars pyarrow matplotlib hypothesis pytest)
	$(call in_fresh,.venv-without,$(WITHOUT) matplotlib hypothesis pytest)

define in_fresh
	$(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check $(2) -e .
	OMP_NUM_THREADS=1 $(1)/bin/python -m pytest -p no:cacheprovider tests
endef

clean:
	rm -rf $(VENV) demo_output .pytest_cache .ruff_cache .mypy_cache .hypothesis
	rm -rf docs/_build docs/auto_examples docs/generated
