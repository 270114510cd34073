"""A model in this process."""

from __future__ import annotations

from collections.abc import Sequence

from steiner.cli.chat.exchange import Exchange, Show, messages_of
from steiner.cli.chat.options import ChatOptions
from steiner.core import StepBudget
from steiner.decode.generate import generate
from steiner.decode.load import load_model
from steiner.protocol import ControlIds, ControlToken, TokenStreamParser, encode_prompt
from steiner.protocol.history import carry_history
from steiner.serve.settings import EFFORTS
from steiner.serve.settings import Effort as ServedEffort


class LocalModel:
    """Answers with a model of transformers."""

    def __init__(self, place: str) -> None:
        """Load the model.

        Raises:
            InputError: if it cannot be loaded.
        """
        self.name = place
        self._model, self._tokenizer = load_model(place)
        self._ids = ControlIds.from_tokenizer(self._tokenizer)

    def answer(
        self, earlier: Sequence[Exchange], question: str, options: ChatOptions, show: Show
    ) -> Exchange:
        """Think and answer, telling `show` each event as its token is written."""
        parser = TokenStreamParser(self._tokenizer, self._ids)

        def watch(tokens: Sequence[int]) -> None:
            for event in parser.feed(tokens):
                show(event)

        messages = carry_history(messages_of(earlier, question, options), options.history)
        (completion,) = generate(
            self._model,
            self._tokenizer,
            [encode_prompt(self._tokenizer, messages)],
            limits_of(options),
            temperature=options.temperature,
            seed=None if options.seed is None else options.seed + len(earlier),
            max_answer_tokens=options.max_answer_tokens,
            batch_size=1,
            watch=watch,
        )
        for event in parser.finish():
            show(event)
        written = completion.completion_ids
        end = self._ids[ControlToken.END]
        tokens = written.index(end) + 1 if end in written else len(written)
        return Exchange(question, completion.parsed, tokens)


def limits_of(options: ChatOptions) -> StepBudget:
    """Return the limits, an effort as the range of steps that it stands for by default."""
    if options.effort is None:
        return options.budget
    effort = EFFORTS[ServedEffort(options.effort.value)]
    tokens = [effort.max_reasoning_tokens, options.budget.max_reasoning_tokens]
    return options.budget.model_copy(
        update={
            "min_steps": effort.min_steps,
            "max_steps": effort.max_steps,
            "max_reasoning_tokens": min((limit for limit in tokens if limit), default=None),
        }
    )
