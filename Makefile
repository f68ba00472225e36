# make demo | test | lint | bench | bench-paper | docs: each sets up what it needs.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
READY   = $(VENV)/.ready

.PHONY: demo test lint bench bench-paper docs clean
demo: $(READY)
	$(BIN)/filterdb demo

test: $(READY)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(READY)
	$(BIN)/python -m bench

bench-paper: $(READY)
	$(BIN)/python -m bench --paper

docs: $(READY)
	$(BIN)/python -m docs.generate
	$(BIN)/python -m docs.readme

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	touch $@

clean:
	rm -rf $(VENV) dist build .pytest_cache .ruff_cache .hypothesis
