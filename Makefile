# The two main commands are `make demo` and `make test`. Each does its own set-up.
# pip uses the user's settings (index, certificate, proxy).

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
INPUT  ?=
OUT    ?= build/demo
DIST   ?= dist

NATIVE := $(shell find csrc -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' -o -name '*.h' -o -name CMakeLists.txt)
CLIENT := $(shell find client/cpp -name '*.cpp' -o -name '*.c' -o -name '*.h' -o -name '*.hpp')
READY  := $(VENV)/.ready
PEERS  := $(VENV)/.peers

.PHONY: demo test test-builds test-full lint lint-ruff lint-format lint-mypy lint-clang-format format bench bench-analyse bench-ops bench-export bench-models bench-accuracy bench-client client-cpp scanner-sim setup wheel clean

setup: $(READY)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 13) \
	  else f"cineflow wants Python 3.10 to 3.13; {sys.executable} is {v[0]}.{v[1]}. Name another: make PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV) || { echo 'python3 lacks its venv module: install it (Debian: python3-venv)'; exit 1; }

$(READY): $(VENV)/bin/python setup.py pyproject.toml constraints.txt client/pyproject.toml $(NATIVE)
	@echo 'Setting up $(VENV): torch and the other packages the first time (a few minutes), then the build.'
	@$(BIN)/python csrc/bindings/onnxruntime/fetch_headers.py
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt \
	  -e ./client -e '.[export,serve,client,bench,dev]'
	@touch $@

# Your own clip: make demo INPUT=clip.dcm (or .mp4, .avi)
demo: $(READY)
	$(BIN)/cineflow demo --out "$(OUT)" $(if $(INPUT),--input "$(INPUT)")

test-builds: $(READY)
	@echo 'Building the CUDA kernels for the CPU, as the tests run them'
	@$(BIN)/python -m tests.core.builds

test: test-builds
	$(BIN)/python -m pytest -m 'not slow' --numprocesses 2 --no-loadscope-reorder

test-full: test-builds
	$(BIN)/python -m pytest

# .pre-commit-config.yaml runs the same four targets, each for the files that it checks.
lint: lint-ruff lint-format lint-mypy lint-clang-format

lint-ruff: $(READY)
	$(BIN)/ruff check .

lint-format: $(READY)
	$(BIN)/ruff format --check .

# mypy cannot follow the folder that setup.py maps into the package, so it gets the installed tree.
lint-mypy: $(READY)
	@rm -rf build/typecheck && mkdir -p build/typecheck/cineflow
	@ln -s $(CURDIR)/src/cineflow/* $(CURDIR)/export build/typecheck/cineflow/
	@ln -s $(CURDIR)/client/src/cineflow_client build/typecheck/
	MYPYPATH=build/typecheck $(BIN)/mypy -p cineflow -p cineflow_client -p benchmarks

lint-clang-format: $(READY)
	$(BIN)/clang-format --dry-run --Werror $(filter-out %CMakeLists.txt,$(NATIVE)) $(CLIENT)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(filter-out %CMakeLists.txt,$(NATIVE)) $(CLIENT)

bench: $(READY) bench-analyse
	@mkdir -p build/bench
	$(BIN)/python -m pytest benchmarks/serving benchmarks/files -o python_files='bench_*.py' -o python_functions='bench_*' \
	  --benchmark-only --benchmark-json=build/bench/serving.json

# A wheel for other machines with this version of Python, in dist/. auditwheel refuses one that needs
# more than the C and C++ libraries, and puts the oldest glibc that it runs with into its name.
wheel: $(READY)
	@rm -rf build/wheel
	$(BIN)/python -m pip wheel --disable-pip-version-check -q --no-deps -w build/wheel .
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m auditwheel repair -w "$(DIST)" build/wheel/cineflow-*.whl

# The peers of the benchmarks. The project itself does not need them.
$(PEERS): $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[peers,ray]'
	@touch $@

# Every kernel compared with its fastest peer and the machine's limit, in one process.
bench-ops: $(PEERS)
	$(BIN)/python -m benchmarks.ops

# `cineflow analyse` of a real clip against the clip's own length, the size of its report, and Ray.
bench-analyse: $(PEERS)
	$(BIN)/python -m benchmarks.analyse --ray

# Our models in torch, and in ONNX Runtime with and without the op library.
bench-export: $(READY)
	$(BIN)/python -m benchmarks.export

# The networks of the sources in every runtime and through Triton. First it writes their table.
bench-models: $(READY)
	$(BIN)/python -m benchmarks.models --facts
	$(BIN)/python -m benchmarks.models

# Our trackers compared with OpenCV's and SimpleITK's, on phantoms with known motion and real clips.
bench-accuracy: $(PEERS)
	$(BIN)/python -m benchmarks.accuracy
	$(BIN)/python -m benchmarks.accuracy.clinical
	$(BIN)/python -m benchmarks.accuracy.quality
	$(BIN)/python -m benchmarks.accuracy.real
	$(BIN)/python -m benchmarks.accuracy.large_motion
	$(BIN)/python -m benchmarks.accuracy.volumes
	$(BIN)/python -m benchmarks.accuracy.pace

# libcineflow_client with its examples, in build/client_cpp. It needs libgrpc++-dev, libprotobuf-dev and
# protobuf-compiler, and stands alone: cmake -S client/cpp works without this file. No generator is
# named, so that a folder of any generator stays usable. The tests build in a folder of their own.
CLIENT_CPP := build/client_cpp
client-cpp:
	cmake -S client/cpp -B $(CLIENT_CPP) -DCINEFLOW_CLIENT_EXAMPLES=ON
	cmake --build $(CLIENT_CPP) --parallel $(shell nproc)

# A scanner that sends a phantom at 30, 60 and 120 frames per second to a server that this starts.
scanner-sim: $(READY) client-cpp
	$(BIN)/python -m benchmarks.client.scanner_sim

# The C++ client compared with the Python client.
bench-client: $(READY)
	cmake -S client/cpp -B $(CLIENT_CPP) -DCINEFLOW_CLIENT_TESTS=ON
	cmake --build $(CLIENT_CPP) --parallel $(shell nproc)
	$(BIN)/python -m benchmarks.client

clean:
	rm -rf build $(VENV)
