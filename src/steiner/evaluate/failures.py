"""Where a wrong completion went wrong. Pure functions; the first class that applies is the one.

1. *Ill-formed*: it breaks the grammar other than by being cut off, or gives no answer at all.
2. Its reasoning has the right result: *left a good branch* if it went back from it, else *answer differs*.
3. *Accepted a wrong result*: its last step takes a wrong result for the right one; or it ended by itself,
   before any limit, with a result. Where states are not known, whoever ends with an answer took it for right.
4. *Left a good branch*: it went back from where the right result could be reached, and never returned there.
5. *Loop*: at least `LEAST_REPEATS` steps, and at least `LOOP_SHARE` of all, say what an earlier one said.
6. *Out of budget*: a limit of steps or tokens came before its end.
7. *Never found*: all others. It ended by itself, without a result.

So the end of a completion is looked at before its middle, and a limit is blamed only where the search itself
did nothing wrong until then. 4 needs states, 2 states or a number as the reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from steiner.core import Move, Problem, Step
from steiner.evaluate.records import Failure, FailureKind, SampleResult
from steiner.evaluate.step_states import Reading, read_steps
from steiner.evaluate.wording import steps_used
from steiner.protocol import Parsed, ViolationKind

LOOP_SHARE = 1 / 3
LEAST_REPEATS = 3
TITLES = {
    FailureKind.ILL_FORMED: "ill-formed",
    FailureKind.ANSWER_DIFFERS: "answer differs from what the reasoning found",
    FailureKind.ACCEPTED_WRONG: "accepted a wrong result",
    FailureKind.LEFT_GOOD: "left a good branch",
    FailureKind.LOOP: "loop",
    FailureKind.OUT_OF_BUDGET: "out of budget",
    FailureKind.NEVER_FOUND: "never found",
}

REASONS = {
    FailureKind.ILL_FORMED: "breaks the grammar, or gives no answer",
    FailureKind.ANSWER_DIFFERS: "the last result of the reasoning is right",
    FailureKind.ACCEPTED_WRONG: "ended with a wrong result of its own",
    FailureKind.LEFT_GOOD: "went back from the right result, or from where it could be reached, for good",
    FailureKind.LOOP: "at least a third of the steps say what an earlier one said",
    FailureKind.OUT_OF_BUDGET: "a limit of steps or tokens came first",
    FailureKind.NEVER_FOUND: "ended by itself without a result",
}


class Attempt(NamedTuple):
    """A completion, as far as a class needs it."""

    steps: tuple[Step, ...] = ()
    moves: tuple[Move, ...] = ()
    """`moves[i]` stands between `steps[i]` and `steps[i + 1]`."""
    answer: str = ""
    broken: str = ""
    """How it breaks the grammar, being cut off left aside; empty if it does not."""
    limit: str = ""
    """The limit that ended it, in words; empty if it ended by itself."""
    cut: bool = False
    """It has no end: the tokens for all of it ran out."""
    has_result: bool = True
    """A result can be read from the answer."""


def attempt_of(
    parsed: Parsed,
    *,
    reasoning_tokens: int = 0,
    max_steps: int | None = None,
    max_reasoning_tokens: int | None = None,
) -> Attempt:
    """Return what a completion under control was, from its text and its limits."""
    breaches = [v for v in parsed.violations if v.kind is not ViolationKind.UNFINISHED]
    cut = len(breaches) < len(parsed.violations)
    limit = ""
    if max_steps is not None and len(parsed.steps) >= max_steps:
        limit = steps_used(max_steps)
    elif max_reasoning_tokens is not None and reasoning_tokens >= max_reasoning_tokens:
        limit = f"all {max_reasoning_tokens:,} tokens of reasoning were used"
    elif cut:
        limit = "it was cut off at the limit of tokens"
    # What a cut-off text lacks, such as its answer, is not its own breach.
    broken = "" if not breaches or (cut and all(_is_empty(v.kind) for v in breaches)) else breaches[0].message
    return Attempt(parsed.steps, parsed.moves, parsed.answer, broken, limit, cut)


def failure_of(problem: Problem, attempt: Attempt) -> Failure:
    """Return the class of a wrong completion of a problem."""
    return classify(attempt, read_steps(problem, attempt.steps))


def failure_without_text(sample: SampleResult) -> Failure:
    """Return the class of a wrong sample of which only the counts were kept."""
    if not sample.well_formed or not sample.answer.strip():
        what = "no answer" if sample.well_formed else "it did not follow the grammar"
        return Failure(kind=FailureKind.ILL_FORMED, evidence=what)
    if sample.max_steps is None or sample.steps < sample.max_steps:
        return Failure(kind=FailureKind.ACCEPTED_WRONG, evidence="it ended by itself; its text was not kept")
    if _is_loop(sample.repeated_steps, sample.steps):
        return _loop(sample.repeated_steps, sample.steps)
    return Failure(kind=FailureKind.OUT_OF_BUDGET, evidence=steps_used(sample.max_steps))


def classify(attempt: Attempt, readings: Sequence[Reading] = ()) -> Failure:
    """Return the class of a wrong completion.

    Args:
        attempt: the completion.
        readings: what its steps are worth, parallel to them; empty if nothing is known.
    """
    for rule in (_ill_formed, _had_it, _accepted_wrong, _left_good, _looped, _out_of_budget):
        found = rule(attempt, readings)
        if found is not None:
            return found
    return Failure(kind=FailureKind.NEVER_FOUND, evidence="it ended by itself without a result")


def _ill_formed(attempt: Attempt, readings: Sequence[Reading]) -> Failure | None:
    if attempt.broken:
        return Failure(kind=FailureKind.ILL_FORMED, evidence=attempt.broken)
    if not attempt.answer.strip() and not attempt.limit:
        return Failure(kind=FailureKind.ILL_FORMED, evidence="there is no answer")
    return None


def _had_it(attempt: Attempt, readings: Sequence[Reading]) -> Failure | None:
    last = _last_found(readings)
    if last is None:
        return None
    if Move.BACKTRACK in attempt.moves[last:]:
        evidence = f"step {last + 1} has the right result, and the search went back from it"
        return Failure(kind=FailureKind.LEFT_GOOD, evidence=evidence, step=last + 1)
    if attempt.cut:
        return None
    evidence = f"step {last + 1} has the right result, the answer is another"
    return Failure(kind=FailureKind.ANSWER_DIFFERS, evidence=evidence, step=last + 1)


def _accepted_wrong(attempt: Attempt, readings: Sequence[Reading]) -> Failure | None:
    last = readings[-1] if readings else Reading()
    number = len(attempt.steps) or None
    if last.claims and not last.found:
        why = last.error or f"it reaches {last.state}"
        evidence = f"step {number} takes its result for the right one: {why}"
        return Failure(kind=FailureKind.ACCEPTED_WRONG, evidence=evidence, step=number)
    if attempt.limit or last.result is False or not attempt.has_result:
        return None
    evidence = "it ended by itself with a wrong answer"
    if last.result:
        evidence = f"it ended after step {number}, whose result is not the right one"
    return Failure(kind=FailureKind.ACCEPTED_WRONG, evidence=evidence, step=number)


def _left_good(attempt: Attempt, readings: Sequence[Reading]) -> Failure | None:
    best: tuple[int, int, int] | None = None
    for index, reading in enumerate(readings):
        if not reading.alive or reading.state is None:
            continue
        stayed = _last_below(readings, index)
        if stayed < len(attempt.moves) and attempt.moves[stayed] is Move.BACKTRACK:
            # The nearest one to the answer, and of these the first.
            best = min(best or (99, 0, 0), (len(reading.state.split()), index, stayed))
    if best is None:
        return None
    _, index, stayed = best
    evidence = (
        f"the right result can be reached from {readings[index].state} (step {index + 1}); the search "
        f"went back from there after step {stayed + 1} and did not return"
    )
    return Failure(kind=FailureKind.LEFT_GOOD, evidence=evidence, step=index + 1)


def _looped(attempt: Attempt, readings: Sequence[Reading]) -> Failure | None:
    repeats = repeated_steps(attempt.steps)
    return _loop(repeats, len(attempt.steps)) if _is_loop(repeats, len(attempt.steps)) else None


def _out_of_budget(attempt: Attempt, readings: Sequence[Reading]) -> Failure | None:
    return Failure(kind=FailureKind.OUT_OF_BUDGET, evidence=attempt.limit) if attempt.limit else None


def repeated_steps(steps: Iterable[Step]) -> int:
    """Count steps that say the same as an earlier one: those that start alike and do the same."""
    said: set[tuple[str, str]] = set()
    repeated = 0
    for step in steps:
        key = (step.name, step.thought)
        repeated += key in said
        said.add(key)
    return repeated


def _is_loop(repeats: int, steps: int) -> bool:
    return repeats >= max(LEAST_REPEATS, LOOP_SHARE * steps)


def _loop(repeats: int, steps: int) -> Failure:
    return Failure(kind=FailureKind.LOOP, evidence=f"{repeats} of {steps} steps say what an earlier one said")


def _last_found(readings: Sequence[Reading]) -> int | None:
    return max((index for index, reading in enumerate(readings) if reading.found), default=None)


def _last_below(readings: Sequence[Reading], index: int) -> int:
    """Return the last step at the state of step `index` or below it; unsound steps stay where they began."""
    below = {readings[index].state}
    last = index
    for place in range(index + 1, len(readings)):
        reading = readings[place]
        if reading.start in below or reading.state in below:
            last = place
            if reading.state is not None:
                below.add(reading.state)
    return last


def _is_empty(kind: ViolationKind) -> bool:
    return kind is ViolationKind.EMPTY_ANSWER
