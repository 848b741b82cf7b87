# make demo      sets everything up and runs the main job on the embedded data
# make test      sets everything up and runs the tests
# make test-all  the same with the slow tests: every network where `test` takes one of a kind, and what takes minutes; programs optimized as users have them
# make browser   installs what tests in headless Chromium take, and runs them: the report's page, the page of `lesion-jax serve`
# make lint      checks style (ruff), types (mypy) and layers (import-linter)
# make docs      builds the documentation into site/, warnings being errors
# make rooms     lists the rooms of the code, the top floor first, with one line each
# make clean     removes the environment and the caches; runs/ with your results stays
#
# Needs Python 3.11 or newer (`docs` 3.11.5) and nothing else. PYTHON=... names one, DEMO=... the demo's folder. What is installed has
# the versions and the hashes of locks/; CONSTRAINTS=/dev/null takes the newest version of everything instead, without hashes.

PYTHON ?= $(shell for name in python3.11 python3; do \
  $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
DEMO ?= runs/demo
VENV := .venv
CONSTRAINTS ?= constraints.txt

.PHONY: help demo test test-all browser lint docs rooms clean

help:
	@sed -n '/^$$/q; s/^# *//p' Makefile

demo: $(VENV)/installed
	$(VENV)/bin/python -m lesion_jax.main --config=configs/multitask.py --workdir=$(DEMO)
	@echo
	@echo 'The run is in $(DEMO). Pictures:'
	@ls $(DEMO)/*/*.png

# Compiled as users have them, by themselves: a flag of XLA is for a whole process.
AS_USERS := tests/cpu tests/golden

test test-all: $(VENV)/installed-test
	$(if $(filter test,$@),JAX_DISABLE_MOST_OPTIMIZATIONS=0 $(VENV)/bin/python -m pytest -n 2 --dist loadfile $(AS_USERS))
	$(if $(filter test-all,$@),JAX_DISABLE_MOST_OPTIMIZATIONS=0 )$(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(if $(filter test-all,$@),-m '',$(AS_USERS:%=--ignore=%))

# Chromium is the system's: `apt-get install chromium` or the like.
browser: $(VENV)/installed-test
	$(VENV)/bin/python -m pip install --quiet --require-hashes --requirement locks/browser.txt
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile -m browser tests/browser tests/serve

lint: $(VENV)/installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --config setup.cfg

docs: $(VENV)/installed-docs
	$(VENV)/bin/mkdocs build --strict --site-dir site

# The floors are those of setup.cfg, the line is the first of a room's docstring.
rooms:
	@for room in $$(sed -n '/^containers = lesion_jax$$/,/^$$/s/^    //p' setup.cfg | tr '|' ' '); do \
	  for file in lesion_jax/$$room.py lesion_jax/$$room/__init__.py lesion_jax/$$room/*/__init__.py; do \
	    if test -f $$file; then \
	      name=$${file%.py}; name=$${name%/__init__}; \
	      printf '%-36s%s\n' $$name "$$(sed -n '1{s/^\"\"\"//;s/\"\"\"$$//;p;}' $$file)"; \
	    fi; \
	  done; \
	done

clean:
	rm -rf $(VENV) .cache .pytest_cache .import_linter_cache build dist site *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

# The stamps make a second call instant. The installation is editable: what runs is what lies here.
define install
@test -n '$(PYTHON)' || { echo 'No Python 3.11 or newer was found. Name one: make PYTHON=/path/to/python3.11 ...'; exit 1; }
@echo 'Installing into $(VENV), about 1.2 GB; this happens once.'
$(PYTHON) -m venv $(VENV)
$(if $(filter constraints.txt,$(CONSTRAINTS)),$(call locked,$(1)),$(call unlocked,$(1)))
endef

# First what building takes, then everything else: nothing is fetched whose hash is not here.
define locked
$(VENV)/bin/python -m pip install --quiet --require-hashes --requirement locks/build.txt
$(VENV)/bin/python -m pip install --quiet --require-hashes --no-build-isolation --requirement locks/$(1).txt
$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
endef

define unlocked
$(VENV)/bin/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[$(1)]'
endef

INSTALLED := setup.cfg setup.py pyproject.toml constraints.txt $(wildcard locks/*.txt)

$(VENV)/installed: $(INSTALLED)
	$(call install,train)
	@touch $@

$(VENV)/installed-test: $(INSTALLED)
	$(call install,test)
	@touch $(VENV)/installed $@

$(VENV)/installed-docs: $(INSTALLED)
	$(call install,docs)
	@touch $@
