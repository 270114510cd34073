"""Traces that somebody else's models have already written, as problems and traces of a run.

>>> from steiner.synthesis.importers import ImportSettings, import_traces
"""

from steiner.synthesis.importers.run import FORMATS, ImportReport, ImportSettings, import_traces

__all__ = ["FORMATS", "ImportReport", "ImportSettings", "import_traces"]
