"""Set (a): Countdown steps in words. Truth: the search state reached, that is the numbers left.

Each step is rendered by one of 20 sentence frames around one of 24 ways to say the operation, with numbers as
digits or words, operands in either order where that is allowed, the numbers left in any order, and fillers.
Half of the frames and of the ways to say things occur only in the questions kept for reporting.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Callable

from clustering_sets.case import Case, case_of

_ONES = tuple(
    """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen
    """.split()  # noqa: SIM905
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
_FRAMES = (
    "{fill}{op}, which leaves {left}.",
    "{fill}{op}, so {left} are left.",
    "{fill}{op}. Now I have {left}.",
    "{op}. Remaining numbers: {left}.",
    "{fill}{op}, and the pool becomes {left}.",
    "If {op}, then what remains is {left}.",
    "{op}, leaving me with {left}.",
    "{fill}{op}; that leaves {left} for the next step.",
    "I try this: {op}. I still hold {left}.",
    "{op} (left: {left}).",
    "{fill}{op}, with {left} remaining.",
    "We see that {op}, and we are left with {left}.",
    # kept for reporting
    "{fill}{op}. The numbers on the table are now {left}.",
    "The numbers left are {left}, because {op}.",
    "{op}, after which {left} remain.",
    "{fill}{op}. I can go on with {left}.",
    "{op}. Left over: {left}.",
    "To continue I have {left}, since {op}.",
    "One option is this: {op}; {left} stay available.",
    "{fill}{op}; still unused: {left}.",
)
_FRAMES_FOR_TUNING = 12
_FILLERS = ("", "", "Next, ", "So, ", "OK, ", "Let me see: ", "First of all, ", "Alternatively, ")
_SAY = {
    "+": (
        "{a} + {b} = {r}", "{a} plus {b} is {r}", "adding {a} and {b} gives {r}",
        "the sum of {a} and {b} is {r}", "I add {a} to {b} and get {r}", "{a} and {b} together make {r}",
    ),
    "-": (
        "{a} - {b} = {r}", "{a} minus {b} is {r}", "subtracting {b} from {a} gives {r}",
        "I take {b} away from {a} to get {r}", "the difference between {a} and {b} is {r}",
        "{a} less {b} makes {r}",
    ),
    "*": (
        "{a} * {b} = {r}", "{a} times {b} is {r}", "multiplying {a} by {b} gives {r}",
        "the product of {a} and {b} is {r}", "I multiply {a} and {b} and get {r}", "{a} × {b} makes {r}",
    ),
    "/": (
        "{a} / {b} = {r}", "{a} divided by {b} is {r}", "dividing {a} by {b} gives {r}",
        "I divide {a} by {b} and get {r}", "{a} over {b} is {r}", "{b} goes into {a} exactly {r} times",
    ),
}  # fmt: skip
_SAY_FOR_TUNING = 4
_JOIN: tuple[Callable[[list[str]], str], ...] = (
    ", ".join,
    " and ".join,
    lambda items: ", ".join(items[:-1]) + (" and " if len(items) > 1 else "") + items[-1],
    lambda items: ", ".join(items[:-1]) + (", and " if len(items) > 1 else "") + items[-1],
    " ".join,
)
_DO = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.floordiv}


def countdown_cases(questions: int, seed: int = 0) -> tuple[list[Case], list[Case]]:
    """Return as many questions for tuning as for reporting, `questions` in all."""
    halves: tuple[list[Case], list[Case]] = ([], [])
    for number in range(questions):
        rng = random.Random(f"{seed}:countdown:{number}")
        halves[number % 2].append(_case(rng, tuning=number % 2 == 0))
    return halves


def large_case(seed: int = 0) -> Case:
    """Return one question with 400 walks of five steps each."""
    return _case(random.Random(f"{seed}:countdown:large"), tuning=False, size=6, walks=400)


def _case(rng: random.Random, tuning: bool, size: int = 0, walks: int = 16) -> Case:
    """Let random walks take few ways, so that they meet; four to six numbers, up to 25."""
    start = sorted(rng.sample(range(1, 26), size or rng.choice((4, 4, 5, 6))))
    ways: dict[tuple[int, ...], list[tuple[str, int, int, int]]] = {}
    rows: list[list[str]] = []
    truth: list[list[str]] = []
    for _ in range(walks):
        numbers, texts, states = tuple(start), [], []
        while len(numbers) > 1:
            if numbers not in ways:
                every = _moves(numbers)
                ways[numbers] = rng.sample(every, min(3, len(every)))
            sign, a, b, result = rng.choice(ways[numbers])
            left = list(numbers)
            left.remove(a)
            left.remove(b)
            numbers = tuple(sorted([*left, result]))
            texts.append(say(rng, sign, a, b, result, numbers, tuning))
            states.append(",".join(map(str, numbers)))
        rows.append(texts)
        truth.append(states)
    question = f"Use the numbers {', '.join(map(str, start))} once each to reach a target."
    return case_of(question, "0", rows, truth)


def _moves(numbers: tuple[int, ...]) -> list[tuple[str, int, int, int]]:
    moves = set()
    for i, a in enumerate(numbers):
        for b in numbers[:i]:  # b <= a
            moves |= {("+", a, b, a + b), ("*", a, b, a * b), ("-", a, b, a - b)}
            if b and a % b == 0:
                moves.add(("/", a, b, a // b))
    return sorted(move for move in moves if move[3] < 1000)


def say(
    rng: random.Random, sign: str, a: int, b: int, result: int, left: tuple[int, ...], tuning: bool
) -> str:
    """Put one operation and the numbers left after it into words."""
    ways = _SAY[sign][:_SAY_FOR_TUNING] if tuning else _SAY[sign]
    frames = _FRAMES[:_FRAMES_FOR_TUNING] if tuning else _FRAMES
    if sign in "+*" and rng.random() < 0.5:
        a, b = b, a
    words = rng.random() < 0.3
    rest = list(left)
    rng.shuffle(rest)
    operation = rng.choice(ways).format(a=_number(a, words), b=_number(b, words), r=_number(result, words))
    listed = rng.choice(_JOIN)([_number(n, words) for n in rest])
    text = rng.choice(frames).format(fill=rng.choice(_FILLERS), op=operation, left=listed)
    return text[0].upper() + text[1:]


def _number(value: int, words: bool) -> str:
    if not words or value > 99:
        return str(value)
    if value < 20:
        return _ONES[value]
    tens, ones = divmod(value, 10)
    return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")
