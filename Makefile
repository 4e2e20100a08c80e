# make demo: a first payment against a local gateway.  make test: the test suite.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-postgresql test-mariadb matrix lint types docs build clean

demo: $(VENV)/.demo
	$(BIN)/python -m example_sites.first_payment

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2

# The records on a real PostgreSQL, at 127.0.0.1 with the user postgres.
test-postgresql: $(VENV)/.dev
	MPESA_TEST_DATABASE=postgresql $(BIN)/python -m pytest -n 2 tests/contract tests/django

# And on a real MariaDB, at 127.0.0.1 with the user root; needs Debian's libmariadb-dev to build.
test-mariadb: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet 'mysqlclient>=2.2.1'
	MPESA_TEST_DATABASE=mariadb $(BIN)/python -m pytest -n 2 tests/contract tests/django

# Every supported version of Python, Django, Flask, SQLAlchemy and marshmallow; see tox.ini.
# tox finds interpreters on the PATH, to which those of pyenv are added where there is one.
matrix: $(VENV)/.dev
	PATH="$$PATH$$(for version in $$(pyenv versions --bare 2>/dev/null | grep -Ex '3\.1[0-9.]+'); \
	    do printf ':%s/bin' "$$(pyenv prefix $$version)"; done)" \
	$(BIN)/tox run-parallel --parallel 2 --parallel-no-spinner \
	    $(if $(CI),--skip-missing-interpreters false) $(if $(ENVS),-e $(ENVS))

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

# The documentation, in site/; the tables that are facts of the code are written anew.
docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --strict

build: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist

clean:
	rm -rf $(VENV) build dist .demo

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[simulator]'
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.demo
