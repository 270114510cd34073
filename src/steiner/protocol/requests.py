"""How a request says, in words, how much to think: the same words in training and in serving.

A request stands at the end of the system message, in the question's language. Step control holds limits
whatever the model does; a model that was trained on the words plans for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from steiner.protocol.prompt import Message


class Effort(StrEnum):
    """How much to think, from least to most. In training: by the length of the path among all paths."""

    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    MAX = "max"


EFFORTS: tuple[Effort, ...] = tuple(Effort)
"""All five, from least to most."""


class Wording(NamedTuple):
    """The words of one language; `{}` stands for the level or the number."""

    effort: str
    levels: tuple[str, str, str, str, str]
    """Parallel to `EFFORTS`."""
    at_most: str
    at_most_one: str
    at_least: str
    between: str
    exactly: str
    joint: str
    """Stands between two sentences."""


WORDINGS: dict[str, Wording] = {
    "en": Wording(
        effort="Reasoning effort: {}.",
        levels=("minimal", "low", "medium", "high", "max"),
        at_most="Think in at most {} steps.",
        at_most_one="Think in one step.",
        at_least="Think in at least {} steps.",
        between="Think in {} to {} steps.",
        exactly="Think in exactly {} steps.",
        joint=" ",
    ),
    "zh": Wording(
        effort="思考强度：{}。",
        levels=("极低", "低", "中", "高", "最高"),
        at_most="最多思考 {} 步。",
        at_most_one="只思考一步。",
        at_least="至少思考 {} 步。",
        between="思考 {} 到 {} 步。",
        exactly="正好思考 {} 步。",
        joint="",
    ),
}
"""By language code; every other language gets English."""


def wording_of(language: str) -> Wording:
    """Return the words for a language code such as `zh`, `zh-CN` or `en_GB`."""
    return WORDINGS.get(language.replace("_", "-").split("-")[0].lower(), WORDINGS["en"])


def request_text(
    language: str = "en",
    *,
    effort: Effort | None = None,
    min_steps: int | None = None,
    max_steps: int | None = None,
) -> str:
    """Return the sentences that name an effort and step limits; empty where there is nothing to name.

    Args:
        language: of the question.
        effort: level to name.
        min_steps: least number of steps; 1 says nothing and is not named.
        max_steps: largest one, at least `min_steps`.
    """
    words = wording_of(language)
    sentences = [words.effort.format(words.levels[EFFORTS.index(effort)])] if effort else []
    least = min_steps or 1
    if max_steps is not None and max_steps == 1:
        sentences.append(words.at_most_one)
    elif max_steps is not None and least == max_steps:
        sentences.append(words.exactly.format(max_steps))
    elif max_steps is not None and least > 1:
        sentences.append(words.between.format(least, max_steps))
    elif max_steps is not None:
        sentences.append(words.at_most.format(max_steps))
    elif least > 1:
        sentences.append(words.at_least.format(least))
    return words.joint.join(sentences)


def with_request(messages: Sequence[Message], request: str) -> list[Message]:
    """Return the conversation with `request` at the end of its system message, or as one if it has none."""
    if not request:
        return list(messages)
    first = messages[0] if messages else None
    if first is None or first.role != "system":
        return [Message("system", request), *messages]
    text = f"{first.content}\n\n{request}" if first.content else request
    return [Message("system", text), *messages[1:]]
