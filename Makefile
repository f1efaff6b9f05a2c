# Every target does its own set-up. You need Rust, Python 3.10 or newer, git and a C compiler.

PYTHON ?= python3
DJANGO ?= 5.2
# One more than cores: some tests wait most of their time.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
VENV := .venv
BIN := $(VENV)/bin
CARGO_TARGET_DIR ?= target
# `advisories` needs the network: make deny DENY="advisories licenses bans sources"
DENY ?= licenses bans sources
export CARGO_TARGET_DIR
SOURCES := $(shell find crates python -type f -not -name '*.pyc') Cargo.toml Cargo.lock pyproject.toml

.PHONY: help demo test test-rust test-python test-matrix test-long lint deny msrv fmt wheel image bench test-faults test-fuzz test-mutants test-packages clean

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: .installed ## deploy a small shop three times and take it back to v1, on SQLite
	$(BIN)/python demo/demo.py

test: test-rust test-python ## run all tests, on SQLite and on a PostgreSQL of their own

test-rust: $(VENV)/.tools
	DJANGO_ROLLBACK_TEST_PG_BIN="$$(PYTHONPATH=tests $(BIN)/python -m harness.postgres)" \
		cargo test --workspace --exclude rollback-py --quiet

test-python: .installed
	$(BIN)/python -m pytest tests -n $(WORKERS) --dist worksteal

test-matrix: $(VENV)/.tools ## run the Python tests with every supported pair of Python and Django on this machine
	tools/wheel dev
	$(BIN)/python tools/matrix.py

test-faults: .installed ## run kills, cuts, contention, races and random walks (long)
	$(BIN)/python -m pytest tests --size long -s

test-fuzz: ## read texts that are nearly migrations, for FUZZ_SECONDS (60); needs a C++ compiler
	$(PYTHON) tools/fuzz.py

test-mutants: .installed ## break our own safety code, and check that a test notices (long)
	$(BIN)/python tools/mutants.py

test-packages: .installed ## migrate published packages there and back (long)
	$(BIN)/python -m pytest tests/packages

test-long: deny msrv test-faults test-mutants test-packages test-matrix ## run all long checks (hours); needs cargo-deny

lint: $(VENV)/.tools ## check formatting, lints and documentation
	cargo fmt --all --check
	cargo fmt --check --manifest-path crates/rollback-source/fuzz/Cargo.toml
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	@echo "no database driver in the extension module:"; ! cargo tree --quiet --package rollback-py --edges normal | grep -E "rusqlite|postgres v"
	@echo "files that import each other in a circle:"; $(BIN)/python tools/circles.py
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	$(BIN)/ruff check python tests demo bench tools
	$(BIN)/ruff format --check python tests demo bench tools
	$(BIN)/mypy
	PYTHONPATH=python $(BIN)/lint-imports
	@if cargo deny --version >/dev/null 2>&1; then $(MAKE) --no-print-directory deny; \
		else echo "dependencies are not checked: cargo-deny is not installed"; fi

deny: ## check licences, bans and sources of the dependencies; needs cargo-deny
	cargo deny --locked --all-features check --hide-inclusion-graph $(DENY)

msrv: ## check the oldest Rust that Cargo.toml declares
	$(PYTHON) tools/msrv.py

fmt: $(VENV)/.tools ## format everything
	cargo fmt --all
	cargo fmt --manifest-path crates/rollback-source/fuzz/Cargo.toml
	$(BIN)/ruff check --quiet --fix python tests demo bench tools
	$(BIN)/ruff format --quiet python tests demo bench tools

wheel: $(VENV)/.tools ## build the optimised wheel in dist/: extension module, Django app and binary
	tools/wheel release

image: ## put the binary and its Dockerfile into dist/image
	cargo build --release --quiet --locked --package django-rollback
	mkdir -p dist/image
	cp $(CARGO_TARGET_DIR)/release/django-rollback deploy/image/Dockerfile dist/image/
	@echo "docker build --tag django-rollback dist/image"

bench: .venv-bench/.installed ## compare with the original 0.4.0 (ORIGINAL=path of its checkout), and measure what safety costs
	.venv-bench/bin/python bench/bench.py $(BENCH)
	.venv-bench/bin/python bench/safety.py
	.venv-bench/bin/python bench/ways.py
	.venv-bench/bin/python bench/static.py

clean: ## remove what the targets made
	rm -rf $(VENV) .venvs .venv-* .installed dist target

# The virtual environment with the tools that the targets use.
$(VENV)/.tools: tools/requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=…")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tools/requirements.txt "django~=$(DJANGO).0"
	touch $@

# A virtual environment for measurements, with the optimised wheel.
.venv-bench/.installed: $(VENV)/.tools $(SOURCES) tools/wheel
	tools/wheel release
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check "django~=$(DJANGO).0" "psycopg[binary]"
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps dist/*.whl
	touch $@

# The wheel, built without optimisation, installed in the virtual environment.
.installed: $(VENV)/.tools $(SOURCES) tools/wheel
	tools/wheel dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps dist/dev/*.whl
	touch $@
