# make conformance   set everything up in .venv and check the CPU backend
# make test          set up and run every check: lint, types, unit tests, conformance
# make docs          rewrite docs/contract.md from the code
# make conformance-ascend [SEEDS=20 | FORM=]
#                    check the Ascend backend with the real torch-npu on the CANN simulator
# make conformance-mlu [SEEDS=20 | FORM=]
#                    check the MLU backend on the CNRT simulator and its torch_mlu
#
# PYTHON=python3.12 picks the interpreter; an interpreter that has torch >= 2.6 lends it to .venv.

PYTHON ?= python3
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
VENV := .venv
BIN := $(VENV)/bin
# torch-npu breaks `import torch` wherever CANN is missing: it gets an environment of its own.
ASCEND_VENV := .venv-ascend
ASCEND := $(ASCEND_VENV)/bin/python
ASCEND_DONE := $(ASCEND_VENV)/.done
# One seed is CI's: nothing twice that is alike, fewer rounds of what is repeated. FORM= runs it in
# full, as more seeds are.
SEEDS ?= 1
FORM ?= $(if $(filter 1,$(SEEDS)),--short --quick)
DONE := $(VENV)/.done
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q
LOCAL := $(PIP) --no-build-isolation --no-deps -e
SOURCES := core/src backends/cpu/src backends/cuda/src backends/ascend/src backends/mlu/src \
  backends/generic/src conformance/src tools/src \
  tools/simulators/runtime/src tools/simulators/cann/src tools/simulators/cnrt/src

BUILD_TOOLS := setuptools wheel scikit-build-core 'pybind11>=2.12' 'cmake>=3.20' ninja
RUNTIME := 'pluggy>=1.3' numpy click rich jinja2 packaging
CHECKERS := pytest pytest-xdist hypothesis zstandard 'matplotlib>=3.7' ruff mypy \
  'nvidia-cuda-nvrtc>=13,<14'

# torch's idle threads sleep: as many processes as cores run beside one another, and OpenMP's threads
# would spin on what the others need.
export OMP_WAIT_POLICY ?= passive

.DEFAULT_GOAL := help
.PHONY: help setup setup-ascend setup-mlu conformance conformance-ascend conformance-mlu test lint types unit docs clean
.DELETE_ON_ERROR:

help:
	@sed -n '1,9s/^# \{0,1\}//p' Makefile

setup: $(DONE)/core $(DONE)/cpu $(DONE)/cuda $(DONE)/ascend $(DONE)/mlu $(DONE)/generic \
  $(DONE)/conformance $(DONE)/tools $(DONE)/sim $(DONE)/checkers

setup-ascend: setup $(ASCEND_DONE)/torch-npu $(ASCEND_DONE)/cann

# The simulated torch_mlu is found by programs under the simulator only: .venv itself serves.
setup-mlu: setup $(DONE)/cnrt

conformance: setup
	$(BIN)/accel-conformance run --backend cpu -n $(JOBS)

# pytest itself runs without CANN and its simulator: only what its tests start runs simulated.
conformance-ascend: setup-ascend
	TORCH_DEVICE_BACKEND_AUTOLOAD=0 $(ASCEND) -m pytest -q -n $(JOBS) tools/simulators/cann/tests
	TORCH_DEVICE_BACKEND_AUTOLOAD=0 $(ASCEND) -m pytest -q -n $(JOBS) -m simulated backends/ascend/tests
	$(ASCEND) tools/dev/conformance_simulated.py ascend --seeds $(SEEDS) --jobs $(JOBS) $(FORM)

conformance-mlu: setup-mlu
	$(BIN)/python -m pytest -q -n $(JOBS) tools/simulators/cnrt/tests
	$(BIN)/python -m pytest -q -n $(JOBS) -m simulated backends/mlu/tests backends/generic/tests
	$(BIN)/python tools/dev/conformance_simulated.py mlu --seeds $(SEEDS) --jobs $(JOBS) $(FORM)

test: lint types unit conformance

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy $(SOURCES)

unit: setup
	$(BIN)/python -m pytest -q -n $(JOBS)

docs: setup
	$(BIN)/python tools/dev/contract_doc.py

clean:
	rm -rf $(VENV) $(ASCEND_VENV) build reports core/src/*.egg-info backends/*/build conformance/src/*.egg-info tools/src/*.egg-info \
	  tools/simulators/*/build tools/simulators/runtime/src/*.egg-info

# --- what `setup` does, each step once -----------------------------------------------------------

$(DONE)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "Python >= 3.10 is needed; give one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' \
	  || { echo "Python's venv module is needed (Debian: python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV) \
	  $$($(PYTHON) -c 'import importlib.util as u; print("--system-site-packages" if u.find_spec("torch") else "")')
	mkdir -p $(DONE)
	touch $@

$(DONE)/torch: $(DONE)/venv tools/dev/install_torch.py
	$(BIN)/python tools/dev/install_torch.py
	touch $@

$(DONE)/build-tools: $(DONE)/venv
	$(PIP) $(BUILD_TOOLS)
	touch $@

$(DONE)/runtime: $(DONE)/torch
	$(PIP) $(RUNTIME)
	touch $@

$(DONE)/checkers: $(DONE)/runtime
	$(PIP) $(CHECKERS)
	touch $@

$(DONE)/core: core/pyproject.toml $(DONE)/build-tools $(DONE)/runtime
	$(LOCAL) core
	touch $@

CPU_NATIVE := $(shell find backends/cpu/native core/src/accel/include -type f) backends/cpu/CMakeLists.txt

$(DONE)/cpu: backends/cpu/pyproject.toml $(CPU_NATIVE) $(DONE)/core
	$(LOCAL) backends/cpu
	touch $@

CUDA_NATIVE := $(shell find backends/cuda/native backends/cuda/src/accel_cuda/kernels core/src/accel/include -type f) backends/cuda/CMakeLists.txt

$(DONE)/cuda: backends/cuda/pyproject.toml $(CUDA_NATIVE) $(DONE)/core
	$(LOCAL) backends/cuda
	touch $@

ASCEND_NATIVE := $(shell find backends/ascend/native core/src/accel/include -type f) backends/ascend/CMakeLists.txt

$(DONE)/ascend: backends/ascend/pyproject.toml $(ASCEND_NATIVE) $(DONE)/core
	TORCH_DEVICE_BACKEND_AUTOLOAD=0 $(LOCAL) backends/ascend
	touch $@

MLU_NATIVE := $(shell find backends/mlu/native core/src/accel/include -type f) backends/mlu/CMakeLists.txt

$(DONE)/mlu: backends/mlu/pyproject.toml $(MLU_NATIVE) $(DONE)/core
	TORCH_DEVICE_BACKEND_AUTOLOAD=0 $(LOCAL) backends/mlu
	touch $@

$(DONE)/generic: backends/generic/pyproject.toml $(DONE)/core
	$(LOCAL) backends/generic
	touch $@

$(DONE)/conformance: conformance/pyproject.toml $(DONE)/core $(DONE)/checkers
	$(LOCAL) conformance
	touch $@

$(DONE)/tools: tools/pyproject.toml $(DONE)/core
	$(LOCAL) tools
	touch $@

$(DONE)/sim: tools/simulators/runtime/pyproject.toml $(DONE)/runtime $(DONE)/build-tools
	$(LOCAL) tools/simulators/runtime
	touch $@

# --- and what `setup-ascend` adds, in an environment on top of .venv --------------------------------

$(ASCEND_DONE)/venv: tools/dev/layered_environment.py $(DONE)/venv
	$(BIN)/python tools/dev/layered_environment.py $(ASCEND_VENV)
	mkdir -p $(ASCEND_DONE)
	touch $@

$(ASCEND_DONE)/torch-npu: tools/dev/install_torch_npu.py $(ASCEND_DONE)/venv $(DONE)/torch
	$(ASCEND) tools/dev/install_torch_npu.py
	touch $@

SIM_NATIVE := $(shell find tools/simulators/runtime/src/accel_sim/native -type f)
CANN_NATIVE := $(shell find tools/simulators/cann/native -type f) $(SIM_NATIVE) tools/simulators/cann/CMakeLists.txt
CNRT_NATIVE := $(shell find tools/simulators/cnrt/native -type f) $(SIM_NATIVE) tools/simulators/cnrt/CMakeLists.txt

$(DONE)/cnrt: tools/simulators/cnrt/pyproject.toml $(CNRT_NATIVE) $(DONE)/sim
	$(LOCAL) tools/simulators/cnrt
	touch $@

$(ASCEND_DONE)/cann: tools/simulators/cann/pyproject.toml $(CANN_NATIVE) $(ASCEND_DONE)/venv $(DONE)/sim
	TORCH_DEVICE_BACKEND_AUTOLOAD=0 $(ASCEND) -m pip --disable-pip-version-check install -q \
	  --no-build-isolation --no-deps -e tools/simulators/cann
	touch $@
