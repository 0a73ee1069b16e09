# make demo: a trained BitNet writes text on a simulated chip.  make test: all tests, of the laws of every chip a sample
# (say its seed again: make test ARGS="--laws-seed N").  make test-all: with all cases.  No root, no network beyond PyPI.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROMPT ?= In the beginning
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --random-order $(ARGS)

.PHONY: demo test test-all test-peers mutants lint bench wheel-check smoke-versions clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("bitsim needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	@echo "installing bitsim into $(VENV) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.tools: $(VENV)/.installed
	@echo "installing the test and lint tools into $(VENV) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,lint]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/bitsim run tiny-b158 --chip ternary-ws-64x64 --prompt "$(PROMPT)" --new-tokens 200 --temperature 0.7 --seed 1
	$(BIN)/bitsim compare tiny-b158@ternary-ws-64x64 tiny-fp16@fp16-ws-64x64 --prompt "$(PROMPT)" --new-tokens 32
	$(BIN)/bitsim reproduce energy

test: $(VENV)/.tools
	$(PYTEST)

test-all: $(VENV)/.tools
	$(PYTEST) --laws all

# torch is large, so that it lives in an environment of its own. Its compiled functions need a C++ compiler.
$(VENV)-peers/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-peers
	@echo "installing torch and transformers into $(VENV)-peers ..."
	$(VENV)-peers/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,peers]'
	@touch $@

test-peers: $(VENV)-peers/.installed
	$(VENV)-peers/bin/python -m pytest -m peer -W ignore tests/peers

# Errors put into the code one by one: how many do the tests notice?  make mutants ARGS="--number 40 --only bitsim/cost"
mutants: $(VENV)/.tools
	$(BIN)/python -m tools.mutants --list-survivors $(ARGS)

lint: $(VENV)/.tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel-check: $(VENV)/.tools
	$(BIN)/python tools/check_wheel.py

# The lowest and the newest versions that pyproject.toml allows, on each Python that is there; ARGS=--quick: one of them.
smoke-versions:
	$(PYTHON) tools/smoke_versions.py $(ARGS)

bench: $(VENV)/.tools
	$(BIN)/python bench/kernels.py
	$(BIN)/python bench/floats.py
	$(BIN)/python bench/schedule.py
	$(BIN)/python bench/datapaths.py
	$(BIN)/python bench/commands.py
	$(BIN)/python bench/opening.py
	$(BIN)/python bench/full_size.py

clean:
	rm -rf $(VENV) $(VENV)-peers dist build out
