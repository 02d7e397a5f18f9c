#!/usr/bin/env bash
# Everything that needs a GPU, in one command: build, test, compute-sanitizer, benchmarks, tracker.
#
#   benchmarks/gpu_check.sh [--out DIR] [--only STEP ...]
#
# It uses the machine's own Python ($PYTHON, else python3) and installs nothing. Exit codes: 0 all
# steps passed, 1 a step failed or a tool is missing, 2 wrong arguments, 3 no GPU.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python3}" -m benchmarks.gpu "$@"
