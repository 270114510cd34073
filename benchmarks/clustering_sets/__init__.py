"""Labelled steps for benchmarks/clustering.py: what was written, and which of it says the same."""
