# Two commands on a fresh machine do everything: `make demo` and `make test`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON3 ?= python3
VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip --disable-pip-version-check --quiet --quiet
TORCH := $(shell sed -n '/^torch==/p' constraints.txt)

# The demo: two agents share a half cheetah. The steps are chosen so that all of it takes less than ten minutes on two cores.
DEMO_TASK ?= mamujoco/HalfCheetah-2x3
DEMO_STEPS ?= 1000000
DEMO_EPISODES ?= 100

PYTEST_ARGS ?=

# Software rendering without a screen, for the pictures and videos of the MuJoCo tasks.
RENDER_PACKAGES := libegl1 libegl-mesa0 libgl1-mesa-dri

.PHONY: help demo test football try-football check bench clean system-packages

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.installed-demo | system-packages ## train, export, evaluate and write a report (DEMO_TASK, DEMO_STEPS, DEMO_EPISODES)
	@name="demo-$$(date +%Y%m%d-%H%M%S)"; \
	$(VENV)/bin/a2po train --task '$(DEMO_TASK)' --algorithm a2po --preset fast --steps '$(DEMO_STEPS)' --name "$$name"; \
	$(VENV)/bin/a2po export "runs/$$name"; \
	$(VENV)/bin/a2po evaluate "runs/$$name/bundle" --episodes '$(DEMO_EPISODES)' --report; \
	test -s "runs/$$name/report.html" || { echo "make demo: runs/$$name/report.html was not written" >&2; exit 1; }; \
	echo; echo "The report: $(CURDIR)/runs/$$name/report.html"

# The example in JavaScript is tested with the Debian packages nodejs and npm, or with any other node and npm that are there.
test: NODE := node:nodejs npm:npm
test: $(VENV)/.installed-test | system-packages try-football ## run all tests (PYTEST_ARGS="tests/unit -k gae")
	@$(PYTHON) -m pytest -q $(PYTEST_ARGS)

football: | $(VENV)/.installed-test ## build the football engine, once for each user (five minutes)
	@$(VENV)/bin/a2po install football

# Where it cannot be built, the other tests and benchmarks run all the same; but an interruption stops them.
try-football: | $(VENV)/.installed-test
	@$(VENV)/bin/a2po install football || { [ $$? -le 2 ] && echo "Without the football engine its tests are skipped."; }

check: $(VENV)/.installed-test ## lint, format, types and the direction of imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	@# Type checkers do not follow the editable install, so they get the four code folders as links under one name.
	@rm -rf build/namespace
	@mkdir -p build/namespace/a2po
	@ln -s '$(CURDIR)'/a2po/* build/namespace/a2po/
	@ln -s '$(CURDIR)'/{cli,exporters,evaluation} build/namespace/a2po/
	@rm -rf build/namespace/a2po/__pycache__
	cd build/namespace && MYPYPATH=. '$(CURDIR)/$(VENV)/bin/mypy' --strict --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p a2po
	$(PYTHON) -m pytest -q tests/packaging/test_layers.py

bench: $(VENV)/.installed-test | try-football ## run every benchmark but the soak of half an hour; the figures go to benchmarks/results/
	@mkdir -p benchmarks/results; failed=; \
	for script in benchmarks/*.py; do \
		case "$$script" in */_*.py | */soak.py | 'benchmarks/*.py') continue ;; esac; \
		echo "== $$script"; $(PYTHON) "$$script" || failed="$$failed $$script"; \
	done; \
	if [ -n "$$failed" ]; then echo "make bench: failed:$$failed" >&2; exit 1; fi

clean: ## remove what is generated; runs/ and the .venv stay
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find a2po cli exporters evaluation tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# pip comes last when an environment is made, so its file says that the environment is complete.
$(VENV)/bin/pip:
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "a2po needs Python 3.11 or newer; '$(PYTHON3)' is $$($(PYTHON3) --version 2>&1 || true)." >&2; \
		echo "Name another one: make PYTHON3=/path/to/python3.11 ..." >&2; exit 1; }
	@echo "Creating $(VENV)"
	@$(PYTHON3) -m venv $(VENV)
	@touch $@

# torch comes first and alone: then no other package's wish for torch decides which build of it is fetched.
$(VENV)/.installed-demo: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo "Installing a2po into $(VENV) (a few minutes the first time)"
	@$(PIP) install '$(TORCH)' -c constraints.txt
	@$(PIP) install -e '.[train,cpu,report]' -c constraints.txt
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo "Installing a2po and its test tools into $(VENV) (a few minutes the first time)"
	@$(PIP) install '$(TORCH)' -c constraints.txt
	@$(PIP) install -e '.[train,cpu,report,football,dev]' -c constraints.txt
	@touch $@ $(VENV)/.installed-demo

# Without these packages everything works but pictures, videos and the test of the JavaScript example, so a failure stops nothing.
system-packages:
	@command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || exit 0; \
	missing=; \
	for package in $(RENDER_PACKAGES); do \
		dpkg-query -W -f='$${Status}' "$$package" 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; \
	done; \
	for tool in $(NODE); do command -v "$${tool%:*}" >/dev/null || missing="$$missing $${tool#*:}"; done; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ]; then \
		echo "Installing Debian packages:$$missing"; \
		export DEBIAN_FRONTEND=noninteractive; \
		{ apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing; } >/dev/null 2>&1 && exit 0; \
		echo "That did not work. Pictures, videos and some tests need: apt-get install -y$$missing"; \
	else \
		echo "Pictures, videos and some tests need: sudo apt-get install -y$$missing"; \
	fi
