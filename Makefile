# make demo: train on an embedded data set, print a table, draw two pictures
# make test: style, types, and all tests

VENV := .venv
PYTHON := python3
RUN := $(VENV)/bin/python
CONSTRAINTS := .ci/constraints.txt
INSTALLED := $(VENV)/.installed

.PHONY: demo test clean

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
	$(RUN) -m pytest

clean:
	rm -rf $(VENV) demo_output .pytest_cache .ruff_cache .mypy_cache .hypothesis
