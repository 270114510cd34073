"""The benchmarks by name, as data."""

from __future__ import annotations

import difflib
from typing import Literal

from steiner.core import InputError, Record
from steiner.problems.presets import PRESETS

GYM = "reasoning-gym:"
MGSM = "mgsm:"
MGSM_LANGUAGES = ("bn", "de", "en", "es", "fr", "ja", "ru", "sw", "te", "th", "zh")


class Benchmark(Record):
    """One benchmark."""

    name: str
    title: str
    source: Literal["rows", "countdown", "gym"] = "rows"
    """Rows of a file or hub dataset, or problems that are generated."""
    preset: str = ""
    """Preset of its columns, for `rows`."""
    split: str = "test"
    """Split on the hub."""
    language: str = ""
    """Which language of a set with several; empty for all."""
    gym: str = ""
    """Name of the reasoning-gym dataset."""
    grouped: bool = False
    """Its rows stand subject by subject: the first so many would be one subject, so a limit draws by seed."""
    questions: int = 500
    """How many are generated (of each split) where no limit is given."""

    @property
    def hub_id(self) -> str:
        """Where it lies on the hub; empty if it does not."""
        known = PRESETS[self.preset].hub if self.preset else None
        return known.id if known else ""


_ALL = (
    Benchmark(name="gpqa-diamond", title=PRESETS["gpqa"].title, preset="gpqa", split="train"),
    Benchmark(name="mmlu", title=PRESETS["mmlu"].title, preset="mmlu", grouped=True),
    Benchmark(name="mmlu-pro", title=PRESETS["mmlu-pro"].title, preset="mmlu-pro", grouped=True),
    Benchmark(name="gsm8k", title=PRESETS["gsm8k"].title, preset="gsm8k"),
    Benchmark(name="math500", title=PRESETS["math500"].title, preset="math500"),
    Benchmark(name="aime24", title=PRESETS["aime24"].title, preset="aime24", split="train"),
    Benchmark(name="game24", title=PRESETS["game24"].title, preset="game24"),
    Benchmark(
        name="countdown",
        title="Countdown by the protocol of Stream of Search (Gandhi et al. 2024, arXiv 2404.03683): known "
        "targets from new inputs, and targets held out from training",
        source="countdown",
    ),
)
_BY_NAME = {benchmark.name: benchmark for benchmark in _ALL}
NAMES = (*_BY_NAME, f"{MGSM}LANGUAGE", f"{GYM}NAME")
"""What `find_benchmark` takes."""


def find_benchmark(name: str) -> Benchmark:
    """Return a benchmark by name.

    Raises:
        InputError: if there is none of that name.
    """
    if name.startswith(GYM) and len(name) > len(GYM):
        gym = name.removeprefix(GYM)
        return Benchmark(name=name, title=f"reasoning-gym: {gym}", source="gym", gym=gym, questions=200)
    if name.startswith(MGSM) and name.removeprefix(MGSM) in MGSM_LANGUAGES:
        language = name.removeprefix(MGSM)
        return Benchmark(name=name, title=PRESETS["mgsm"].title, preset="mgsm", language=language)
    if name in _BY_NAME:
        return _BY_NAME[name]
    near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else "choose one of the known ones."
    languages = f" Languages of mgsm: {', '.join(MGSM_LANGUAGES)}." if name.startswith("mgsm") else ""
    raise InputError(f"Unknown benchmark '{name}': {hint} Known: {', '.join(NAMES)}.{languages}")
