# One virtual environment serves every target; it is made on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# An older SDK is a folder of its own that goes before the environment's; the rest of the environment is the same.
SDKS := $(basename $(notdir $(wildcard tests/sdks/*.txt)))
SDK_TESTS := tests/providers $(patsubst %,tests/test_%.py,attribution call concurrency examples gate instrumentation \
	otel stack stream_bytes stream_lifetime streams)

.DEFAULT_GOAL := help
.PHONY: help demo test sdks $(SDKS) check bench dist format prices clean

help: ## Say what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]' --group dev
	@touch $@

demo: $(READY) ## Watch calls being metered, priced, attributed and held against limits
	@$(BIN)/python examples/quickstart.py

test: $(READY) ## Run the tests, on the older SDKs too
	$(BIN)/python -m pytest -n auto --dist worksteal
	$(BIN)/python -m pytest -n auto --dist worksteal tests/frameworks
	@$(MAKE) --no-print-directory sdks

sdks: $(SDKS) ## Run what goes through an SDK on its older major versions

$(SDKS): %: $(VENV)/%/.ready
	SDK_PINS=tests/sdks/$@.txt PYTHONPATH=$(CURDIR)/$(VENV)/$@ \
		$(BIN)/python -m pytest -n auto --dist worksteal $(SDK_TESTS)

$(SDKS:%=$(VENV)/%/.ready): $(VENV)/%/.ready: tests/sdks/%.txt | $(READY)
	rm -rf $(@D)
	$(BIN)/python -m pip install --quiet --no-deps --target $(@D) --requirement $<
	@touch $@

check: $(READY) ## Lint, format, types, layers, price data
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python -m payi_instrument.engine.catalogue.generate --check

bench: $(READY) ## Measure, as ratios against floors of the same run
	@$(BIN)/python benchmarks

dist: $(READY) ## Build sdist and wheel, and try the wheel in a clean environment
	rm -rf dist
	$(BIN)/python -m build --quiet
	$(BIN)/python -m venv --clear $(VENV)/wheel
	$(VENV)/wheel/bin/python -m pip install --quiet --constraint constraints.txt "$$(ls dist/*.whl)[local]"
	cd dist && ../$(VENV)/wheel/bin/python ../tests/wheel.py

format: $(READY) ## Format, and fix what the linter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

prices: $(READY) ## Make the price catalogue anew from its source
	$(BIN)/python -m payi_instrument.engine.catalogue.generate

clean: ## Remove what was built
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
