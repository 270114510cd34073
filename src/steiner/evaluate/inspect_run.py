"""Run benchmarks with inspect-ai, go on where a run stopped, and read its logs back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import JsonValue

from steiner.core import InputError, ResumeError, StepBudget
from steiner.evaluate.inspect_samples import ReadSample, facts_of, is_right, read_sample
from steiner.evaluate.records import SampleResult
from steiner.evaluate.saved import AskedQuestion, Circumstances, SavedEvaluation, WrittenPath

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.model import GenerateConfig

SETTINGS = "settings.json"
AT_ONCE = 256
"""Samples of a log that are in memory together while it is read."""
MANY = 1000
"""From so many samples on inspect-ai would hold a twentieth of them, with all their events, in memory."""
BUFFERED = 64
"""Held instead. Each time they are written the log is copied, so that fewer would cost time."""
UNREAD = ("events", "store", "attachments")
"""Parts of a sample that nothing here asks for."""


class Counts(NamedTuple):
    """What became of the samples of one benchmark."""

    done: int
    errors: int
    """Not answered: the endpoint failed, or the budget was used up."""
    unclosed: int
    """Reasoning that never ended by itself."""
    forced: int
    """Of those, how many got a forced answer."""
    cut: int
    """Completions that met the limit of tokens."""


class BenchmarkRun(NamedTuple):
    """One benchmark, as far as it was answered."""

    name: str
    samples: tuple[SampleResult, ...]
    counts: Counts
    subsets: dict[str, float]
    """Accuracy by subset, where the set has any."""
    log: str
    """Path of the log."""
    questions: tuple[AskedQuestion, ...] = ()
    written: tuple[WrittenPath, ...] = ()
    """Parallel to `samples`."""


def run_task(
    task: Task, model: str, config: GenerateConfig, folder: Path, *, at_once: int, display: str = "none"
) -> BenchmarkRun:
    """Answer what has no answer in the logs of `folder` yet.

    Args:
        task: of `make_task`.
        model: name of inspect-ai, such as `steiner/…`.
        config: how completions are made.
        folder: of the logs; may hold an unfinished run of the same task.
        at_once: samples in flight.
        display: how inspect-ai shows its progress: none, plain, rich or full.
    """
    from inspect_ai import eval_set
    from inspect_ai.log import read_eval_log

    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("INSPECT_EVAL_SET_NO_PRUNE", "1")
    _, logs = eval_set(
        task,
        str(folder),
        model=model,
        display=display,  # type: ignore[arg-type]
        retry_attempts=0,
        retry_immediate=False,
        fail_on_error=True,
        continue_on_fail=True,
        log_model_api=False,
        log_level="error",
        ctl_server=False,
        max_samples=at_once,
        log_buffer=log_buffer(len(task.dataset) * (task.epochs or 1)),
        score_display=False,
        **config.model_dump(exclude_none=True),
    )
    location = logs[0].location
    return read_run(read_eval_log(location, header_only=True), stored_samples(location))


def log_buffer(samples: int) -> int | None:
    """Return how many finished samples inspect-ai may hold before it writes them; None leaves it to it."""
    return BUFFERED if samples >= MANY else None


def stored_samples(location: str) -> Iterator[EvalSample]:
    """Yield the samples of a log, some at a time and without their events, which are most of it."""
    import inspect_ai.log as logs

    some = getattr(logs, "read_eval_log_samples_by_id", None)
    if some is None:  # an older inspect-ai
        yield from logs.read_eval_log(location).samples or ()
        return
    # Summaries come in the order in which samples were done; `read_eval_log` sorts by epoch and id.
    names = sorted(
        ((sample.id, sample.epoch) for sample in logs.read_eval_log_sample_summaries(location)),
        key=lambda name: (name[1], name[0] if isinstance(name[0], str) else str(name[0]).zfill(20)),
    )
    for begin in range(0, len(names), AT_ONCE):
        yield from some(location, names[begin : begin + AT_ONCE], exclude_fields=set(UNREAD))


def read_run(log: EvalLog, samples: Iterable[EvalSample] | None = None) -> BenchmarkRun:
    """Return what a log holds, from `steiner eval` or from `inspect eval` on one of our tasks.

    Args:
        log: may be the header alone.
        samples: in place of those of the log.
    """
    limits = (
        (log.plan.config.extra_body or log.eval.model_generate_config.extra_body or {}) if log.plan else {}
    )
    max_steps = limits.get("max_steps")
    read: list[ReadSample] = []
    facts: list[dict[str, object]] = []
    by_subset: dict[str, list[bool]] = {}
    count = 0
    for sample in (log.samples or ()) if samples is None else samples:
        count += 1
        if not sample.scores or sample.error is not None:
            continue
        read.append(read_sample(sample, max_steps))
        facts.append(facts_of(sample))
        if subset := sample.metadata.get("subset"):
            by_subset.setdefault(str(subset), []).append(is_right(sample))
    unclosed = [fact for fact in facts if not fact.get("closed", True)]
    expected = (log.eval.dataset.samples or 0) * (log.eval.config.epochs or 1)
    counts = Counts(
        done=len(read),
        errors=max(expected, count) - len(read),
        unclosed=len(unclosed),
        forced=sum(bool(fact.get("forced")) for fact in unclosed),
        cut=sum(bool(fact.get("cut")) for fact in facts),
    )
    return BenchmarkRun(
        name=str((log.eval.metadata or {}).get("benchmark", log.eval.task)),
        samples=tuple(one.result for one in read),
        counts=counts,
        subsets={name: sum(right) / len(right) for name, right in sorted(by_subset.items())},
        log=log.location,
        questions=tuple({one.question.problem_id: one.question for one in read}.values()),
        written=tuple(one.written for one in read),
    )


def evaluation_of_log(log: EvalLog) -> SavedEvaluation:
    """Return a log as `steiner eval` would have saved it.

    Raises:
        InputError: if no sample in it was answered.
    """
    from steiner.evaluate.metrics import curve_point

    run = read_run(log)
    if not run.samples:
        raise InputError(f"No sample in {log.location} was answered.")
    config = log.plan.config if log.plan else log.eval.model_generate_config
    body = config.extra_body or log.eval.model_generate_config.extra_body or {}
    return SavedEvaluation(
        model=f"{log.eval.model} on {log.eval.task}",
        run=log.location,
        stage=run.name,
        temperature=config.temperature if config.temperature is not None else 1.0,
        seed=0,
        max_reasoning_tokens=body.get("max_reasoning_tokens"),
        seconds=0.0,
        curve=(curve_point(run.samples, run.samples[0].max_steps),),
        samples=run.samples,
        questions=run.questions,
        written=run.written,
        circumstances=Circumstances(created=log.eval.created),
    )


def check_settings(folder: Path, settings: dict[str, JsonValue]) -> None:
    """Note the settings of a run at its first time, and refuse others when it goes on.

    Raises:
        ResumeError: names what differs.
    """
    import json

    path = folder / SETTINGS
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        fresh.replace(path)
        return
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged: delete {folder} to begin anew.") from error
    now = json.loads(json.dumps(settings))
    differing = [
        f"{name} was {known.get(name)!r} and is {now.get(name)!r} now"
        for name in sorted({*known, *now})
        if known.get(name) != now.get(name)
    ]
    if differing:
        raise ResumeError(
            f"{folder} holds an evaluation with other settings: {'; '.join(differing)}. Use the same "
            "settings to go on with it, or another --run."
        )


def limits_of(budget: StepBudget) -> dict[str, JsonValue]:
    """Return the limits that are set, as they travel in a request."""
    return budget.model_dump(mode="json", exclude_defaults=True)


def problem_ids(samples: Sequence[SampleResult]) -> list[str]:
    """Return the problem of each sample: what is resampled together."""
    return [sample.problem_id for sample in samples]
