"""Benchmarks: which there are, how they are loaded, and what their known versions look like.

>>> from steiner.evaluate.benchmarks import find_benchmark
>>> find_benchmark("mgsm:de").language
'de'
"""

from steiner.evaluate.benchmarks.catalog import NAMES, Benchmark, find_benchmark
from steiner.evaluate.benchmarks.load import DataOptions, Loaded, load_benchmark
from steiner.evaluate.benchmarks.reading import Reading, read_reply

__all__ = [
    "NAMES",
    "Benchmark",
    "DataOptions",
    "Loaded",
    "Reading",
    "find_benchmark",
    "load_benchmark",
    "read_reply",
]
