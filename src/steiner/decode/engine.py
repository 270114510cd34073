"""A local model behind the interface that evaluation asks for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from steiner.core import Progress, StepBudget
from steiner.decode.control import Mode
from steiner.decode.generate import Completion, answer_now, generate, generate_anytime
from steiner.decode.load import load_model
from steiner.protocol import ControlIds, ControlToken, Message, Parsed, encode_prompts
from steiner.protocol.prompt import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


AT_ONCE = 1024
"""Questions whose forks are in memory together."""


class Thought(NamedTuple):
    """What the model wrote for one question."""

    completion_ids: tuple[int, ...]
    """Token ids, end of text included."""
    parsed: Parsed
    reasoning_tokens: int
    """Tokens from START to END, both included; all of them if END is missing."""


class LocalEngine:
    """Answers questions with a model in this process."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        mode: Mode = Mode.STRICT,
        temperature: float = 0.0,
        seed: int = 0,
        system_prompt: str = "",
        max_answer_tokens: int = 64,
        batch_size: int = 64,
    ) -> None:
        """Wrap a model; `temperature` 0 takes the most likely token."""
        self._model = model
        self._tokenizer = tokenizer
        self._ids = ControlIds.from_tokenizer(tokenizer)
        self._mode = mode
        self._temperature = temperature
        self._seed = seed
        self._system_prompt = system_prompt
        self._max_answer_tokens = max_answer_tokens
        self._batch_size = batch_size

    @classmethod
    def load(cls, path: Path | str, **options: Any) -> LocalEngine:
        """Load a model folder or hub id, safetensors only; `options` are those of the constructor.

        Raises:
            InputError: if it cannot be loaded or lacks the control tokens.
        """
        model, tokenizer = load_model(path)
        return cls(model, tokenizer, **options)

    def generate(
        self,
        questions: Sequence[Prompt],
        budget: StepBudget,
        progress: Progress | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[Thought]:
        """Think within `budget` and answer, one completion per question.

        What is drawn for a question depends on nothing but the engine's seed and the question (`row_seeds`);
        `seeds` are others, one per question.
        """
        completions = generate(
            self._model,
            self._tokenizer,
            self._prompts(questions),
            budget,
            mode=self._mode,
            temperature=self._temperature,
            seeds=seeds or row_seeds(self._seed, questions),
            max_answer_tokens=self._max_answer_tokens,
            batch_size=self._batch_size,
            progress=progress,
        )
        return [self._thought(completion) for completion in completions]

    def anytime(
        self,
        questions: Sequence[Prompt],
        budget: StepBudget,
        limits: Sequence[int],
        progress: Progress | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Iterator[dict[int, Thought]]:
        """Think once within `budget`, and answer under each step limit what `generate` would under it.

        Yields:
            For each question: step limit → what was written. `AT_ONCE` questions are in memory together.

        Raises:
            InputError: as `steiner.decode.generate.generate_anytime`.
        """
        seeds = seeds or row_seeds(self._seed, questions)
        for begin in range(0, len(questions), AT_ONCE):
            part = slice(begin, begin + AT_ONCE)
            found = generate_anytime(
                self._model,
                self._tokenizer,
                self._prompts(questions[part]),
                budget,
                limits,
                mode=self._mode,
                temperature=self._temperature,
                seeds=seeds[part],
                max_answer_tokens=self._max_answer_tokens,
                batch_size=self._batch_size,
                progress=None if progress is None else _Part(progress, begin),
            )
            for every in found:
                yield {limit: self._thought(one) for limit, one in every.at.items()}

    def answer_after(
        self, questions: Sequence[Prompt], completions: Sequence[Sequence[int]], steps: int
    ) -> list[Thought]:
        """Answer from the first `steps` steps of each completion, as if it had been allowed no more.

        With temperature 0 this is what `generate` gives with `max_steps=steps`, at the price of the answer.
        """
        answered = answer_now(
            self._model,
            self._tokenizer,
            self._prompts(questions),
            [self._first_steps(ids, steps) for ids in completions],
            temperature=self._temperature,
            seeds=row_seeds(self._seed, questions),
            max_answer_tokens=self._max_answer_tokens,
            batch_size=self._batch_size,
        )
        return [self._thought(completion) for completion in answered]

    def _thought(self, completion: Completion) -> Thought:
        ids, end = completion.completion_ids, self._ids[ControlToken.END]
        tokens = ids.index(end) + 1 if end in ids else len(ids)
        return Thought(ids, completion.parsed, tokens)

    def _prompts(self, questions: Sequence[Prompt]) -> list[list[int]]:
        system = [Message(role="system", content=self._system_prompt)] if self._system_prompt else []
        asked = [(Message("user", one),) if isinstance(one, str) else one for one in questions]
        return [list(ids) for ids in encode_prompts(self._tokenizer, [[*system, *one] for one in asked])]

    def _first_steps(self, ids: Sequence[int], steps: int) -> Sequence[int]:
        """Return a completion up to its `steps`-th STEP_END."""
        step_end = self._ids[ControlToken.STEP_END]
        places = [place for place, token in enumerate(ids) if token == step_end]
        return ids[: places[steps - 1] + 1] if len(places) >= steps else ids


class _Part:
    """Progress of a part of the questions."""

    def __init__(self, progress: Progress, before: int) -> None:
        self._progress = progress
        self._before = before

    def start(self, title: str, total: float | None) -> None:
        """Leave it to whoever knows the whole."""

    def update(self, done: float, note: str = "") -> None:
        """Count on."""
        self._progress.update(self._before + done, note)

    def finish(self, note: str = "") -> None:
        """Leave it to whoever knows the whole."""


def row_seeds(seed: int, questions: Sequence[Prompt]) -> list[int]:
    """Return a seed for each question, in [0, 2^64): other ones where the same question comes again."""
    seen: Counter[str] = Counter()
    seeds = []
    for question in map(str, questions):
        text = f"{seed}:{seen[question]}:{question}".encode()
        seeds.append(int.from_bytes(hashlib.sha256(text).digest()[:8], "big"))
        seen[question] += 1
    return seeds
