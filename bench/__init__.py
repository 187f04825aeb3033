"""Benchmarks that need peers from tests/requirements.txt."""
