# make demo: a first payment and a shop, against a local gateway (ONCE=1: end after it).  make test: the test suite.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-postgresql test-mariadb fire lint types build translations screenshots clean

demo: $(VENV)/.demo
	$(BIN)/python -m example_sites.demo $(if $(ONCE),--once)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2

# The records on a real PostgreSQL, at 127.0.0.1 with the user postgres.
test-postgresql: $(VENV)/.dev
	MPESA_TEST_DATABASE=postgresql $(BIN)/python -m pytest -n 2 tests/contract tests/django

# And on a real MariaDB, at 127.0.0.1 with the user root; needs Debian's libmariadb-dev to build.
test-mariadb: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet 'mysqlclient>=2.2.1'
	MPESA_TEST_DATABASE=mariadb $(BIN)/python -m pytest -n 2 tests/contract tests/django

# Two shops, their workers killed and the gateway misbehaving, on PostgreSQL: then every centavo is
# counted. make fire PAYMENTS=100000 SEED=2 SABOTAGE=conditional-update
PAYMENTS ?= 20000
SEED ?= 1
SABOTAGE ?=
fire: $(VENV)/.dev
	$(BIN)/python -m tests.fire --payments $(PAYMENTS) --seed $(SEED) --sabotage "$(SABOTAGE)"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

build: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

# Collects all texts that people see into their catalogues, and compiles them.
translations: $(VENV)/.dev
	$(BIN)/python -m tests.catalogues

# Opens each page in Chromium as the tests do, and keeps its pictures in docs/screenshots.
screenshots: $(VENV)/.dev
	$(BIN)/python -m tests.browser.screenshots

clean:
	rm -rf $(VENV) build dist .demo

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[simulator,django]'
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.demo
