"""Traces that somebody else's models have already written, as problems and traces of a run.

>>> from steiner.synthesis.importers import ImportSettings, import_traces
"""

from steiner.synthesis.importers.run import FORMATS, ImportReport, import_traces
from steiner.synthesis.importers.settings import ChatColumn, ChatSettings, ImportSettings

__all__ = ["FORMATS", "ChatColumn", "ChatSettings", "ImportReport", "ImportSettings", "import_traces"]
