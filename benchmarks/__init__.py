"""Benchmarks of the running service: `python -m benchmarks`, or `make bench`."""
