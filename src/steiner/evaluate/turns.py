"""Problems asked as the last turn of a conversation that the model itself has had so far.

The earlier turns ask for other targets from the same numbers, and all turns but the first are as short as
people are (`And 24?`): without the first turn such a question cannot be answered.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from steiner.core import InputError, NoProgress, Problem, Progress, StepBudget
from steiner.evaluate.anytime import Engine
from steiner.problems.countdown_states import OPERATORS, TASK, Limits, State, make_state, outcomes
from steiner.problems.countdown_words import follow_up_text, question_text
from steiner.protocol.history import HistoryPolicy, render_history
from steiner.protocol.prompt import Message, Prompt


class Conversation(NamedTuple):
    """What a user asks, one after the other."""

    questions: tuple[str, ...]
    """The last one is the problem; the first is a whole question."""
    targets: tuple[int, ...]
    """Parallel to `questions`."""


def conversations(problems: Sequence[Problem], turns: int, seed: int) -> list[Conversation]:
    """Return a conversation for each problem; the same problem gets the same one.

    Targets of earlier turns are drawn from those that the numbers reach, within the range of the targets of
    `problems` where that holds enough. Numbers that reach too few have a shorter conversation.

    Args:
        problems: Countdown problems.
        turns: questions of a conversation, the problem's own included.
        seed: of the targets.

    Raises:
        InputError: if a problem is no Countdown problem, or `turns` is less than 1.
    """
    if turns < 1:
        raise InputError(f"A conversation has at least 1 turn, not {turns}.")
    for problem in problems:
        if problem.task != TASK:
            raise InputError(
                "Conversations can be made of Countdown problems only, where the next question asks for "
                f"another target from the same numbers; problem {problem.id} is of "
                f"{f'the task {problem.task!r}' if problem.task else 'no task'}. Use --turns 1."
            )
    targets = [int(problem.facts["target"]) for problem in problems]
    low, high = min(targets, default=0), max(targets, default=0)
    return [_conversation(problem, turns, low, high, seed) for problem in problems]


def _conversation(problem: Problem, turns: int, low: int, high: int, seed: int) -> Conversation:
    facts, language = problem.facts, problem.language
    state: State = make_state(int(number) for number in facts["numbers"])
    target = int(facts["target"])
    limits = Limits(facts.get("max_result"), facts.get("operators", OPERATORS))
    reached = sorted(outcomes(state, limits) - {target})
    rng = random.Random(f"{seed}:{problem.id}:turns")
    rng.shuffle(reached)
    reached.sort(key=lambda other: not low <= other <= high)  # stable: those of the usual range go first
    earlier = reached[: turns - 1]
    rng.shuffle(earlier)
    targets = (*earlier, target)
    first = question_text(state, targets[0], language) if earlier else problem.blind().prompt
    return Conversation((first, *(follow_up_text(other, language) for other in targets[1:])), targets)


def converse(
    engine: Engine,
    asked: Sequence[Conversation],
    budget: StepBudget,
    history: HistoryPolicy,
    progress: Progress | None = None,
) -> list[Prompt]:
    """Let a model have each conversation up to its last question.

    Args:
        engine: the model.
        asked: conversations.
        budget: limits of the earlier answers.
        history: what an answer carries into later turns.
        progress: is told how many earlier questions are answered.

    Returns:
        Parallel to `asked`: the messages, the last one the user's last question.
    """
    progress = progress or NoProgress()
    said: list[list[Message]] = [[] for _ in asked]
    done = 0
    for turn in range(max((len(one.questions) for one in asked), default=1) - 1):
        open_ones = [i for i, one in enumerate(asked) if len(one.questions) > turn + 1]
        for i in open_ones:
            said[i].append(Message("user", asked[i].questions[turn]))
        for i, completed in zip(
            open_ones, engine.generate([tuple(said[i]) for i in open_ones], budget), strict=True
        ):
            said[i].append(render_history(completed.parsed, history))
        done += len(open_ones)
        progress.update(done)
    return [
        (*messages, Message("user", one.questions[-1])) for messages, one in zip(said, asked, strict=True)
    ]
