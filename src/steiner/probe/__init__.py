"""Tokens against seconds: is what an endpoint bills written one token after another, or in parallel?

Here are only the records, which load quickly; the fits load numpy, the client aiohttp.
"""

from steiner.probe.records import (
    Ask,
    Doubt,
    Estimate,
    Fits,
    Measurement,
    ProbeReport,
    ProbeSettings,
    Series,
    Verdict,
    VerdictKind,
)

__all__ = [
    "Ask",
    "Doubt",
    "Estimate",
    "Fits",
    "Measurement",
    "ProbeReport",
    "ProbeSettings",
    "Series",
    "Verdict",
    "VerdictKind",
]
