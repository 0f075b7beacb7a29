# Everything a newcomer types. Each target sets up what it needs: Python 3.11 with venv, git, make.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEVICES := .venv-devices
DEVICES_READY := $(DEVICES)/.ready
export LUCID_ENV ?= development

# Tests start many interpreters: what one has compiled the next one need not.
unexport PYTHONDONTWRITEBYTECODE

# Many tests wait for blocks: one worker more than there are cores.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

# One test after the other, and no bound but each test's own.
PATIENT := -p no:xdist -o faulthandler_timeout=0

.PHONY: run demo test check format bench soak fuzz contracts lock pictures clean help

help:
	@echo "make run     the service on 127.0.0.1:8090, with its own MongoDB and TRON devnet"
	@echo "make demo    the whole story once, end to end, with a table at the end"
	@echo "make test    the test suite"
	@echo "make check   format, lint, types, tests"
	@echo "make bench   the benchmarks, as a table"
	@echo "make soak    simulation and crash runs for as long as you like"
	@echo "make fuzz    20,000 requests of every kind to a real service, none of them a surprise"

$(READY): pyproject.toml requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed (PYTHON=... names it)"; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "Installing the locked dependencies: a minute or two, longer on a slow machine ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The libraries of Ledger and Trezor, as the computer with the device has them: they want an older
# protobuf than the service, so they stand in a folder of their own (see docs/devices.md).
$(DEVICES_READY): requirements-devices.lock $(READY)
	@echo "Installing the locked libraries of the hardware wallets ..."
	@rm -rf $(DEVICES)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes \
		--target $(DEVICES) -r requirements-devices.lock
	@touch $@

run: $(READY)
	@exec $(BIN)/python -m tron_payment

demo: $(READY)
	@exec $(BIN)/tron-payment demo

test: $(READY) $(DEVICES_READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

check: $(READY) $(DEVICES_READY)
	$(BIN)/ruff format --check src tests
	$(BIN)/ruff check src tests
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

format: $(READY)
	$(BIN)/ruff check --fix src tests
	$(BIN)/ruff format src tests

bench: $(READY)
	$(BIN)/python -m benchmarks $(ARGS)

soak: $(READY) $(DEVICES_READY)
	$(BIN)/python -m tests.simulation $(ARGS)
	SOAK=1 $(BIN)/python -m pytest tests/crash tests/engine tests/simulation/test_model.py $(PATIENT)
	BATCH_RACE_SEEDS=40 $(BIN)/python -m pytest tests/simulation/test_batch_races.py $(PATIENT)
	$(BIN)/python -m pytest tests -m slow $(PATIENT)

fuzz: $(READY)
	$(BIN)/python -m tests.fuzz $(ARGS)

# Debian's Chromium and Node.js are needed, as for the browser tests.
pictures: $(READY)
	$(BIN)/python -m tests.console.pictures

contracts: $(READY)
	contracts/build.sh

lock:
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q --generate-hashes --python-version 3.11 --extra embedded --group dev \
		pyproject.toml -o requirements.lock
	$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', \
		'rb'))['project']['optional-dependencies']['devices'], sep='\n')" \
		| $(BIN)/uv pip compile -q --generate-hashes --python-version 3.11 \
		- -o requirements-devices.lock

clean:
	rm -rf var $(VENV) $(DEVICES)
