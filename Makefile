# Everything runs from .venv, which is made on first use and made again when the dependencies change.

PYTHON ?= python3
# Where a CPU-only torch is wanted: make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# Benchmarks: make bench NAME=evaluation DATA=a-folder-of-few-shot-folders QUICK=1 FRESH=1
NAME ?= cost
DATA ?=
QUICK ?=
FRESH ?=
AXE := 4.14.1

BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint docs browser bench clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "$(PYTHON) is missing or older than Python 3.11; run make with PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@# torch first and pinned: an unpinned one may be another build, of several GB
	$(PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	$(PIP) -e '.[dev]'
	@touch $@

setup: $(STAMP) ## make .venv and pull the default models and corpora
	$(BIN)/autoprompt models pull smollm2-135m
	$(BIN)/autoprompt models pull minilm-l6
	$(BIN)/autoprompt corpora pull rotten-tomatoes
	$(BIN)/autoprompt corpora pull bbc-news

demo: $(STAMP) ## search a prompt for film reviews in four minutes (slow machines: eight) and list the best
	$(BIN)/autoprompt models pull smollm2-135m
	$(BIN)/autoprompt corpora pull rotten-tomatoes
	@# a search refuses (2) a budget that it could not keep: on a slow machine four minutes are too few
	$(BIN)/autoprompt search rotten-tomatoes --budget 4m --leaderboard demo.sqlite || \
		{ test $$? = 2 && $(BIN)/autoprompt search rotten-tomatoes --budget 8m --leaderboard demo.sqlite; }
	$(BIN)/autoprompt leaderboard list --leaderboard demo.sqlite --limit 10

test: $(STAMP) ## the tests, without those that take minutes
	@# a file's tests stay in one process: they share models that take a while to make
	$(BIN)/python -m pytest -n auto --dist loadfile

test-slow: $(STAMP) ## the tests with real models, long runs and further combinations
	$(BIN)/python -m pytest -m "slow and not alone" -n 2 --dist loadfile
	$(BIN)/python -m pytest -m "slow and alone"

browser: ## Chromium (by apt, where there is none) and axe-core (by npm), for the tests of the report's page
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
		{ apt-get update -qq && apt-get install -y -qq chromium; }
	@command -v npm >/dev/null || { apt-get update -qq && apt-get install -y -qq npm; }
	npm install --silent --no-save --prefix .browser axe-core@$(AXE)

docs: $(STAMP) ## write docs/commands.md from the help texts, and the documentation's site into site/
	$(BIN)/python tests/site/command_reference.py > docs/commands.md
	@# the variable silences an announcement of the theme, which is no warning about these documents
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: $(STAMP) ## formatting, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(STAMP) ## a benchmark: NAME=cost, or another of tests/benchmarks; QUICK=1 for a part of it
	$(BIN)/python tests/benchmarks/$(NAME).py $(if $(DATA),--data $(DATA)) $(if $(QUICK),--quick) $(if $(FRESH),--fresh) $(if $(STORED),--stored)

clean: ## remove .venv, caches, the site and the demo's leaderboard
	rm -rf .venv .browser demo.sqlite.weights build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f demo.sqlite demo.sqlite-wal demo.sqlite-shm
	find autoprompt tests -name __pycache__ -type d -prune -exec rm -rf {} +
