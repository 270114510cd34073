"""What one request asks of step control, as it comes with an engine's request."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError, field_validator

from steiner.core import InputError, StepBudget
from steiner.decode.rules import Mode
from steiner.protocol.grammar import least_reasoning_tokens

ANSWER_ROOM = 256
"""Tokens kept for an answer without a limit of its own; a quarter of a small limit."""

_STRICT_ONLY = ("max_step_tokens", "backtrack_bias", "ban_repeats", "soft_end", "max_answer_tokens")
_LOOKS_LIKE = 0.85


class StepRequest(StepBudget):
    """The limits of one request, and how strictly they are kept."""

    control: Mode = Mode.STRICT
    max_answer_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of the answer, the end of text not counted. Strict mode only."""

    @field_validator("soft_end", mode="before")
    @classmethod
    def _read_soft_end(cls, value: Any) -> Any:
        """Take START,STOP,STEPS[,RAMP] too: some engines pass no objects on."""
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",")]
        if len(parts) not in (3, 4):
            raise ValueError("soft_end takes START,STOP,STEPS[,linear|exponential], for example '-4,6,12'")
        return dict(zip(("start", "stop", "steps", "ramp"), parts, strict=False))

    def check(self) -> None:
        """Make sure that the limits can be kept.

        Raises:
            InputError: if not even empty steps fit, or a limit does not work in this mode.
        """
        if self.control is not Mode.STRICT:
            given = [name for name in _STRICT_ONLY if getattr(self, name) not in (None, False, 0.0)]
            if given:
                raise InputError(f"{', '.join(given)} need control 'strict', not '{self.control}'")
            return
        least = least_reasoning_tokens(self.min_steps)
        if self.max_reasoning_tokens is not None and self.max_reasoning_tokens < least:
            raise InputError(
                f"{self.min_steps} steps need at least {least} reasoning tokens, but max_reasoning_tokens "
                f"is {self.max_reasoning_tokens}. Allow more tokens or ask for fewer steps."
            )

    def within(self, new_tokens: int | None) -> StepRequest:
        """Return the request with a limit of reasoning that leaves room for the answer.

        A completion of few tokens is left as it is: it will be cut, as any engine cuts it.

        Args:
            new_tokens: most tokens of the completion, end of text included; None for no limit.

        Raises:
            InputError: if more than one step is asked for and so many do not fit.
        """
        if new_tokens is None or self.control is not Mode.STRICT:
            return self
        answer = self.max_answer_tokens or min(ANSWER_ROOM, new_tokens // 4)
        reasoning = new_tokens - answer - 1
        least = least_reasoning_tokens(self.min_steps)
        if reasoning < max(least, 16):
            if self.min_steps > 1:
                raise InputError(
                    f"{self.min_steps} steps and an answer of {answer} tokens need at least "
                    f"{least + answer + 1} tokens, but {new_tokens} are left. Allow more tokens or ask for "
                    "fewer steps."
                )
            return self
        if self.max_reasoning_tokens is not None and self.max_reasoning_tokens <= reasoning:
            return self
        return self.model_copy(update={"max_reasoning_tokens": reasoning})


def read_request(
    values: Mapping[str, Any] | None, defaults: StepRequest | None = None, others: bool = True
) -> StepRequest:
    """Read what a client wrote among its extra arguments.

    Args:
        values: names and values; 0 and 1 stand for false and true.
        defaults: for what is not given.
        others: leave unknown names to others, unless they look like a misspelt one of ours.

    Raises:
        InputError: names what is wrong with which value.
    """
    defaults = defaults or StepRequest()
    known = StepRequest.model_fields
    given: dict[str, Any] = {}
    for name, value in (values or {}).items():
        if name in known:
            given[name] = value
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=_LOOKS_LIKE if others else 0.5)
        if near or not others:
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(known))}"
            raise InputError(f"unknown argument '{name}' ({hint})")
    if not given:
        return defaults
    base = defaults.model_dump()
    if given.get("control", defaults.control) != Mode.STRICT:
        base = {name: value for name, value in base.items() if name not in _STRICT_ONLY}
    try:
        request = StepRequest.model_validate({**base, **given})
    except ValidationError as error:
        raise InputError("; ".join(map(_complaint, error.errors()))) from error
    request.check()
    return request


def _complaint(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"])
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"'{place}': {message}" if place else message
