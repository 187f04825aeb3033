# The way in for people: everything here also works by hand with cmake --preset and ctest.
.DEFAULT_GOAL := help
.PHONY: help deps venv build test test-all demo bench format tidy clean conformance-docs

PYTHON3 ?= python3
VENV := build/venv
PYTHON := $(abspath $(VENV))/bin/python
NORN := $(abspath build/release/bin/norn)
export NORN PYTHON

help: ## this list
	@echo "Norn: compile and serve ranking models. Targets:"
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18
	@echo "A fresh machine needs only: make demo"

deps: ## install the packages that are missing (apt, through sudo when not root)
	@tools/install_deps

# The stamp is named after its contents: new requirements make a new environment's worth of packages.
venv: deps ## Python environment of the test peers and clients, in build/venv
	@tools/make_venv $(VENV) tests/requirements.txt

build: deps ## libnorn, norn and the tests, optimised, in build/release
	@tools/build_preset release

test: deps venv build ## every test: release, sanitizers, fuzzers, conformance, peers; ends with a count
	@tools/run_tests

test-all: deps venv build ## what `make test` takes a share of each day, whole: all peers under the sanitizers
	@tools/run_tests --all

demo: deps venv build ## serve a trained MovieLens model and ask it for films
	@examples/movielens/run_demo.sh

bench: deps venv build ## time Norn beside ONNX Runtime
	@bench/run

format: ## clang-format every C file
	@git ls-files '*.c' '*.h' '*.cu' | xargs clang-format -i

conformance-docs: venv build ## rewrite docs/ops.md, docs/conformance.md and the lists of cases that must pass
	@$(PYTHON) tests/peers/conformance_cases.py build/conformance-cases
	@$(PYTHON) tests/peers/conformance_cases.py --dynamic build/conformance-dynamic
	@$(PYTHON) tests/peers/conformance_cases.py --unknown build/conformance-unknown
	@$(PYTHON) tests/peers/conformance_cases.py --rows build/conformance-rows
	@$(PYTHON) tests/peers/conformance_cases.py --broken build/conformance-broken
	@$(PYTHON) tests/peers/conformance_cases.py --near build/conformance-near
	@build/release/test/conformance build/conformance-cases --docs docs --write-expected tests/conformance/expected-cases.tsv
	@build/release/test/conformance build/conformance-dynamic --write-expected tests/conformance/expected-dynamic.tsv
	@build/release/test/conformance build/conformance-unknown --write-expected tests/conformance/expected-unknown.tsv
	@build/release/test/conformance_rows build/conformance-rows --write-expected tests/conformance/expected-rows.tsv
	@build/release/test/conformance_broken build/conformance-broken --write-expected tests/conformance/expected-broken.tsv
	@build/release/test/conformance_broken build/conformance-near --plans --write-expected tests/conformance/expected-near.tsv
	@build/release/test/conformance_edited build/conformance-near --write-expected tests/conformance/expected-edited.tsv

tidy: deps ## clang-tidy every C file (slow)
	@tools/build_preset tidy

clean: ## remove every build, keeping the Python environment
	@find build -mindepth 1 -maxdepth 1 ! -name venv -exec rm -rf {} + 2>/dev/null || true
