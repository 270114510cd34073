"""From a completion's tokens to what a client is told, piece by piece and as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from steiner.core import Move
from steiner.decode import Mode
from steiner.protocol import (
    AnswerStarted,
    AnswerText,
    ControlIds,
    ControlToken,
    Event,
    FieldEnded,
    FieldText,
    MoveMade,
    Parsed,
    StepEnded,
    StepStarted,
    TokenStreamParser,
    ViolationFound,
)
from steiner.protocol.outline import SUMMARY_FIELDS, OutlineWriter
from steiner.serve.decoder import Decoder
from steiner.serve.engines.base import Finish, TokenChunk, TokenLogprob
from steiner.serve.settings import Display

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Json = dict[str, Any]


class Delta(NamedTuple):
    """What is new of a choice."""

    reasoning: str = ""
    content: str = ""
    events: tuple[Json, ...] = ()
    logprobs: tuple[Json, ...] = ()
    """Of the answer's tokens, in OpenAI's form."""

    def __bool__(self) -> bool:
        """Tell whether there is anything to send."""
        return bool(self.reasoning or self.content or self.events or self.logprobs)


class Spoken(NamedTuple):
    """A whole choice."""

    content: str
    reasoning: str
    parsed: Parsed
    ids: tuple[int, ...]
    logprobs: tuple[Json, ...]
    finish: Finish
    reasoning_tokens: int
    cached_tokens: int


class Speaker:
    """One choice of a reply."""

    def __init__(
        self,
        decoder: Decoder,
        ids: ControlIds,
        mode: Mode,
        display: Display,
        stop: Sequence[str] = (),
        with_events: bool = True,
    ) -> None:
        """Begin a choice. `stop` strings end the answer; they are not looked for in the reasoning."""
        self._decoder = decoder
        self._ids = ids
        self._end = ids[ControlToken.END]
        self._start = ids[ControlToken.START]
        self._mode = mode
        self._display = display
        self._parser = TokenStreamParser(cast("PreTrainedTokenizerBase", decoder), ids)
        self._outline = OutlineWriter(*([SUMMARY_FIELDS] if display is Display.SUMMARIES else []))
        self._stop = StopFinder(stop)
        self._with_events = with_events and display is not Display.HIDDEN
        self._plain: _PlainText | None = None
        self._answering = False
        self._move: Move | None = None
        self._written: list[int] = []
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._logprobs: list[Json] = []
        self._cached = 0
        self.reasoning_tokens = 0
        self.finish: Finish | None = None

    @property
    def tokens(self) -> int:
        """Tokens so far, the end of text included."""
        return len(self._written)

    def feed(self, chunk: TokenChunk) -> Delta:
        """Read more tokens; `finish` is set when nothing more is wanted."""
        if not self._written and chunk.ids and self._mode is Mode.OFF and chunk.ids[0] != self._start:
            self._plain, self._answering = _PlainText(self._decoder, self._ids.eos), True
        logprobs = self._count(chunk)
        self._cached = chunk.cached_tokens
        if self._plain is not None:
            delta = self._tell([], self._plain.feed(chunk.ids), logprobs)
        else:
            delta = self._tell(self._parser.feed(chunk.ids), "", logprobs)
        if chunk.finish and self.finish is None:
            self.finish = chunk.finish
        return delta

    def close(self, finish: Finish | None = None) -> Delta:
        """Say that nothing more comes; returns the rest."""
        self.finish = self.finish or finish or Finish.STOP
        rest = self._plain.finish() if self._plain is not None else ""
        delta = self._tell(self._parser.finish() if self._plain is None else [], rest, [])
        tail = self._stop.flush()
        if tail:
            self._content.append(tail)
        events = delta.events
        if self._with_events and self._plain is None:
            parsed = self._parser.parsed
            back = sum(move is Move.BACKTRACK for move in parsed.moves)
            last = {"type": "end", "complete": parsed.complete, "steps": len(parsed.steps)}
            events = (*events, {**last, "backtracks": back, "reasoning_tokens": self.reasoning_tokens})
        return Delta(delta.reasoning, delta.content + tail, events, delta.logprobs)

    def whole(self) -> Spoken:
        """Return all; for when `close` was called."""
        return Spoken(
            content="".join(self._content),
            reasoning="".join(self._reasoning),
            parsed=self._parser.parsed,
            ids=tuple(self._written),
            logprobs=tuple(self._logprobs),
            finish=self.finish or Finish.STOP,
            reasoning_tokens=self.reasoning_tokens,
            cached_tokens=self._cached,
        )

    def _count(self, chunk: TokenChunk) -> list[Json]:
        """Count the tokens; return the log-probabilities of those that belong to the answer."""
        self._written += chunk.ids
        logprobs: list[Json] = []
        if self._answering and not chunk.logprobs:
            return logprobs
        for place, number in enumerate(chunk.ids):
            if not self._answering:
                self.reasoning_tokens += 1
                self._answering = number == self._end
            elif chunk.logprobs and number != self._ids.eos:
                logprobs.append(self._logprob(number, chunk.logprobs[place]))
        return logprobs

    def _tell(self, events: list[Event], plain: str, logprobs: list[Json]) -> Delta:
        """Turn events into what is shown of them."""
        answer = "".join([event.text for event in events if type(event) is AnswerText]) + plain
        content = self._stop.feed(answer) if answer else ""
        if self._stop.found and self.finish is None:
            self.finish = Finish.STOP
        reasoning = "" if self._display is Display.HIDDEN else self._outline.write(events)
        shown: tuple[Json, ...] = ()
        if self._with_events:
            shown = tuple([item for event in events if (item := self._event(event)) is not None])
        if content:
            self._content.append(content)
        if reasoning:
            self._reasoning.append(reasoning)
        self._logprobs += logprobs
        return Delta(reasoning, content, shown, tuple(logprobs))

    def _event(self, event: Event) -> Json | None:
        kind = type(event)
        if isinstance(event, FieldText):
            if self._hides(event.field):
                return None
            return {"type": "text", "step": event.step, "field": event.field, "text": event.text}
        if isinstance(event, FieldEnded):
            if self._hides(event.field):
                return None
            return {"type": "field_end", "step": event.step, "field": event.field}
        if isinstance(event, StepStarted):
            move, self._move = (self._move or Move.PROCEED if event.step else None), None
            return {"type": "step", "step": event.step, "move": move}
        if isinstance(event, StepEnded):
            return {"type": "step_end", "step": event.step}
        if isinstance(event, MoveMade):
            self._move = event.move
            return {"type": "move", "move": event.move}
        if isinstance(event, ViolationFound):
            found = event.violation
            return {"type": "violation", "kind": found.kind, "message": found.message}
        return {"type": "answer"} if kind is AnswerStarted else None

    def _hides(self, field: str) -> bool:
        return self._display is Display.SUMMARIES and field not in SUMMARY_FIELDS

    def _logprob(self, number: int, found: TokenLogprob) -> Json:
        entry = self._token(number, found.logprob)
        entry["top_logprobs"] = [self._token(other, value) for other, value in found.top]
        return entry

    def _token(self, number: int, logprob: float) -> Json:
        raw = self._decoder.token_bytes(number)
        # JSON has no minus infinity; OpenAI writes -9999 too.
        return {"token": raw.decode("utf-8", "replace"), "logprob": max(logprob, -9999.0), "bytes": list(raw)}


class StopFinder:
    """Looks for stop strings in a text that comes in pieces; holds back what may begin one."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._longest = max(map(len, self._stop), default=0)
        self._held = ""
        self.found = False

    def feed(self, text: str) -> str:
        """Return what is certain to come before any stop string."""
        if not self._stop:
            return text
        if self.found:
            return ""
        text = self._held + text
        places = [place for one in self._stop if (place := text.find(one)) >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        cut = len(text)
        for size in range(min(self._longest - 1, len(text)), 0, -1):
            if any(one.startswith(text[-size:]) for one in self._stop):
                cut = len(text) - size
                break
        self._held = text[cut:]
        return text[:cut]

    def flush(self) -> str:
        """Return what was held back."""
        held, self._held = self._held, ""
        return held


class _PlainText:
    """Text of a completion without control tokens."""

    def __init__(self, decoder: Decoder, eos: int) -> None:
        self._decoder = decoder
        self._eos = eos
        self._prefix: list[int] = []
        self._pending: list[int] = []

    def feed(self, ids: Sequence[int]) -> str:
        self._pending += [number for number in ids if number != self._eos]
        return self._take(last=False)

    def finish(self) -> str:
        return self._take(last=True)

    def _take(self, last: bool) -> str:
        before = self._decoder.decode(self._prefix)
        text = self._decoder.decode(self._prefix + self._pending)[len(before) :]
        if text.endswith("\ufffd") and not last:
            return ""
        self._prefix, self._pending = self._pending or self._prefix, []
        return text
