"""Reasoning as text that clients show: `steiner.protocol.outline`, which the parser for vLLM uses too."""

from steiner.protocol.outline import FIELD_MARKS, SIGNS, SUMMARY_FIELDS, OutlineWriter, read_outline

__all__ = ["FIELD_MARKS", "SIGNS", "SUMMARY_FIELDS", "OutlineWriter", "read_outline"]
