"""What is asked of the model, and what is counted in what it wrote. run.py makes it, page.py words it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from countdown_common import Ask

from steiner.evaluate.languages import is_in_language
from steiner.problems.countdown_words import words_of
from steiner.protocol.history import HistoryPolicy

if TYPE_CHECKING:
    from steiner.core import Step

SPLITS = NEW_INPUTS, _ = ("new-inputs", "heldout-targets")
GAME = ("--numbers", "3", "--high", "20", "--target-low", "1", "--target-high", "30", "--max-result", "30")
TRAINED_STEPS = 16
"""Most steps of the last turn that training shows; longer ones are cut there."""
STEPS = 32
"""Steps that are allowed when it is measured."""
TEMPERATURES = (0.5, 1.0, 1.5)
"""Beside 0."""
TURNS = (2, 3)
"""Which turn of a conversation the measured question is."""
UNSEEN = (
    "Be brief.",
    "你是一名会计，做事认真。",
    "You are a pirate who loves arithmetic.",
    "今天天气很好，请认真回答用户的每一个问题。",
    "The user is ten years old and in a hurry; it is a Tuesday in March. Never apologise, never joke, and "
    "keep to the numbers that are given.",
)
"""System prompts that training does not know."""


class Size(NamedTuple):
    """How big a run is."""

    problems: int
    heldout: int
    """Problems of each split, half of them Chinese."""
    cpt_tokens: int
    sft_tokens: int
    systems: int
    """System prompts measured of each kind, trained and unseen."""
    turns: tuple[int, ...]
    seeds: int
    reasoning: int = 1100
    """Most tokens of reasoning; no trained model comes near them within 32 steps."""


SIZES = {
    "tiny": Size(20, 6, 2_000, 4_000, 1, (2,), 1, reasoning=120),
    "full": Size(6000, 600, 3_000_000, 12_000_000, 5, TURNS, 3),
}


class Measure(NamedTuple):
    """One evaluation of each seed's model."""

    name: str
    split: str = NEW_INPUTS
    temperature: float = 0.0
    system: str = ""
    turns: int = 1
    history: HistoryPolicy | None = None

    def ask(self, size: Size, seed: int) -> Ask:
        """Return how the model of a seed is measured."""
        return Ask(
            (STEPS,), size.heldout, size.reasoning, temperature=self.temperature, seed=seed,
            system=self.system, turns=self.turns, history=self.history,
        )  # fmt: skip


def plain(split: str) -> Measure:
    """Return the measure of single questions, greedily, without a system prompt."""
    return Measure(split, split)


def warm() -> list[Measure]:
    """Return the measures at temperatures above 0."""
    return [Measure(f"temperature-{one}", temperature=one) for one in TEMPERATURES]


def systems(kind: str, prompts: Sequence[str], size: Size) -> list[Measure]:
    """Return the measures under the first system prompts of a kind."""
    return [Measure(f"{kind}-{i}", system=one) for i, one in enumerate(prompts[: size.systems], 1)]


def follow_ups(turns: int) -> list[Measure]:
    """Return the measures in a turn of a conversation, by what earlier answers carry."""
    order = (HistoryPolicy.KEEP, HistoryPolicy.SUMMARIES, HistoryPolicy.DROP)
    return [Measure(f"turn-{turns}-{one.value}", turns=turns, history=one) for one in order]


def measures(size: Size, trained: Sequence[str]) -> list[Measure]:
    """Return all measures.

    Args:
        size: how many there are.
        trained: system prompts of fine-tuning.
    """
    return [
        *map(plain, SPLITS),
        *warm(),
        *systems("trained", trained, size),
        *systems("unseen", UNSEEN, size),
        *(one for turns in size.turns for one in follow_ups(turns)),
    ]


def trained_systems() -> tuple[str, ...]:
    """Return the system prompts of fine-tuning."""
    from steiner.cli.train import load_toml
    from steiner.train.settings import SftSettings

    return load_toml(SftSettings, Path(__file__).with_name("sft.toml")).prompts.systems


class Spoken(NamedTuple):
    """What language steps are in. Counts add up."""

    steps: int = 0
    by_script: int = 0
    """Steps whose words are in the script of the question's language."""
    by_words: int = 0
    """Steps that say, field by field, nothing but Countdown's words of that language."""

    def __add__(self, other: object) -> Spoken:
        """Return the counts of both."""
        if not isinstance(other, Spoken):
            return NotImplemented
        return Spoken(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def share(self) -> float | None:
        """Return the share by the stricter count; None without steps."""
        return self.by_words / self.steps if self.steps else None


def spoken(steps: Sequence[Step], language: str) -> Spoken:
    """Count the steps that are in a language. A step without any words is not."""
    return Spoken(
        len(steps),
        sum(is_in_language(step, language) is True for step in steps),
        sum(in_words(step, language) for step in steps),
    )


def in_words(step: Step, language: str) -> bool:
    """Say whether a step is, word for word and whatever its numbers, one of that language.

    Name, summary and reflection have their words, the thought has none. Stricter than to look at the script:
    a step that falls apart is in no language.
    """
    words = words_of(language)
    return (
        _says(words.name, step.name)
        and not any(letter.isalpha() for letter in step.thought)
        and _says(words.summary, step.summary)
        and any(_says(form, step.reflection) for form in (words.go_on, words.dead_end, words.comparison))
    )


def _says(form: str, text: str) -> bool:
    return _pattern(form).fullmatch(text.strip()) is not None


@lru_cache(maxsize=16)
def _pattern(form: str) -> re.Pattern[str]:
    """Return what matches a form of words with any numbers in its places."""
    pieces = re.split(r"\{(\w+)\}", form)
    places = ("[0-9]+(?: [0-9]+)*" if name == "numbers" else "[0-9]+" for name in pieces[1::2])
    return re.compile("".join(f"{re.escape(a)}{b}" for a, b in zip(pieces[::2], [*places, ""], strict=True)))
