"""Reasoning and answer apart, in vLLM's own server.

    vllm serve MODEL --reasoning-parser steiner

Where the reasoning ends is read from token ids, never from what the text spells. What is shown of it has the
form of `steiner.protocol.outline`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

from vllm.entrypoints.generate.base.protocol import DeltaMessage
from vllm.reasoning import ReasoningParser

from steiner.protocol import (
    AnswerText,
    ControlIds,
    ControlToken,
    Event,
    StreamParser,
    TokenStreamParser,
)
from steiner.protocol.outline import OutlineWriter


class _Meta(type(ReasoningParser)):  # type: ignore[misc]
    """Gives the parser the token ids of whole completions, of which vLLM hands it the text alone.

    vLLM makes a class per server, `class _Parser(DelegatingParser): reasoning_parser_cls = OURS`; its `parse`
    gets the ids. Python tells a value of a class body where it is put, so OURS can have a look at them. If
    vLLM composes its parsers otherwise one day, whole completions are read from their text.
    """

    def __set_name__(cls, owner: Any, name: str) -> None:
        parse = getattr(owner, "parse", None)
        if name == "reasoning_parser_cls" and parse is not None:
            owner.parse = _with_ids(parse)


def _with_ids(parse: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(parse)
    def parse_with_ids(self: Any, *args: Any, **kwargs: Any) -> Any:
        parser = self.reasoning_parser
        parser.completion_ids = kwargs.get("model_output_token_ids", args[3] if len(args) > 3 else ())
        try:
            return parse(self, *args, **kwargs)
        finally:
            parser.completion_ids = ()

    return parse_with_ids


class SteinerReasoningParser(ReasoningParser, metaclass=_Meta):  # type: ignore[misc]
    """Reads the completions of one request."""

    def __init__(self, tokenizer: Any, *args: Any, **kwargs: Any) -> None:
        """Read the ids of a tokenizer.

        Raises:
            InputError: if it lacks control tokens.
        """
        super().__init__(tokenizer, *args, **kwargs)
        self._ids = ControlIds.from_tokenizer(tokenizer)
        self._start = self._ids[ControlToken.START]
        self._end = self._ids[ControlToken.END]
        self.completion_ids: Sequence[int] = ()
        """Of the completion that is being read as a whole."""
        self._stream = TokenStreamParser(tokenizer, self._ids)
        self._outline = OutlineWriter()
        self._seen = 0

    @property
    def reasoning_start_str(self) -> str:
        """The text of START."""
        return str(ControlToken.START)

    @property
    def reasoning_end_str(self) -> str:
        """The text of END."""
        return str(ControlToken.END)

    def adjust_request(self, request: Any) -> Any:
        """Ask for the text of control tokens too, without which no text comes for some tokens."""
        request.skip_special_tokens = False
        return request

    def is_reasoning_end(self, input_ids: Sequence[int]) -> bool:
        """Tell whether the last turn has come to its END; an earlier turn's does not count."""
        ids = self._ids
        last = len(input_ids)
        while last and input_ids[last - 1] == ids.eos:
            last -= 1
        for place in range(last - 1, -1, -1):
            number = input_ids[place]
            if number == self._end:
                return True
            if ids.token(number) is not None or number in ids.special:
                return False
        return False

    def is_reasoning_end_streaming(self, input_ids: Sequence[int], delta_ids: Iterable[int]) -> bool:
        """Tell whether END is among the new tokens."""
        return self._end in delta_ids

    def extract_content_ids(self, input_ids: list[int]) -> list[int]:
        """Return the tokens after the last END; none if there is no END."""
        for place in range(len(input_ids) - 1, -1, -1):
            if input_ids[place] == self._end:
                return input_ids[place + 1 :]
        return []

    def count_reasoning_tokens(self, token_ids: Sequence[int]) -> int:
        """Count from START to END, both included; to the end where END is missing."""
        ids = list(token_ids)
        if not ids or ids[0] != self._start:
            return 0
        return ids.index(self._end) + 1 if self._end in ids else len(ids)

    def extract_reasoning(self, model_output: str, request: Any) -> tuple[str | None, str | None]:
        """Return reasoning and answer of a whole completion; None for what is missing."""
        if self.completion_ids:
            if self.completion_ids[0] != self._start:
                return None, model_output or None
            parser: TokenStreamParser | StreamParser = TokenStreamParser(self.model_tokenizer, self._ids)
            events = parser.feed(self.completion_ids) if isinstance(parser, TokenStreamParser) else []
        else:
            if not model_output.startswith(str(ControlToken.START)):
                return None, model_output or None
            parser = StreamParser()
            events = parser.feed(model_output)
        events += parser.finish()
        return OutlineWriter().write(events).strip("\n") or None, _answer(events) or None

    def extract_reasoning_streaming(
        self,
        previous_text: str,
        current_text: str,
        delta_text: str,
        previous_token_ids: Sequence[int],
        current_token_ids: Sequence[int],
        delta_token_ids: Sequence[int],
    ) -> DeltaMessage | None:
        """Return what is new of reasoning and answer; None if that is nothing."""
        if current_token_ids and current_token_ids[0] != self._start:
            return DeltaMessage(content=delta_text) if delta_text else None
        if self._seen != len(previous_token_ids):  # another stream than before
            self._stream, self._outline = TokenStreamParser(self.model_tokenizer, self._ids), OutlineWriter()
            self._outline.write(self._stream.feed(previous_token_ids))
        events = self._stream.feed(delta_token_ids)
        self._seen = len(previous_token_ids) + len(delta_token_ids)
        reasoning, content = self._outline.write(events), _answer(events)
        if not reasoning and not content:
            return None
        return DeltaMessage(reasoning=reasoning or None, content=content or None)


def _answer(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, AnswerText))
