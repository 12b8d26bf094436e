# The one runner. Everything is set up on first use, under .cache/; `make help` lists the targets.
# On a bare Debian: python3, git and make are enough.

PYTHON ?= python3
ENVIRONMENT = $(PYTHON) scripts/environments.py python
# More for pytest: make test ARGS="-k redis tests/core", make test PART=main; an interpreter: make native ARGS=3.9
ARGS ?=
PART ?=
# One library of the matrix: make compat X=flask
X ?=

.DEFAULT_GOAL := help
.PHONY: help demo native test memcheck compat bench lint docs generate pin clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a small shop of two services, traced, in the viewer (DEMO=once: run, print, end)
	@python=$$($(ENVIRONMENT) demo) && exec $$python demo/run.py

native: ## the compiled core, in place, for every interpreter that the tests use (ARGS=3.9: for one)
	@$(PYTHON) scripts/build_native.py $(ARGS)

test: ## all tests, on both cores: newest versions, older interpreters, oldest (PART=main|core|oldest, ARGS=for pytest)
	@$(PYTHON) scripts/run_tests.py $(if $(PART),--part $(PART)) $(ARGS)

memcheck: ## the core's tests on a compiled core with AddressSanitizer and UBSan
	@$(PYTHON) scripts/run_tests.py --part memcheck $(ARGS)

compat: ## every locked version of every library (X=flask: of one)
	@$(PYTHON) scripts/compat.py $(X)

bench: ## the benchmarks, side by side with other tracers (ARGS=--quick: under five minutes; ARGS="span web": of these)
	@$(PYTHON) benchmarks/run.py $(ARGS)

lint: ## ruff, mypy --strict on src, and a compilation of src by CPython 3.7
	@python=$$($(ENVIRONMENT) lint) || exit 1; failed=0; \
	$$python -m ruff check --output-format concise --cache-dir .cache/ruff . || failed=1; \
	$$python -m mypy || failed=1; \
	$(PYTHON) scripts/check_syntax.py || failed=1; \
	exit $$failed

docs: generate ## the generated pages in docs/

generate: ## what is made from the declarations: the index of integrations, tables in docs/ and README.md
	@python=$$($(ENVIRONMENT) core) && exec $$python scripts/generate.py

pin: ## resolve tests/requirements/*.in to the newest exact versions
	@$(PYTHON) scripts/environments.py pin

clean: ## forget environments, caches and results
	rm -rf .cache build dist src/*.egg-info src/gossamer/_core/*.so
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
