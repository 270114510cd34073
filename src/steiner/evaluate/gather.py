"""Finished runs, wherever their samples were saved, compared under the settings that they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from steiner.core import InputError
from steiner.evaluate.compare import compare
from steiner.evaluate.passes import Measured, measure_all
from steiner.evaluate.records import Comparison, SampleResult
from steiner.evaluate.saved import SavedEvaluation, load
from steiner.evaluate.wording import steps_allowed

SAVED = "evaluation.json"
"""Name of the file that `steiner eval` leaves beside the logs of a benchmark."""


class Run(NamedTuple):
    """Graded samples of one model."""

    title: str
    samples: tuple[SampleResult, ...]

    @property
    def limits(self) -> list[int | None]:
        """Step limits under which it answered; no limit comes last."""
        return limits_of(self.samples)


def limits_of(samples: Iterable[SampleResult]) -> list[int | None]:
    """Return the limits of steps in rising order; no limit comes last."""
    found = {sample.max_steps for sample in samples}
    return sorted(found, key=lambda limit: (limit is None, limit or 0))


class Compared(NamedTuple):
    """Two runs under one setting."""

    setting: str
    """In words."""
    comparison: Comparison
    before: list[Measured]
    after: list[Measured]


def read_saved(path: Path) -> SavedEvaluation:
    """Read a saved evaluation with everything in it.

    Args:
        path: a file of `steiner evaluate --output`; a run directory of `steiner eval`, or one benchmark's
            folder in it; or a log of inspect-ai (`.eval`) of one of our benchmarks.

    Raises:
        InputError: if there is nothing that can be read, or several evaluations to choose from.
    """
    if path.is_dir():
        found = [path / SAVED] if (path / SAVED).is_file() else sorted(path.glob(f"benchmarks/*/{SAVED}"))
        if len(found) != 1:
            names = ", ".join(str(file.parent) for file in found)
            raise InputError(
                f"{path} holds several evaluations: give one of {names}."
                if found
                else f"{path} holds no {SAVED}: give a directory of `steiner eval`, or a file of `steiner "
                "evaluate --output`."
            )
        path = found[0]
    if path.suffix == ".eval":
        return _read_log(path)
    saved = load(path)
    least = saved.other_limits.min_steps
    samples = tuple(s if s.min_steps else s.model_copy(update={"min_steps": least}) for s in saved.samples)
    return saved.model_copy(update={"samples": samples})


def read_run(path: Path) -> Run:
    """Read the samples of a run; `path` as for `read_saved`.

    Raises:
        InputError: as `read_saved`.
    """
    saved = read_saved(path)
    return Run(saved.model, saved.samples)


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read several runs; equal titles are told apart by their paths.

    Raises:
        InputError: as `read_run`.
    """
    runs = [read_run(path) for path in paths]
    titles = [run.title for run in runs]
    return [
        run if titles.count(run.title) == 1 else run._replace(title=f"{run.title} ({path})")
        for run, path in zip(runs, paths, strict=True)
    ]


def compare_runs(before: Run, after: Run, seed: int = 0) -> list[Compared]:
    """Compare two runs under every step limit that both have; if each has but one, under these.

    Raises:
        InputError: if they share no limit, or did not answer the same questions.
    """
    titles = (before.title, after.title)
    shared = [limit for limit in before.limits if limit in after.limits]
    pairs = [(limit, limit) for limit in shared]
    if not shared and len(before.limits) == len(after.limits) == 1:
        pairs = [(before.limits[0], after.limits[0])]
    if not pairs:
        known = " and ".join(
            f"{run.title} knows {', '.join(map(steps_allowed, run.limits)) or 'none'}"
            for run in (before, after)
        )
        raise InputError(f"The two runs share no step limit: {known}. Evaluate both under a common one.")
    found = []
    for old, new in pairs:
        first = [sample for sample in before.samples if sample.max_steps == old]
        # Told as if under the limit of the first: what is compared is then the limits.
        second = [s.model_copy(update={"max_steps": old}) for s in after.samples if s.max_steps == new]
        result = compare(first, second, max_steps=old, titles=titles, seed=seed)
        setting = steps_allowed(old) if old == new else f"{steps_allowed(old)} → {steps_allowed(new)}"
        found.append(Compared(setting, result, measure_all(first, seed), measure_all(second, seed)))
    return found


def _read_log(path: Path) -> SavedEvaluation:
    from steiner.evaluate.inspect_run import evaluation_of_log

    try:
        from inspect_ai.log import read_eval_log
    except ModuleNotFoundError as error:
        raise InputError(f"To read {path} install inspect-ai: pip install 'steiner[eval]'.") from error
    try:
        log = read_eval_log(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read as a log of inspect-ai: {error}.") from error
    return evaluation_of_log(log)
