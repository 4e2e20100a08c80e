# make demo: a first payment and three shops, against a local gateway (ONCE=1: end after it).  make test: the tests but the longest.  make test-fast: the quick ones.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

# Bytecode is kept, whatever the shell says: workers, and what tests start, else compile all anew.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo lock release test test-fast coverage test-postgresql test-mariadb pretix fire fuzz lint types build translations clean mutants bench matrix docs docs-version screenshots

demo: $(VENV)/.demo
	$(BIN)/python -m example_sites.demo $(if $(ONCE),--once)

# All but what is long: browsers, brokers, crowds, and the tutorials typed in; CI and `make coverage` run those.
# Three workers for two cores, as each waits a third of its time; neighbours stay together, so that few
# workers start a shop.
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 3 --dist worksteal -m 'not long'

# The edit loop: no browser, no broker, hardly a process or an admin's page, the contract over one store.
test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest -n 3 --dist worksteal -m 'not (slow or heavy or service)'

# The whole suite, what is long too, and which lines and branches it runs; fails below what pyproject.toml names.
coverage: $(VENV)/.dev
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 3 --dist worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# The records on a real PostgreSQL, at 127.0.0.1 with the user postgres.
test-postgresql: $(VENV)/.dev
	MPESA_TEST_DATABASE=postgresql $(BIN)/python -m pytest -n 3 --dist worksteal tests/contract tests/django

# And on a real MariaDB, at 127.0.0.1 with the user root; needs Debian's libmariadb-dev to build.
test-mariadb: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet 'mysqlclient>=2.2.1'
	MPESA_TEST_DATABASE=mariadb $(BIN)/python -m pytest -n 3 --dist worksteal tests/contract tests/django

# The plugin in integrations/pretix-mpesa, in the released pretix.
pretix:
	$(MAKE) matrix ENVS=pretix

# Three shops, their workers killed, their database server stopped and the gateway misbehaving: then every
# centavo is counted. make fire DATABASE=mariadb PAYMENTS=100000 SEED=2 SABOTAGE=conditional-update
DATABASE ?= postgresql
PAYMENTS ?= 20000
SEED ?= 1
SABOTAGE ?=
fire: $(VENV)/.dev
	$(if $(filter mariadb,$(DATABASE)),$(BIN)/python -m pip install --quiet 'mysqlclient>=2.2.1')
	$(BIN)/python -m tests.fire --database $(DATABASE) --payments $(PAYMENTS) --seed $(SEED) \
	    --sabotage "$(SABOTAGE)"

# Coverage-guided bytes at the callback endpoint. make fuzz SECONDS=600
SECONDS ?= 60
fuzz: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet atheris
	$(BIN)/python -m tests.fuzz -max_total_time=$(SECONDS)

# Changes of one line each in what does no I/O, and those that no test of tests/core saw; mutants/ has
# them: mutmut show NAME. make mutants MODULE=core.payments.lifecycle
MODULE ?=
mutants: $(VENV)/.dev
	rm -rf mutants
	$(BIN)/mutmut run --max-children 2 $(if $(MODULE),'mpesa_integrations.$(MODULE).*')
	$(BIN)/mutmut results

# What the library costs, and the charts of docs/benchmarks.md; on PostgreSQL too. Takes a while.
bench: $(VENV)/.dev
	bash -o pipefail -c '$(BIN)/python -m benchmarks | tee docs/benchmarks.jsonl'
	$(BIN)/python -m benchmarks.charts docs/benchmarks.jsonl docs/benchmarks

# Every supported pair of versions of Python, Django, Flask, SQLAlchemy and marshmallow; see tox.ini.
# make matrix LABEL=ci: each version once, as CI has it. make matrix ENVS=py312-django52: one of them.
# tox finds interpreters on the PATH, to which those of pyenv are added where there is one.
matrix: $(VENV)/.dev
	PATH="$$PATH$$(for version in $$(pyenv versions --bare 2>/dev/null | grep -Ex '3\.1[0-9.]+'); \
	    do printf ':%s/bin' "$$(pyenv prefix $$version)"; done)" \
	$(BIN)/tox run-parallel --parallel 3 --parallel-no-spinner \
	    $(if $(CI),--skip-missing-interpreters false) $(if $(LABEL),-m $(LABEL)) $(if $(ENVS),-e $(ENVS))

# What every file must be, and which part may import which: .pre-commit-config.yaml.
lint: $(VENV)/.dev
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pre-commit run --all-files --show-diff-on-failure

# The code itself; then how much of the public names pyright knows the type of, and the documentation's code.
types: $(VENV)/.dev
	$(BIN)/mypy
	$(BIN)/python -m tests.type_checks

# The documentation, in site/; the tables that are facts of the code are written anew.
docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --strict

# The same beside that of earlier versions, with a choice between them: a commit on the branch gh-pages, for
# whoever serves it. No host is named anywhere: make release says what is left to a person.
docs-version: docs
	DOCS_VERSIONS=mike PATH="$(abspath $(BIN)):$$PATH" \
	    $(BIN)/mike deploy --update-aliases --alias-type redirect "$$($(BIN)/python release.py docs)" latest
	$(BIN)/mike set-default latest

# The versions that development and CI's checks use, for every Python; what is locked stays as it is.
# make lock UPGRADE=1: the newest of all of them.
lock:
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command 'make lock' \
	    --quiet $(if $(UPGRADE),--upgrade) --output-file requirements-dev.lock

build: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist

# Builds a release and checks that changelog, version, tag and wheel agree; says what is left to you.
release: $(VENV)/.dev
	$(BIN)/python release.py check
	$(MAKE) build
	$(BIN)/python release.py built

# Collects all texts that people see into their catalogues, and compiles them.
translations: $(VENV)/.dev
	$(BIN)/python -m tests.catalogues

# Opens each page in Chromium as the tests do, and keeps its pictures in docs/screenshots.
screenshots: $(VENV)/.dev
	$(BIN)/python -m tests.browser.screenshots

clean:
	rm -rf $(VENV) build dist .demo mutants

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[examples]'
	touch $@

# With exactly the versions of the lock, also what builds the package.
$(VENV)/.dev: $(BIN)/python pyproject.toml requirements-dev.lock
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@ $(VENV)/.demo
