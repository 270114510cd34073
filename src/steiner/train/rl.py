"""RL with step-level reward: TRL's GRPO with an advantage per token."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainingArguments
from trl import GRPOConfig, GRPOTrainer

from steiner.core import InputError, Problem, Progress, digest
from steiner.graph.cluster import ClusterSettings
from steiner.protocol import ControlIds, Message, encode_prompt
from steiner.store import RunDir
from steiner.train.graphs import graphs_digest, problem_of
from steiner.train.locate_steps import StepReader
from steiner.train.lora import copy_rows_to_reference, rows_in_place
from steiner.train.model import load_model, load_tokenizer
from steiner.train.monitor import Written, update_figures
from steiner.train.monitor.figures import SAMPLING_GAP
from steiner.train.optimiser import make_optimiser
from steiner.train.processes import decide, total, whole_model, world_size
from steiner.train.rollout import (
    IsRight,
    Lesson,
    RlProblem,
    Rollout,
    RolloutWriter,
    group_lesson,
    local_share,
)
from steiner.train.rollout_engine import LocalEngine, RolloutEngine, VllmEngine
from steiner.train.rollout_gap import logprob_gap
from steiner.train.rollout_server import RolloutServer
from steiner.train.settings import DifficultySettings, RlSettings
from steiner.train.stage import (
    StageFolder,
    TrainingRecord,
    Watch,
    run_trainer,
    stage_inputs,
    trainer_arguments,
)

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase
    from transformers.trainer_callback import TrainerControl, TrainerState


class StepRewardTrainer(GRPOTrainer):  # type: ignore[misc]  # TRL has no types
    """GRPO whose advantages have shape (B, T): TRL takes them as they are.

    Only the advantages are replaced, and groups that teach nothing leave the loss. Sampling goes through
    TRL's `rollout_func`, figures and the logged reward through a reward function; loss, clipping and KL are
    TRL's.
    """

    def __init__(self, *, collector: _Collector, **arguments: Any) -> None:
        """Take the arguments of `GRPOTrainer`; `collector` provides rollouts and advantages."""
        self._collector = collector
        # TRL warns that `rollout_func` may change; the version is pinned, and here is where it would show.
        os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
        super().__init__(rollout_func=collector.rollout, reward_funcs=[collector.right], **arguments)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        ids = output["completion_ids"]
        advantages, kept = self._collector.advantages(ids.shape[1])
        output["advantages"] = advantages.to(ids.device)
        output["tool_mask"] = output["tool_mask"] * kept.to(ids.device)[:, None]
        # What leaves the loss leaves the number of tokens that it is divided by, too.
        counted = (output["completion_mask"] * output["tool_mask"]).sum()
        output["num_items_in_batch"] = self.accelerator.gather(counted).sum()
        return output


class _Collector:
    """Stands between TRL's trainer and our rollouts, and keeps the last batch of them."""

    def __init__(
        self, settings: RlSettings, writer: RolloutWriter, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        self._settings = settings
        self._writer = writer
        self._tokenizer = tokenizer
        self._ids = ControlIds.from_tokenizer(tokenizer)
        self._rollouts: list[Rollout] = []
        self._lessons: list[Lesson] = []
        self._figures: dict[str, float] = {}
        """Of the engine that wrote the last batch."""
        self._tokens = 0

    @property
    def tokens(self) -> int:
        """Tokens written so far, those of extra rollouts included."""
        return self._tokens + self._writer.extra_tokens

    def rollout(self, prompts: list[str], trainer: GRPOTrainer) -> dict[str, Any]:
        """Write one completion per prompt; a prompt is its number in the training."""
        size = self._settings.group
        self._figures = self._writer.engine.update(trainer)
        with ExitStack() as stack:
            model = trainer.accelerator.unwrap_model(trainer.model)
            if self._writer.needs_model:
                model = stack.enter_context(whole_model(trainer))
                stack.enter_context(rows_in_place(model))
            self._rollouts = self._writer.write(model, self._tokenizer, [int(prompt) for prompt in prompts])
        if self._rollouts[0].logprobs is not None:
            self._figures[SAMPLING_GAP] = logprob_gap(model, self._rollouts[:size])
        self._lessons = [
            group_lesson(self._rollouts[begin : begin + size], self._settings, self._ids)
            for begin in range(0, len(self._rollouts), size)
        ]
        self._tokens += sum(len(r.completion.completion_ids) for r in self._rollouts)
        return {
            "prompt_ids": [list(r.completion.prompt_ids) for r in self._rollouts],
            "completion_ids": [list(r.completion.completion_ids) for r in self._rollouts],
            "logprobs": None,
            # TRL keeps tokens out of the loss where this is 0, as it does with what tools return.
            "env_mask": [r.chosen.astype(int).tolist() for r in self._rollouts],
        }

    def right(
        self,
        prompts: Sequence[str],
        completions: Sequence[Any],
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float]:
        """Reward 1 for a right answer, 0 otherwise; and log the figures of the batch."""
        figures = batch_figures(self._rollouts, self._lessons, self._settings)
        for name, value in (figures | self._figures).items():
            log_metric(name, value)
        return [float(rollout.right) for rollout in self._rollouts]

    def advantages(self, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the advantages of the last batch and which completions stay in the loss.

        Shapes (B, `width`), zero where a completion has ended, and (B,).
        """
        rows = [advantages_T for lesson in self._lessons for advantages_T in lesson.advantages]
        padded = torch.zeros(len(rows), width)
        for row, advantages_T in enumerate(rows):
            padded[row, : len(advantages_T)] = torch.from_numpy(advantages_T)
        kept = [int(not lesson.masked) for lesson in self._lessons for _ in lesson.advantages]
        return padded, torch.tensor(kept)


def batch_figures(
    rollouts: Sequence[Rollout], lessons: Sequence[Lesson], settings: RlSettings
) -> dict[str, float]:
    """Return means over a batch of completions, for the log and the monitor."""
    written = []
    for place, r in enumerate(rollouts):
        earned = r.earned_in_all(settings)
        parsed = r.completion.parsed
        written.append(
            Written(
                group=r.group,
                reward=sum(earned.steps) + (earned.end or 0.0) + (earned.whole or 0.0),
                right=r.right,
                well_formed=parsed.complete,
                truncated=r.truncated,
                signal=not lessons[place // settings.group].flat,
                max_steps=r.budget.max_steps,
                steps=parsed.steps,
                moves=parsed.moves,
                repeated=[step.repeated for step in r.steps],
            )
        )
    figures = update_figures(written).logged()
    figures["search/masked"] = float(np.mean([lesson.masked for lesson in lessons]))
    steps = [step for r in rollouts for step in r.steps]
    if steps:
        rewards = [reward for r in rollouts for reward in r.earned_in_all(settings).steps]
        figures |= {
            "search/step_reward": float(np.mean(rewards)),
            "search/sound": float(np.mean([step.sound for step in steps])),
            "search/new": float(np.mean([step.facts is None for step in steps])),
            "search/backtracks": sum(step.backtracks for step in steps) / len(rollouts),
        }
    return figures


def train_rl(
    settings: RlSettings,
    is_right: IsRight,
    reader: StepReader | None,
    *,
    solved: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    force: bool = False,
) -> TrainingRecord:
    """Train with GRPO on the problems of a run.

    Args:
        settings: everything that decides the outcome.
        is_right: grades an answer.
        reader: reads steps into the exact states of the run's task; None if it has none. Then, and where a
            graph was not made from states, steps are found by the rules that clustered the graph.
        solved: share of right completions of a problem, by its id; what `settings.difficulty` chooses by.
        progress: is told how far the work is.
        force: discard an earlier training of other settings in the same folder.

    Raises:
        InputError, ResumeError: see `steiner.core.errors`; the message says what to do.
    """
    more = {} if solved is None else {"solved": digest(sorted(solved.items()))}
    with RunDir(settings.run, read_only=True) as run:
        inputs = stage_inputs(settings, graphs=graphs_digest(run), **more)
        with StageFolder("rl", settings, inputs, force=force) as folder:
            if folder.is_complete:
                return folder.record()
            tokenizer = load_tokenizer(settings.model)
            problems = _problems(run, settings, tokenizer, solved)
            engine = _engine(settings, tokenizer)
            writer = RolloutWriter(settings, problems, is_right, reader, _clustering(run), engine)
            return _fit(folder, settings, len(problems), tokenizer, writer, progress)


def _engine(settings: RlSettings, tokenizer: PreTrainedTokenizerBase) -> RolloutEngine:
    """Return what writes completions.

    Raises:
        InputError: if it is a server that is not fit for it.
    """
    if settings.rollouts.is_local:
        return LocalEngine(settings)
    server = RolloutServer(settings.rollouts)
    return VllmEngine(settings, server, decide(lambda: server.check(tokenizer)))


class _AtEnd(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Lets the engine have the last weights."""

    def __init__(self, engine: RolloutEngine, trainer: GRPOTrainer) -> None:
        self._engine = engine
        self._trainer = trainer

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._engine.finish(self._trainer)


def _fit(
    folder: StageFolder,
    settings: RlSettings,
    problems: int,
    tokenizer: PreTrainedTokenizerBase,
    writer: RolloutWriter,
    progress: Progress | None,
) -> TrainingRecord:
    model = load_model(settings.model, tokenizer, settings.seed, settings.optimiser.precision)
    collector = _Collector(settings, writer, tokenizer)
    watch = Watch("rl", progress)
    accumulation = _accumulation(settings)
    # Completions are not in a checkpoint, so one is written only where all updates on a batch are done.
    arguments = trainer_arguments(
        settings, settings.optimiser, settings.steps, whole_steps=settings.iterations
    )
    trainer = StepRewardTrainer(
        collector=collector,
        model=model,
        args=GRPOConfig(
            # The monitor judges every update where they are not too many to keep.
            **{
                **arguments,
                "gradient_accumulation_steps": accumulation,
                "logging_steps": max(1, settings.steps // 1000),
            },
            num_generations=settings.group,
            steps_per_generation=accumulation,
            num_iterations=settings.iterations,
            temperature=settings.temperature,
            beta=settings.beta,
            epsilon=settings.epsilon,
            epsilon_high=settings.epsilon_high,
            loss_type=settings.loss,
            max_completion_length=settings.max_reasoning_tokens or 4096,
            remove_unused_columns=False,
            shuffle_dataset=False,
        ),
        train_dataset=_prompts(settings),
        processing_class=tokenizer,
        callbacks=[watch],
        optimizers=(make_optimiser(model, settings.optimiser), None),
    )
    copy_rows_to_reference(trainer.model)
    trainer.add_callback(_AtEnd(writer.engine, trainer))
    return run_trainer(folder, trainer, watch, tokenizer, tokens=lambda: total(collector.tokens))


def _accumulation(settings: RlSettings) -> int:
    """Return the micro-batches of one update on each process.

    Raises:
        InputError: if the completions of an update cannot be divided so.
    """
    batch = settings.prompts * settings.group
    share = local_share(batch, settings.group, world_size())
    size = settings.optimiser.batch_size
    if share % size:
        of = f" ({share} on each of {world_size()} processes)" if share < batch else ""
        raise InputError(
            f"prompts × group = {batch} completions per update{of} must be a multiple of the optimiser's "
            f"batch_size {size}."
        )
    return share // size


def _problems(
    run: RunDir,
    settings: RlSettings,
    tokenizer: PreTrainedTokenizerBase,
    solved: Mapping[str, float] | None = None,
) -> list[RlProblem]:
    """Read the problems that one training needs, each with its graph."""
    wanted = settings.steps * settings.prompts
    records = [r for r in run.journal.records("graphs") if r.body != b"null"]
    random.Random(f"{settings.seed}:rl-problems").shuffle(records)
    chosen = []
    for record in records:
        problem = problem_of(run, record)
        if not _is_fit(problem, settings.difficulty, solved):
            continue
        prompt = encode_prompt(tokenizer, [Message(role="user", content=problem.blind().prompt)])
        chosen.append(RlProblem(problem, tuple(prompt), record.body))
        if len(chosen) == wanted:
            break
    if chosen:
        return chosen
    if records and (difficulty := settings.difficulty):
        raise InputError(
            f"No problem of {run.path} that has a step graph was solved in {difficulty.least:.0%} to "
            f"{difficulty.most:.0%} of the completions in {difficulty.evaluation}: was it made on this run, "
            "with --samples and a temperature?"
        )
    raise InputError(f"{run.path} has no problem with a step graph: run `steiner graph` first.")


def _is_fit(
    problem: Problem, difficulty: DifficultySettings | None, solved: Mapping[str, float] | None
) -> bool:
    """Say whether a problem is neither too easy nor too hard; one that nobody tried is not fit."""
    if difficulty is None:
        return True
    if solved is None:
        raise TypeError("The settings have [difficulty]: hand over what was solved.")
    share = solved.get(problem.id)
    return share is not None and difficulty.least <= share <= difficulty.most


def _clustering(run: RunDir) -> ClusterSettings:
    """Return how the graphs of a run were clustered: new steps are compared in the same way."""
    stage = run.journal.stage("graphs")
    return ClusterSettings.model_validate((stage.settings if stage else {}).get("text", {}))


def _prompts(settings: RlSettings) -> Dataset:
    """Return one row per prompt of the whole training: its number, as text."""
    import datasets

    numbers = [str(number) for number in range(settings.steps * settings.prompts)]
    return datasets.Dataset.from_dict({"prompt": numbers})
