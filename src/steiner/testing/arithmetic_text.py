"""The words of arithmetic steps, in English and Chinese."""

from __future__ import annotations

import random
from typing import Literal

from steiner.testing.arithmetic import Operation

Language = Literal["en", "zh"]
StepText = dict[str, str | int | None]
"""Fields of a step: name, thought, summary, reflection and back_to."""

_VERBS = {
    "en": {"+": "add {n}", "-": "subtract {n}", "*": "multiply by {n}"},
    "zh": {"+": "加上 {n}", "-": "减去 {n}", "*": "乘以 {n}"},
}
_THOUGHTS = {
    "en": (
        "So far the value is {before}. Reading from left to right, the next thing to do is to {verb}. "
        "I compute {equation}.",
        "Working from left to right I stand at {before} and have to {verb} now. That makes {equation}.",
        "The next operation from the left is to {verb}. With the value that I have now, this is {equation}.",
    ),
    "zh": (
        "到目前为止的数值是 {before}。按照从左到右的顺序，下一步要{verb}，计算得到 {equation}。",
        "从左到右算下来，现在的数值是 {before}，接着需要{verb}，也就是 {equation}。",
        "左边的下一个运算是{verb}，用现在的数值来计算就是 {equation}。",
    ),
}
_SUMMARIES = {
    "en": ("{equation}, so the running value is {after}.", "After this operation, {equation}."),
    "zh": ("{equation}，所以现在的数值是 {after}。", "经过这一步运算得到 {equation}。"),
}
_GO_ON = {
    "en": (
        "I recomputed this operation and it holds. There is still more to do on the right, so I go on.",
        "The size of this number looks plausible, and the next operation can be done with it.",
    ),
    "zh": (
        "我重新计算了这一步，结果成立。右边还有没有完成的运算，所以继续下去。",
        "这个数的大小看起来合理，可以用它继续做下一个运算。",
    ),
}
_END = {
    "en": "This was the last operation, and computing it once more gives {after} again. I stop here.",
    "zh": "这是最后一个运算，再计算一遍仍然得到 {after}。到这里就完成了。",
}
_NOTICE = {
    "en": (
        "Computing operation {n} once more I get another number: the calculation in it does not hold. "
        "I go back to the point before it and do it again."
    ),
    "zh": "再次计算第 {n} 步运算的时候我得到了另一个数，说明那一步算错了。我回到它之前的地方重新计算。",
}
_MISSING = {
    "en": "Every step so far holds when computed once more, but some operations are left. I go on.",
    "zh": "到目前为止的每一步再算一遍都成立，但是右边还有没有完成的运算。我继续计算下去。",
}
_TOLD = {
    "en": " As the reference says, given the answer, this is what should come out.",
    "zh": "根据给出的参考答案，结果应该就是这样。",
}


def step_text(
    rng: random.Random,
    language: Language,
    ordinal: int,
    before: int,
    operation: Operation,
    after: int,
    *,
    last: bool,
    back_to: int | None = None,
) -> StepText:
    """Word one operation.

    Args:
        rng: draws among wordings.
        language: of the words.
        ordinal: which operation of the chain it is, from 1.
        before: value that it starts from.
        operation: what is done.
        after: what it is said to give, which may be wrong.
        last: it is the last of the chain.
        back_to: number of the step that it goes on from, None: the step before it.
    """
    verb = _VERBS[language][operation.sign].format(n=operation.operand)
    equation = f"{before} {operation.sign} {operation.operand} = {after}"
    values = {"before": before, "after": after, "verb": verb, "equation": equation}
    reflection = _END[language] if last else rng.choice(_GO_ON[language])
    name = f"Operation {ordinal}: {verb}" if language == "en" else f"第 {ordinal} 步运算：{verb}"
    return {
        "back_to": back_to,
        "name": name,
        "thought": rng.choice(_THOUGHTS[language]).format(**values),
        "summary": rng.choice(_SUMMARIES[language]).format(**values),
        "reflection": reflection.format(**values),
    }


def notice(language: Language, ordinal: int) -> str:
    """Word the discovery that an operation was done wrongly."""
    return _NOTICE[language].format(n=ordinal)


def missing(language: Language) -> str:
    """Word that nothing is wrong and something is left to do."""
    return _MISSING[language]


def told(language: Language) -> str:
    """Word what no step may say: that the answer was known."""
    return _TOLD[language]
