# Everything a person or a CI types. `make` alone says what there is.

VENV   := .venv
PYTHON ?= python3
RUN    := PYTHONPATH=.:temporal-dev PYTHONUNBUFFERED=1 $(VENV)/bin/python
STAMP  := $(VENV)/.installed
# More than cores: the tests that take longest mostly wait.
WORKERS ?= 3

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## What can be typed here
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: tools ## A pull request becomes an altered table, on real parts (KEEP=1 leaves it running)
	@KEEP="$(KEEP)" $(RUN) temporal-dev/demo.py

.PHONY: screenshot
screenshot: tools ## The README's picture of a pull request, taken while the demo runs (needs Chromium)
	@$(RUN) temporal-dev/screenshot.py

.PHONY: test
test: lint tools ## Linters, types, import contracts, and every test
	@PYTHONPATH=.:temporal-dev $(VENV)/bin/pytest -n $(WORKERS) $(PYTEST_ARGS)

.PHONY: lint
lint: $(STAMP) ## ruff, mypy --strict and the import contracts
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy .
	@PYTHONPATH=. $(VENV)/bin/lint-imports

.PHONY: tools
tools: $(STAMP) ## Find, or fetch and build once: temporal, gh-ost, skeema, MySQL
	@$(RUN) -m embedded.tools

.PHONY: venv
venv: $(STAMP) ## The locked environment in .venv

# Done again only when the lock has changed.
$(STAMP): requirements-dev.txt
	@test -x $(VENV)/bin/python || $(PYTHON) -c 'import sys; sys.exit("skeebot needs Python 3.11 or later; PYTHON=... names another" if sys.version_info < (3, 11) else 0)'
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }  # half a venv would look whole next time
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes -r requirements-dev.txt
	@touch $@

.PHONY: lock
lock: $(STAMP) ## Compile the requirement files anew (UPGRADE=1 takes newer versions)
	@for name in requirements requirements-dev temporal-dev/tools/go; do \
	    $(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	        $(if $(UPGRADE),--upgrade) $$name.in -o $$name.txt || exit 1; \
	done

.PHONY: clean
clean: ## Remove what was made here; the cache of tools stays (it is shared by all checkouts)
	@rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
