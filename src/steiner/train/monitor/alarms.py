"""The rules: which course of the figures is an alarm. docs/training.md lists each with its formula.

Two windows of `WINDOW` updates are compared at every moment of a run, so a threshold on z has to hold for
hundreds of looks; with those below a healthy run of 200 updates gives an alarm in less than one case of a
hundred (tests/train/test_monitor_false_alarms.py). Thresholds on the size of a change keep out what is real
but harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steiner.core import Record
from steiner.train.monitor.change import WINDOW, Change, Values, above_lowest, changes, moments
from steiner.train.monitor.figures import UpdateFigures

STALE = "stale_weights"
"""The one alarm that stops a training."""

REWARD_Z = 8.0
"""Reward has risen: more than its own noise by this factor."""
SOLVED = 0.95
"""From this accuracy on, reward may rise without it: there is no room left."""
FORMAT_Z, FORMAT_CHANGE = 5.0, 0.05
"""Both well-formed share and accuracy change by at least so much, in opposite directions."""
CHANGE_Z = 6.0
"""For a single figure."""
COLLAPSED, ENOUGH_STEPS = 0.5, 2.0
"""Steps fall to this share of what they were; below `ENOUGH_STEPS` there was nothing to lose."""
LIMIT_RISE, LIMIT_LEVEL = 0.25, 0.6
"""The share at the limit rises by so much to at least this."""
LIMIT_LAST_RISE, LIMIT_ALL = 0.1, 0.95
"""Or by less, to nearly all. A run that has so many from the start has a small limit, not a fault."""
REPEAT_RISE, REPEAT_MOST = 0.15, 0.5
LANGUAGE_CHANGE = 0.1
NO_SIGNAL_MOST = 0.9
TRUNCATED_MOST = 0.25
GAP_UPDATES, GAP_MOST = 3, 0.1
"""Mean gap over so many updates, in nats per token. bf16 and other kernels alone give about 0.01 to 0.03."""
GAP_FACTOR, GAP_LEAST = 3.0, 0.02
"""Or the gap grows to so many times what it was, and at least to this."""
LOSS_RISE = 0.1
"""Share by which the loss of a supervised stage rises."""

Flags = NDArray[np.bool_]


class Alarm(Record):
    """Something that went wrong while the loss looked well."""

    name: str
    """For example `reward_without_accuracy`."""
    since: int
    """Update at which it was first evident."""
    evidence: str
    """The figures that say so."""
    advice: str
    """What to do."""


class _Rule(NamedTuple):
    name: str
    figures: tuple[str, ...]
    """Fields of `UpdateFigures`; points that lack one of them are left out."""
    fires: Callable[[Sequence[Values]], tuple[int, str] | None]
    """From the series of the figures to index and evidence of the first moment; None: never."""
    advice: str


def find_alarms(points: Sequence[tuple[int, UpdateFigures]]) -> tuple[Alarm, ...]:
    """Return the alarms of an RL run so far, each once, in the order in which they became evident.

    Args:
        points: number and figures of each update, in order. A longer history of the same run gives the same
            alarms and perhaps more.
    """
    found = [alarm for rule in RULES if (alarm := _judge(rule, points)) is not None]
    return tuple(sorted(found, key=lambda alarm: alarm.since))


def find_loss_alarms(points: Sequence[tuple[int, float]]) -> tuple[Alarm, ...]:
    """Return the alarms of a supervised stage: its loss rises.

    Args:
        points: number of each logged step and the mean loss there, in nats per token.
    """
    values = np.array([loss for _, loss in points], dtype=np.float64)
    hit = _loss_rises([values])
    if hit is None:
        return ()
    index, evidence = hit
    advice = "Lower the learning rate, lengthen the warm-up, or look at what the data holds from there on."
    return (Alarm(name="loss_rises", since=points[index][0], evidence=evidence, advice=advice),)


def _judge(rule: _Rule, points: Sequence[tuple[int, UpdateFigures]]) -> Alarm | None:
    rows = [
        (update, [getattr(figures, name) for name in rule.figures])
        for update, figures in points
        if all(getattr(figures, name) is not None for name in rule.figures)
    ]
    if not rows:
        return None
    table = np.array([values for _, values in rows], dtype=np.float64)
    hit = rule.fires([table[:, i] for i in range(len(rule.figures))])
    if hit is None:
        return None
    index, evidence = hit
    return Alarm(name=rule.name, since=rows[index][0], evidence=evidence, advice=rule.advice)


def _reward_without_accuracy(series: Sequence[Values]) -> tuple[int, str] | None:
    reward, right = (changes(values) for values in series)
    return _first(
        [(r.z >= REWARD_Z) & (a.z <= 0) & (a.now < SOLVED) for r, a in zip(reward, right, strict=True)],
        lambda ref, i: (
            f"reward {_moved(reward[ref], i, '.3f')} while accuracy {_moved(right[ref], i, '.1%')}"
        ),
    )


def _format_without_accuracy(series: Sequence[Values]) -> tuple[int, str] | None:
    formed, right = (changes(values) for values in series)
    return _first(
        [
            (f.z >= FORMAT_Z) & (f.rise >= FORMAT_CHANGE) & (a.z <= -FORMAT_Z) & (a.rise <= -FORMAT_CHANGE)
            for f, a in zip(formed, right, strict=True)
        ],
        lambda ref, i: (
            f"well-formed {_moved(formed[ref], i, '.1%')} while accuracy {_moved(right[ref], i, '.1%')}"
        ),
    )


def _thinking_collapses(series: Sequence[Values]) -> tuple[int, str] | None:
    steps, right = (changes(values) for values in series)
    return _first(
        [(c.z <= -CHANGE_Z) & (c.now <= COLLAPSED * c.before) & (c.before >= ENOUGH_STEPS) for c in steps],
        lambda ref, i: f"steps {_moved(steps[ref], i, '.1f')}; accuracy {_moved(right[ref], i, '.1%')}",
    )


def _limit_reached(series: Sequence[Values]) -> tuple[int, str] | None:
    compared = changes(series[0])
    return _first(
        [
            (c.z >= CHANGE_Z)
            & (
                (c.rise >= LIMIT_RISE) & (c.now >= LIMIT_LEVEL)
                | (c.rise >= LIMIT_LAST_RISE) & (c.now >= LIMIT_ALL)
            )
            for c in compared
        ],
        lambda ref, i: f"completions at their step limit: {_moved(compared[ref], i, '.1%')}",
    )


def _steps_repeat(series: Sequence[Values]) -> tuple[int, str] | None:
    (values,) = series
    return _rise_or_level(values, REPEAT_RISE, REPEAT_MOST, "steps that repeat an earlier one")


def _idle_backtracks(series: Sequence[Values]) -> tuple[int, str] | None:
    (values,) = series
    return _rise_or_level(values, REPEAT_RISE, REPEAT_MOST, "backtracks to what was written before")


def _language_drifts(series: Sequence[Values]) -> tuple[int, str] | None:
    latin, han = series
    hits = [
        _share_moves(values, title)
        for title, values in (("Latin", latin), ("Chinese", han), ("other", 1.0 - latin - han))
    ]
    return min((hit for hit in hits if hit is not None), default=None)


def _share_moves(values: Values, title: str) -> tuple[int, str] | None:
    compared = changes(values)
    return _first(
        [(abs(c.z) >= CHANGE_Z) & (abs(c.rise) >= LANGUAGE_CHANGE) for c in compared],
        lambda ref, i: f"letters of thoughts that are {title}: {_moved(compared[ref], i, '.1%')}",
    )


def _stale_weights(series: Sequence[Values]) -> tuple[int, str] | None:
    (gap,) = series
    recent = moments(gap, GAP_UPDATES).mean
    grown = changes(gap)
    hits = [
        _first(
            [recent >= GAP_MOST],
            lambda _, i: f"gap of {recent[i]:.3f} nats per token over {GAP_UPDATES} updates",
            first=GAP_UPDATES - 1,
        ),
        _first(
            [(c.z >= REWARD_Z) & (c.now >= GAP_FACTOR * c.before) & (c.now >= GAP_LEAST) for c in grown],
            lambda ref, i: f"gap in nats per token {_moved(grown[ref], i, '.3f')}",
        ),
    ]
    return min((hit for hit in hits if hit is not None), default=None)


def _no_signal(series: Sequence[Values]) -> tuple[int, str] | None:
    (values,) = series
    return _level(values, NO_SIGNAL_MOST, "groups whose completions all earned the same")


def _truncated(series: Sequence[Values]) -> tuple[int, str] | None:
    (values,) = series
    return _level(values, TRUNCATED_MOST, "groups whose completions were all cut by a limit of tokens")


def _loss_rises(series: Sequence[Values]) -> tuple[int, str] | None:
    compared = above_lowest(series[0])
    return _first(
        [(compared.z >= CHANGE_Z) & (compared.now >= (1 + LOSS_RISE) * compared.before)],
        lambda _, i: f"loss {_moved(compared, i, '.3f')}",
    )


def _rise_or_level(values: Values, rise: float, most: float, what: str) -> tuple[int, str] | None:
    """Fire on a rise by `rise`, or on a window at or above `most`."""
    compared = changes(values)
    hits = [
        _first(
            [(c.z >= CHANGE_Z) & (c.rise >= rise) for c in compared],
            lambda ref, i: f"{what}: {_moved(compared[ref], i, '.1%')}",
        ),
        _level(values, most, what),
    ]
    return min((hit for hit in hits if hit is not None), default=None)


def _level(values: Values, most: float, what: str) -> tuple[int, str] | None:
    mean = moments(values).mean
    return _first(
        [mean >= most], lambda _, i: f"{what}: {mean[i]:.1%} over {WINDOW} updates", first=WINDOW - 1
    )


def _first(
    flags: Sequence[Flags], evidence: Callable[[int, int], str], first: int = 2 * WINDOW - 1
) -> tuple[int, str] | None:
    """Return index and evidence of the first moment at which any of `flags` is set.

    Args:
        flags: parallel to each other, for example one for each earlier window.
        evidence: makes the text from the number of the flags and the moment.
        first: index of the point that the first moment belongs to.
    """
    moments_set = [(int(np.argmax(f)), number) for number, f in enumerate(flags) if f.any()]
    if not moments_set:
        return None
    moment, number = min(moments_set)
    return first + moment, evidence(number, moment)


def _moved(change: Change, index: int, form: str) -> str:
    return f"{change.before[index]:{form}} → {change.now[index]:{form}}"


RULES = (
    _Rule(
        "reward_without_accuracy",
        ("reward", "right"),
        _reward_without_accuracy,
        "The reward is being earned by something else than right answers. Read completions of the last "
        "updates, then lower the weight of the step rewards or charge what you find.",
    ),
    _Rule(
        "format_without_accuracy",
        ("well_formed", "right"),
        _format_without_accuracy,
        "The model learns the form at the cost of the content. Lower the learning rate or the weight of what "
        "rewards the form.",
    ),
    _Rule(
        "thinking_collapses",
        ("steps", "right"),
        _thinking_collapses,
        "Short completions are rewarded as such. Raise the weight of the outcome, or go back to an earlier "
        "checkpoint with a lower learning rate.",
    ),
    _Rule(
        "limit_reached",
        ("at_limit",),
        _limit_reached,
        "Steps pile up to the limit. If accuracy rises, raise max_steps; otherwise something pays for "
        "length: look at the step rewards.",
    ),
    _Rule(
        "steps_repeat",
        ("repeated",),
        _steps_repeat,
        "Raise the charge for repeated steps, or the temperature of the rollouts.",
    ),
    _Rule(
        "backtracks_for_show",
        ("idle_backtracks",),
        _idle_backtracks,
        "The model goes back and does the same again. Raise the charge for repeated steps and pay nothing "
        "for leaving dead ends.",
    ),
    _Rule(
        "language_drifts",
        ("latin", "han"),
        _language_drifts,
        "The thoughts change their language. Add a KL term (beta) or lower the learning rate.",
    ),
    _Rule(
        STALE,
        ("logprob_gap",),
        _stale_weights,
        "Rollouts and trainer disagree about the same tokens: the rollout engine has stale weights, or "
        "computes in another way. See that weights are sent after every update, then go on from the last "
        "checkpoint.",
    ),
    _Rule(
        "no_signal",
        ("no_signal",),
        _no_signal,
        "Almost no group teaches anything. Take problems of another difficulty, larger groups, or a step "
        "reward.",
    ),
    _Rule(
        "truncated_groups",
        ("truncated",),
        _truncated,
        "Raise max_reasoning_tokens or max_answer_tokens, or lower max_steps.",
    ),
)
