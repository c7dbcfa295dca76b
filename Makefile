# The commands of every day. `make demo` and `make test` do all set-up themselves.
# A second run installs nothing: .venv/.installed-* is newer than what it came from.

SHELL := /bin/sh
VENV := .venv
comma := ,
BIN := $(VENV)/bin
PY := $(BIN)/python
SOURCES := pyproject.toml constraints.txt

# The newest Python from 3.11 on that really runs (a version manager may leave shims that
# don't). LightFM has no wheel for 3.14 yet, so the search ends at 3.13.
FIND_PYTHON = for p in $$PYTHON python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	>/dev/null 2>&1 && { echo $$p; exit 0; }; done; exit 1

.PHONY: help install demo test check format bench nightly clean

help:
	@echo "make demo      the bot, a fake WeChat and a phone page in the browser"
	@echo "make test      all tests (about thirteen minutes after the install)"
	@echo "make check     lint, format and types"
	@echo "make format    mend what can be mended by itself"
	@echo "make bench     speed and memory beside peers, as JSON"
	@echo "make nightly   the long proofs: two hundred kills, long waits, many histories"
	@echo "make clean     remove the environment and caches"

$(VENV)/.venv:
	@python=$$($(FIND_PYTHON)) || { echo \
	"zhiqun needs Python 3.11, 3.12 or 3.13 with venv, and none was found that runs. Install one (Debian: apt install python3-venv) or name it: make PYTHON=/path/to/python3.12 test"; exit 1; }; \
	echo "using $$($$python --version) ($$python)"; \
	$$python -m venv $(VENV) && touch $@

# $(call install,extras): one pip run. LightFM has wheels for 3.12 and 3.13; 3.11 compiles it.
define install
	@start=$$(date +%s); \
	if ! command -v cc >/dev/null 2>&1 && \
	   $(PY) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' && \
	   ! $(PY) -c 'import lightfm' 2>/dev/null; then \
	   echo "On Python 3.11 LightFM has to be compiled, and no C compiler was found. Install one"; \
	   echo "(Debian: apt install build-essential python3-dev), or Python 3.12 or 3.13, which need none,"; \
	   echo "then: make clean, and the same command again."; exit 1; fi; \
	echo "installing into $(VENV) (one to three minutes, once) …"; \
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.$(if $(1),[$(1)])' -c constraints.txt || { \
	   echo "The install failed; the lines above say why. pip needs its package index or a mirror."; \
	   exit 1; }; \
	echo "installed in $$(( $$(date +%s) - start )) s"
endef

$(VENV)/.installed-run: $(VENV)/.venv $(SOURCES)
	$(call install,)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.venv $(SOURCES)
	$(call install,dev)
	@touch $(VENV)/.installed-run $@

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(call install,dev$(comma)bench)
	@touch $@

install: $(VENV)/.installed-run

demo: $(VENV)/.installed-run
	@$(BIN)/zhiqun demo

# Byte code is kept whatever the environment says: some forty processes are started. Four
# workers for two cores: much of it is waiting.
test: $(VENV)/.installed-dev
	@start=$$(date +%s); PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -n 4 -m "not nightly"; code=$$?; \
	echo "tests took $$(( $$(date +%s) - start )) s"; exit $$code

check: $(VENV)/.installed-dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(VENV)/.installed-dev
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: $(VENV)/.installed-bench
	@$(PY) -m bench.webhook --pretty
	@$(PY) -m bench.memory --pretty
	@$(PY) -m bench.claims --pretty
	@$(PY) -m bench.campaign --quick --pretty

nightly: $(VENV)/.installed-dev
	@$(PY) -m pytest -m nightly

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
