"""How big a quickstart is, and the settings of each of its stages."""

from __future__ import annotations

from pathlib import Path

from steiner.core import Settings
from steiner.graph.settings import BranchOrder, SampleSettings
from steiner.problems.countdown import CountdownSettings
from steiner.synthesis import SynthesisSettings
from steiner.train.rewards import DagReward, OutcomeReward
from steiner.train.settings import (
    Architecture,
    CptSettings,
    ModelSettings,
    OptimiserSettings,
    RlSettings,
    SftSettings,
)


class Plan(Settings):
    """Everything that decides what a quickstart does. The defaults take about 15 core-minutes."""

    seed: int = 0
    problems: int = 4000
    """Training problems, at most; the space of small Countdown problems is finite."""
    heldout: int = 500
    """Problems with number sets that training never sees."""
    untrained: int = 32
    """How many of them the untrained model is tried on: it is slow, and always wrong."""
    pretrained: int = 100
    """How many of them the model is tried on after CPT: it seldom ends by itself, so it is slow too."""
    high: int = 20
    """Numbers are drawn from 1 to this."""
    max_result: int = 30
    """Largest target and intermediate result; each number up to it is one token."""
    truncations: int = 48
    cpt_tokens: int = 800_000
    sft_tokens: int = 2_600_000
    rl_updates: int = 5
    rl_prompts: int = 8
    rl_group: int = 8
    limits: tuple[int, ...] = (2, 4, 8, 12, 16, 24, 32)
    """Step limits of the evaluation: from the minimum that a problem needs to the final one."""
    step_tokens: int = 30
    """Upper bound of the tokens of one step, for the token limit of an untrained model."""
    architecture: Architecture = Architecture(kv_heads=2)

    @classmethod
    def for_minutes(cls, minutes: float, seed: int) -> Plan:
        """Return a plan whose training takes about `minutes` on two cores."""
        default = cls()
        # Data and evaluation take about two minutes whatever the training; the rest grows with the time.
        training = max((minutes - 2.0) / 8.0, 0.02)
        return cls(
            seed=seed,
            cpt_tokens=max(20_000, round(default.cpt_tokens * training)),
            sft_tokens=max(40_000, round(default.sft_tokens * training)),
            rl_updates=max(1, round(default.rl_updates * training)),
            heldout=default.heldout if minutes >= 5 else 100,
            problems=default.problems if minutes >= 5 else 400,
        )


def problem_settings(plan: Plan) -> CountdownSettings:
    """Three small numbers: deep enough that guessing fails, small enough for a million parameters."""
    return CountdownSettings(
        count=3,
        low=1,
        high=plan.high,
        target_low=10,
        target_high=plan.max_result,
        max_result=plan.max_result,
        heldout_target_share=0.0,
        heldout_input_share=0.1,
        seed=plan.seed,
    )


def synthesis_settings(plan: Plan) -> SynthesisSettings:
    """Early cuts and a teacher that strays far: the traces of a question take nearly every step there is."""
    return SynthesisSettings(
        seed=plan.seed, truncations=plan.truncations, cut="early", max_attempt_steps=16, temperature=5.0
    )


def sample_settings(plan: Plan) -> SampleSettings:
    """One path per question, which takes every step, pair by pair, to the first right answer.

    Nothing in such a path is left to chance, so that a small model can learn all of it; leaving branches out
    at random costs accuracy (dev/LOG.md). The traces themselves, whose teacher tries branches in an order of
    its own, only make the graphs.
    """
    return SampleSettings(
        paths_per_question=1,
        seed=plan.seed,
        detours=(),
        order=BranchOrder.OPERANDS,
        revisit=True,
        include_traces=False,
    )


def cpt_settings(plan: Plan, run: Path) -> CptSettings:
    """Facts of arithmetic and reasoning paths, from random weights."""
    return CptSettings(
        output=str(run / "cpt"),
        model=ModelSettings(architecture=plan.architecture, tokenizer=str(run / "tokenizer")),
        dataset=str(run / "dataset"),
        text=(str(run / "arithmetic.txt"), str(run / "ways.txt")),
        text_share=0.7,
        tokens=plan.cpt_tokens,
        max_steps=plan.limits[-1],
        context=plan.architecture.context,
        packing=False,
        text_block=256,
        optimiser=_optimiser("constant", 0.05),
        seed=plan.seed,
    )


def sft_settings(plan: Plan, run: Path) -> SftSettings:
    """The paths, loss on the completion only."""
    return SftSettings(
        output=str(run / "sft"),
        model=ModelSettings(path=str(run / "cpt" / "model")),
        dataset=str(run / "dataset"),
        tokens=plan.sft_tokens,
        max_steps=plan.limits[-1],
        context=plan.architecture.context,
        packing=False,
        optimiser=_optimiser("linear", 0.02),
        seed=plan.seed,
    )


def rl_settings(plan: Plan, run: Path) -> RlSettings:
    """Outcome and step-level reward under random step limits."""
    return RlSettings(
        output=str(run / "rl"),
        model=ModelSettings(path=str(run / "sft" / "model")),
        run=str(run),
        steps=plan.rl_updates,
        prompts=plan.rl_prompts,
        group=plan.rl_group,
        min_steps=plan.limits[-1] // 3,
        max_steps=plan.limits[-1],
        max_reasoning_tokens=max_reasoning_tokens(plan),
        max_answer_tokens=24,
        rewards=(OutcomeReward(), DagReward(weight=0.2)),
        optimiser=OptimiserSettings(
            learning_rate=2e-5,
            batch_size=plan.rl_prompts * plan.rl_group,
            schedule="constant",
            warmup_share=0.1,
            max_grad_norm=0.5,
            save_every=10,
        ),
        seed=plan.seed,
    )


def max_reasoning_tokens(plan: Plan) -> int:
    """Return a token limit that no trained model reaches within the step limit."""
    return plan.limits[-1] * plan.step_tokens


def _optimiser(schedule: str, warmup: float) -> OptimiserSettings:
    return OptimiserSettings.model_validate(
        {
            "algorithm": "muon",
            "learning_rate": 2e-3,
            "matrix_learning_rate": 0.02,
            "batch_size": 8,
            "schedule": schedule,
            "warmup_share": warmup,
            "weight_decay": 0.1,
            "beta2": 0.98,
            "save_every": 400,
        }
    )
