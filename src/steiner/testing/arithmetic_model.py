"""A model that reasons, errs and repairs as a pure function of the request."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any, Literal

import orjson
from pydantic import Field

from steiner.core import Settings
from steiner.testing.arithmetic import Chain, find_chain
from steiner.testing.arithmetic_text import Language, StepText, missing, notice, step_text, told
from steiner.testing.models import Completion, texts
from steiner.testing.prompt_reader import Asked, ShownStep, read_request, route

Plan = Literal["right", "wrong", "unfinished"]

Share = Field(default=0.0, ge=0, le=1)


class ArithmeticModel(Settings):
    """Answers the draft, attempt and resolve calls for the questions of `arithmetic_problems`.

    Drafts are right. Attempts are right, wrong or unfinished by the rates below, and some find a slip of
    their own and go back. Resolve names the first wrong step on the way to the end and goes on rightly. The
    same request always gets the same reply; requests that differ in anything get draws of their own.
    """

    kind: Literal["arithmetic"] = "arithmetic"
    seed: int = 0
    error_rate: float = Field(default=0.4, ge=0, le=1)
    """Share of attempts that make a slip and end with a wrong answer."""
    unfinished_rate: float = Field(default=0.1, ge=0, le=1)
    """Share of attempts that stop before the end. Those with a single operation left cannot, and slip."""
    self_correction_rate: float = Field(default=0.1, ge=0, le=1)
    """Share of the other attempts that make a slip, find it in the next step and go back."""
    told_share: float = Share
    """Share of replies that give away that the answer was known, which a teacher must reject."""
    wrong_language_share: float = Share
    """Share of replies in Chinese instead of English and the other way round."""

    def complete(self, body: Mapping[str, Any]) -> Completion:
        """Answer one of the three calls; anything else gets the result in a sentence, or an excuse."""
        # Whether a client streams must not change what it is told.
        same = {key: value for key, value in body.items() if key not in ("stream", "stream_options")}
        key = orjson.dumps(same, option=orjson.OPT_SORT_KEYS)
        rng = random.Random(b"%d:" % self.seed + key)
        asked = read_request(body)
        if asked is None:
            return _plain(body)
        misbehaves = rng.random()
        tells = misbehaves < self.told_share
        if self.told_share <= misbehaves < self.told_share + self.wrong_language_share:
            asked = asked._replace(language="en" if asked.language == "zh" else "zh")
        match asked.call:
            case "draft":
                reply = self._draft(asked, rng)
            case "attempt":
                reply = self._attempt(asked, rng)
            case "resolve":
                reply = self._resolve(asked, rng)
        if tells:
            reply["steps"][-1]["reflection"] += told(_language(asked))
        return Completion(_wrapped(reply, asked, rng), f"Let me see: {asked.chain}.")

    def _draft(self, asked: Asked, rng: random.Random) -> dict[str, Any]:
        return _reply(_right_steps(asked, rng, 0, asked.chain.start), asked)

    def _attempt(self, asked: Asked, rng: random.Random) -> dict[str, Any]:
        chain = asked.chain
        done, value = _position(route(asked.shown), chain)
        left = len(chain.operations) - done
        plan = self._plan(rng, left)
        slips = plan == "wrong" or (left > 0 and rng.random() < self.self_correction_rate)
        slip_at = done + rng.randrange(left) if slips and left else None
        stop = done + rng.randrange(1, left) if plan == "unfinished" else len(chain.operations)
        number = asked.shown[-1].number if asked.shown else 0
        steps: list[StepText] = []
        for index in range(done, stop):
            operation, last = chain.operations[index], index == len(chain.operations) - 1
            after = operation.apply(value)
            if index == slip_at:
                wrong = after + rng.choice((1, 2, 10, 100))
                slip = step_text(rng, _language(asked), index + 1, value, operation, wrong, last=last)
                steps.append(slip)
                if plan == "wrong":
                    value = wrong
                    continue
                slip["reflection"] = notice(_language(asked), index + 1)
                before = number + len(steps) - 1
                steps.append(
                    step_text(
                        rng, _language(asked), index + 1, value, operation, after, last=last, back_to=before
                    )
                )
            else:
                steps.append(step_text(rng, _language(asked), index + 1, value, operation, after, last=last))
            value = after
        return _reply(steps, asked, str(value) if stop == len(chain.operations) else "")

    def _plan(self, rng: random.Random, left: int) -> Plan:
        draw = rng.random()
        if draw < self.error_rate and left:
            return "wrong"
        if draw < self.error_rate + self.unfinished_rate and left:
            return "unfinished" if left > 1 else "wrong"
        return "right"

    def _resolve(self, asked: Asked, rng: random.Random) -> dict[str, Any]:
        chain, way, language = asked.chain, route(asked.shown), _language(asked)
        wrong = next((step for step in way if not _fits(step, chain)), None)
        if wrong is None and (asked.answered or len(way) >= len(chain.operations)) and way:
            # Every step holds and the answer was not taken: the last one is done again.
            wrong = way[-1]
        if wrong is None:
            done, value = _position(way, chain)
            steps = _right_steps(asked, rng, done, value)
            return {"wrong_step": None, "reflection": missing(language)} | _reply(steps, asked)
        done = wrong.ordinal - 1
        steps = _right_steps(asked, rng, done, chain.values[done])
        return {"wrong_step": wrong.number, "reflection": notice(language, wrong.ordinal)} | _reply(
            steps, asked
        )


def _right_steps(asked: Asked, rng: random.Random, done: int, value: int) -> list[StepText]:
    """Write the operations from the `done`-th on, without a slip."""
    steps = []
    for index, operation in enumerate(asked.chain.operations[done:], start=done):
        after = operation.apply(value)
        last = index == len(asked.chain.operations) - 1
        steps.append(step_text(rng, _language(asked), index + 1, value, operation, after, last=last))
        value = after
    return steps


def _reply(steps: list[StepText], asked: Asked, answer: str | None = None) -> dict[str, Any]:
    """Return steps and answer, within the number of steps that may be written.

    Args:
        steps: as many as there are.
        asked: names the limit and the chain.
        answer: what comes out of the steps, None for what the chain comes to.
    """
    said = str(asked.chain.values[-1]) if answer is None else answer
    if len(steps) > asked.max_steps:
        return {"steps": steps[: asked.max_steps], "answer": ""}
    return {"steps": steps, "answer": said}


def _position(way: list[ShownStep], chain: Chain) -> tuple[int, int]:
    """Return how many operations are done, and the value that the last of them is said to have given."""
    if not way:
        return 0, chain.start
    return min(way[-1].ordinal, len(chain.operations)), way[-1].after


def _fits(step: ShownStep, chain: Chain) -> bool:
    """Say whether a step does its operation of the chain, on the right value, rightly."""
    if not 1 <= step.ordinal <= len(chain.operations):
        return False
    return step.holds and step.before == chain.values[step.ordinal - 1]


def _language(asked: Asked) -> Language:
    return "zh" if asked.language == "zh" else "en"


def _wrapped(reply: dict[str, Any], asked: Asked, rng: random.Random) -> str:
    """Return the reply as text: bare JSON where it was asked for, else as models tend to write it."""
    text = orjson.dumps(reply).decode()
    if asked.structured:
        return text
    pretty = json.dumps(reply, indent=2, ensure_ascii=False)
    return rng.choice((text, f"```json\n{pretty}\n```", f"Here is my reasoning.\n\n```json\n{text}\n```\n"))


def _plain(body: Mapping[str, Any]) -> Completion:
    spoken = texts(body)
    chain = find_chain(spoken[-1][1]) if spoken else None
    if chain is None:
        return Completion("I can only work out chains of operations such as 17 + 25 * 3, from left to right.")
    return Completion(f"From left to right, {chain} = {chain.values[-1]}.")
