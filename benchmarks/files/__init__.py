"""Benchmarks of reading clips."""
