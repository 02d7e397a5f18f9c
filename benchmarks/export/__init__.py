"""Export benchmarks: `python -m benchmarks.export`."""
