"""The grammar of a completion for engines that take grammars, with the least and most steps compiled in.

Such an engine then does what strict step control does, as far as a grammar can say it: the order of the
tokens, the number of steps, a nonempty answer. Token limits, biases and the ban on repeats are not in it.
All forms are read off the protocol's table.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

from steiner.core import InputError, StepBudget
from steiner.protocol import CONTROL_TOKENS, ControlIds, ControlToken
from steiner.protocol.grammar import STEP_SYMBOLS, TRANSITIONS, Other, State


class GrammarForm(StrEnum):
    """A language for grammars, and who reads it."""

    GBNF = "gbnf"
    """llama.cpp since December 2025, which can match a token by its name."""
    EBNF = "ebnf"
    """The same over characters: xgrammar, older llama.cpp. A control token that is spelled out passes too."""
    LARK = "lark"
    """llguidance."""
    STRUCTURAL = "structural"
    """xgrammar's structural tag (JSON), as vLLM and SGLang take it; for one tokenizer, by ids."""


_CHARACTERS = '[^<] | "<"+ [^<|]'
"""Text over characters: anything but «<|», with which every control token begins."""


def export_grammar(
    form: GrammarForm, min_steps: int = 1, max_steps: int | None = None, ids: ControlIds | None = None
) -> str:
    """Return the grammar of completions with `min_steps` to `max_steps` steps, without the end of text.

    Args:
        form: the language.
        min_steps: fewest steps.
        max_steps: most steps, None for any number.
        ids: the tokenizer's, for the structural form. The others name tokens and know what text is.

    Raises:
        ValidationError: if the limits contradict each other.
        InputError: if the structural form is asked for without `ids`.
    """
    StepBudget(min_steps=min_steps, max_steps=max_steps)
    further = (min_steps - 1, None if max_steps is None else max_steps - 1)
    if form is GrammarForm.LARK:
        return _lark(*further)
    if form is GrammarForm.STRUCTURAL:
        if ids is None:
            raise InputError("the structural form is made for one tokenizer; name the model with --model")
        return _structural(*further, ids)
    return _bnf(*further, by_name=form is GrammarForm.GBNF)


def _moves() -> list[ControlToken]:
    row = TRANSITIONS[State.DECIDE]
    return [token for token in CONTROL_TOKENS if row.get(token) is State.NEED_STEP]


def _bnf(least: int, most: int | None, by_name: bool) -> str:
    def token(one: ControlToken) -> str:
        return str(one) if by_name else f'"{one}"'

    step = " ".join("text" if one is Other.TEXT else token(ControlToken(one)) for one in STEP_SYMBOLS)
    moves = " | ".join(map(token, _moves()))
    return (
        f"root ::= {token(ControlToken.START)} step{_times(' (move step)', least, most)} "
        f"{token(ControlToken.END)} answer\n"
        f"move ::= {moves}\n"
        f"step ::= {step}\n"
        f'text ::= ({_CHARACTERS})* "<"*\n'
        f'answer ::= ({_CHARACTERS})+ "<"* | "<"+\n'
    )


def _lark(least: int, most: int | None) -> str:
    step = " ".join("TEXT?" if one is Other.TEXT else str(one) for one in STEP_SYMBOLS)
    return (
        f"start: {ControlToken.START} step{_times(' (move step)', least, most)} {ControlToken.END} TEXT\n"
        f"move: {' | '.join(_moves())}\n"
        f"step: {step}\n"
        "TEXT: /(?s:.+)/\n"
    )


def _times(what: str, least: int, most: int | None) -> str:
    if most == 0:
        return ""
    return what + ("*" if (least, most) == (0, None) else f"{{{least},{'' if most is None else most}}}")


def _structural(least: int, most: int | None, ids: ControlIds) -> str:
    # Ids and not names: xgrammar 0.2.8 does not look names up inside a repeat.
    def token(one: ControlToken) -> dict[str, Any]:
        return {"type": "token", "token": ids[one]}

    no_text = sorted({*ids.control, *ids.special})
    text = {"type": "any_tokens", "exclude_tokens": no_text}
    step = _sequence(text if one is Other.TEXT else token(ControlToken(one)) for one in STEP_SYMBOLS)
    elements = [token(ControlToken.START), step]
    if most != 0:
        move = {"type": "or", "elements": [token(one) for one in _moves()]}
        again = {"type": "repeat", "min": least, "max": -1 if most is None else most}
        elements.append({**again, "content": _sequence((move, step))})
    answer = ({"type": "exclude_token", "exclude_tokens": no_text}, text)
    form = _sequence((*elements, token(ControlToken.END), *answer))
    return json.dumps({"type": "structural_tag", "format": form}, indent=1)


def _sequence(elements: Any) -> dict[str, Any]:
    return {"type": "sequence", "elements": list(elements)}
