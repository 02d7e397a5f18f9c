"""The check that needs a GPU; `benchmarks/gpu_check.sh` runs it."""
