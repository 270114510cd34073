"""Who writes the completions of an update: the model in training, or a vLLM server with its weights."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from steiner.core import InputError, SteinerError, StepBudget
from steiner.decode.control import Mode
from steiner.decode.generate import Completion, generate
from steiner.protocol import ControlIds, ControlToken, parse_ids
from steiner.protocol.grammar import least_reasoning_tokens
from steiner.train import processes
from steiner.train.rollout_server import Asked, Reply, RolloutServer, Served

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

    from steiner.train.settings import RlSettings

log = logging.getLogger("steiner.train")

LEAST_ROOM = 16
"""Fewest tokens of reasoning that a prompt must leave."""


class Batch(NamedTuple):
    """Completions that are to be written; all fields are parallel."""

    prompts: Sequence[tuple[int, ...]]
    """Token ids."""
    budgets: Sequence[StepBudget]
    seeds: Sequence[int]
    """In [0, 2^63)."""
    prefixes: Sequence[Sequence[int]] | None = None
    """Beginnings of the completions; None for empty ones."""


class Written(NamedTuple):
    """What an engine wrote, parallel to the batch."""

    completions: list[Completion]
    logprobs: list[tuple[float, ...]] | None = None
    """Of each token, by the engine's weights, before temperature and step control, in nats; None where the
    engine has the trainer's own."""


class RolloutEngine(Protocol):
    """Writes completions under strict step control."""

    needs_model: bool
    """Whether `write` needs the model with all its weights."""

    def update(self, trainer: Trainer) -> dict[str, float]:
        """Take the weights of the model in training, and return figures for the log.

        Every process has to call it before each `write`.
        """

    def write(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch: Batch) -> Written:
        """Write a batch."""

    def finish(self, trainer: Trainer) -> None:
        """Take the weights at the end of the training; every process has to call it."""


class LocalEngine:
    """The model in training writes, on every process its own share."""

    needs_model = True

    def __init__(self, settings: RlSettings) -> None:
        """Take limits and temperature."""
        self._settings = settings

    def update(self, trainer: Trainer) -> dict[str, float]:
        """Do nothing: the weights are the trainer's own."""
        return {}

    def write(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch: Batch) -> Written:
        """Write a batch with transformers."""
        s = self._settings
        completions = generate(
            model,
            tokenizer,
            batch.prompts,
            batch.budgets,
            mode=Mode.STRICT,
            temperature=s.temperature,
            seeds=batch.seeds,
            prefixes=batch.prefixes,
            max_answer_tokens=s.max_answer_tokens,
            batch_size=s.rollout_batch or s.prompts * s.group,
        )
        return Written(completions)

    def finish(self, trainer: Trainer) -> None:
        """Do nothing."""


class VllmEngine:
    """A vLLM server writes; weights reach it through a folder that both see."""

    needs_model = False

    def __init__(self, settings: RlSettings, server: RolloutServer, served: Served) -> None:
        """Take a server that `RolloutServer.check` has found good."""
        self._settings = settings
        self._server = server
        self._served = served
        self._folder = Path(settings.rollouts.weights or Path(settings.output) / "rollout-weights")

    def update(self, trainer: Trainer) -> dict[str, float]:
        """Send the weights; the first process does.

        Raises:
            InputError, StorageError: if they do not get there.
        """
        begun = time.monotonic()
        state = processes.whole_state(trainer)
        sent = processes.decide(lambda: self._send(trainer, state))
        return {"rollouts/weights_seconds": time.monotonic() - begun, "rollouts/weights_bytes": float(sent)}

    def finish(self, trainer: Trainer) -> None:
        """Send the weights of the finished model; a server that is gone by now is no failure."""
        state = processes.whole_state(trainer)
        processes.decide(lambda: self._hand_over(trainer, state))

    def _hand_over(self, trainer: Trainer, state: dict[str, Any] | None) -> None:
        try:
            self._send(trainer, state)
        except SteinerError as error:
            log.warning("The training is at its end, but the rollout server has not got the model: %s", error)

    def _send(self, trainer: Trainer, state: dict[str, Any] | None) -> int:
        from steiner.train.rollout_weights import untied, write_weights

        model = trainer.accelerator.unwrap_model(trainer.model)
        for left in self._folder.glob("after-*"):  # by a training that was killed
            shutil.rmtree(left, ignore_errors=True)
        folder = self._folder / f"after-{trainer.state.global_step}"
        try:
            precision = self._settings.optimiser.precision
            sent = write_weights(model, folder, precision, state, untie=untied())
            self._server.load(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # there may be more in it
                self._folder.rmdir()
        return sent

    def write(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch: Batch) -> Written:
        """Let the server write a batch; `model` is not used.

        Raises:
            InputError: if a prompt leaves no room, the server does not answer, or does not keep the limits.
            ValueError: for prefixes, which step control in vLLM does not know.
        """
        if batch.prefixes is not None:
            raise ValueError("a vLLM server begins completions at their beginning")
        s = self._settings
        asked = [
            ask(prompt, budget, seed, s.max_answer_tokens, self._served.max_model_len)
            for prompt, budget, seed in zip(batch.prompts, batch.budgets, batch.seeds, strict=True)
        ]
        replies = self._server.complete(self._served.name, asked, s.temperature, s.rollout_batch)
        ids = ControlIds.from_tokenizer(tokenizer)
        for reply, budget in zip(replies, batch.budgets, strict=True):
            check_kept(reply, budget, ids, s.rollouts.base_url)
        completions = [
            Completion(prompt, reply.completion_ids, parse_ids(tokenizer, reply.completion_ids, ids))
            for prompt, reply in zip(batch.prompts, replies, strict=True)
        ]
        return Written(completions, [reply.logprobs for reply in replies])


def ask(
    prompt_ids: Sequence[int], budget: StepBudget, seed: int, max_answer_tokens: int, context: int
) -> Asked:
    """Return a request with limits that leave room for the answer, as `steiner.decode.generate` chooses them.

    Args:
        prompt_ids: token ids.
        budget: limits of steps and of reasoning tokens.
        seed: of its draws.
        max_answer_tokens: longest answer, the end of text not counted.
        context: most tokens of prompt and completion together.

    Raises:
        InputError: if the prompt leaves no room.
    """
    reasoning = context - len(prompt_ids) - max_answer_tokens - 1
    if budget.max_reasoning_tokens is not None:
        reasoning = min(reasoning, budget.max_reasoning_tokens)
    least = max(least_reasoning_tokens(budget.min_steps), LEAST_ROOM)
    if reasoning < least:
        raise InputError(
            f"A prompt of {len(prompt_ids)} tokens leaves {max(reasoning, 0)} tokens for the reasoning where "
            f"the rollout server reads {context} and max_answer_tokens is {max_answer_tokens}, but {least} "
            "are needed. Start the server with a larger --max-model-len, or allow more max_reasoning_tokens."
        )
    limits: dict[str, int | str] = {
        "min_steps": budget.min_steps,
        "max_reasoning_tokens": reasoning,
        "max_answer_tokens": max_answer_tokens,
    }
    if budget.max_steps is not None:
        limits["max_steps"] = budget.max_steps
    return Asked(tuple(prompt_ids), limits, reasoning + max_answer_tokens + 1, seed)


def check_kept(reply: Reply, budget: StepBudget, ids: ControlIds, place: str) -> None:
    """Make sure that a server has kept the step limit and ended the completion.

    Raises:
        InputError: if not.
    """
    written = reply.completion_ids
    steps = written.count(ids[ControlToken.STEP_END])
    whole = bool(written) and written[0] == ids[ControlToken.START] and written[-1] == ids.eos
    within = budget.min_steps <= steps and (budget.max_steps is None or steps <= budget.max_steps)
    if not whole or not within or len(written) != len(reply.logprobs):
        raise InputError(
            f"The vLLM server at {place} does not keep step limits: it was to write {budget.min_steps} to "
            f"{budget.max_steps} steps and an answer, and wrote {steps} in {len(written)} tokens"
            f"{'' if whole else ', not from the beginning to the end'}. Look in its log whether step control "
            "was loaded, and start it as docs/training.md says."
        )
