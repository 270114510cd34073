"""What step-level reward costs: an update of `train_rl` against TRL's GRPOTrainer with the same rollouts.

    python benchmarks/rl.py --model runs/quickstart/sft/model --run runs/quickstart [--threads 1]

Both write the same completions with our decoding (same prompts, step limits and seeds; the learning rate is
so small that the weights stay what they are) and update with TRL's loss. TRL's side has one outcome reward,
which grades the answer. Ours also finds each step in its question's graph, rewards it (`dag` and `progress`),
gives each token its advantage and feeds the monitor. Each way runs in a process of its own, in turn, with few
and with many updates; the difference is the cost of an update, loading left out. As that difference is small
and machines are noisy, ours also adds up the CPU time of just those parts.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

STILL = 1e-12
"""Learning rate that changes no weight."""


def settings_of(given: argparse.Namespace, updates: int, output: str) -> Any:
    """Return the settings of both ways."""
    from steiner.train.rewards import DagReward, OutcomeReward, ProgressReward
    from steiner.train.settings import ModelSettings, OptimiserSettings, RlSettings

    optimiser = OptimiserSettings(
        learning_rate=STILL,
        batch_size=given.batch,
        schedule="constant",
        warmup_share=0,
        save_every=1_000_000,
    )
    return RlSettings(
        output=output,
        model=ModelSettings(path=given.model),
        run=given.run,
        steps=updates,
        prompts=given.prompts,
        group=given.group,
        min_steps=4,
        max_steps=24,
        max_reasoning_tokens=720,
        rewards=(OutcomeReward(), DagReward(weight=0.5), ProgressReward(weight=0.5)),
        optimiser=optimiser,
    )


def run_ours(settings: Any) -> tuple[float, float]:
    """Train with step-level reward; return CPU seconds, loading included, and those of its own parts."""
    from steiner.cli.common import is_right, reader_for
    from steiner.train import rl, rollout

    own = [0.0]

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            begin = time.process_time()
            try:
                return call(*arguments, **named)
            finally:
                own[0] += time.process_time() - begin

        return wrapped

    writer: Any = rollout.RolloutWriter
    writer._judge, writer._values = timed(writer._judge), timed(writer._values)
    rl.group_lesson, rl.batch_figures = timed(rl.group_lesson), timed(rl.batch_figures)
    begin = time.process_time()
    rl.train_rl(settings, is_right, reader_for("countdown"))
    return time.process_time() - begin, own[0]


def run_trl(settings: Any) -> tuple[float, float]:
    """Train with GRPOTrainer as it is, on the same rollouts; return CPU seconds, loading included, and 0."""
    import datasets
    from trl import GRPOConfig, GRPOTrainer

    from steiner.cli.common import is_right
    from steiner.core import Problem, StepBudget
    from steiner.decode.control import Mode
    from steiner.decode.generate import generate
    from steiner.protocol import Message, encode_prompt
    from steiner.store import RunDir
    from steiner.train.graphs import problem_of
    from steiner.train.model import load_model, load_tokenizer
    from steiner.train.optimiser import make_optimiser
    from steiner.train.stage import trainer_arguments

    begin = time.process_time()
    tokenizer = load_tokenizer(settings.model)
    with RunDir(settings.run, read_only=True) as run:
        records = [r for r in run.journal.records("graphs") if r.body != b"null"]
        random.Random(f"{settings.seed}:rl-problems").shuffle(records)
        asked: list[Problem] = [problem_of(run, r) for r in records[: settings.steps * settings.prompts]]
    model = load_model(settings.model, tokenizer, settings.seed, settings.optimiser.precision)
    written: list[Any] = []

    def rollout(prompts: list[str], trainer: Any) -> dict[str, Any]:
        budgets, seeds = [], []
        for number in map(int, prompts[:: settings.group]):
            rng = random.Random(f"{settings.seed}:rollout:{number}")
            limit = rng.randint(settings.min_steps, settings.max_steps)
            most = settings.max_reasoning_tokens
            budgets += [StepBudget(max_steps=limit, max_reasoning_tokens=most)] * settings.group
            seeds += [rng.getrandbits(63) for _ in range(settings.group)]
        ids = [
            encode_prompt(
                tokenizer, [Message(role="user", content=asked[int(p) % len(asked)].blind().prompt)]
            )
            for p in prompts
        ]
        written[:] = generate(
            trainer.model, tokenizer, ids, budgets, mode=Mode.STRICT, temperature=settings.temperature,
            seeds=seeds, max_answer_tokens=settings.max_answer_tokens, batch_size=len(prompts),
        )  # fmt: skip
        return {
            "prompt_ids": [list(one.prompt_ids) for one in written],
            "completion_ids": [list(one.completion_ids) for one in written],
            "logprobs": None,
        }

    def outcome(prompts: list[str], **_: Any) -> list[float]:
        return [
            float(is_right(asked[int(p) % len(asked)], one.parsed.answer))
            for p, one in zip(prompts, written, strict=True)
        ]

    accumulation = settings.prompts * settings.group // settings.optimiser.batch_size
    arguments = trainer_arguments(settings, settings.optimiser, settings.steps)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[outcome],
        rollout_func=rollout,
        args=GRPOConfig(
            **{**arguments, "gradient_accumulation_steps": accumulation, "logging_steps": 1},
            num_generations=settings.group,
            steps_per_generation=accumulation,
            temperature=settings.temperature,
            beta=settings.beta,
            loss_type=settings.loss,
            max_completion_length=settings.max_reasoning_tokens,
            remove_unused_columns=False,
            shuffle_dataset=False,
        ),
        train_dataset=datasets.Dataset.from_dict(
            {"prompt": [str(n) for n in range(settings.steps * settings.prompts)]}
        ),
        processing_class=tokenizer,
        optimizers=(make_optimiser(model, settings.optimiser), None),
    )
    trainer.train()
    return time.process_time() - begin, 0.0


def apart(way: str, updates: int) -> tuple[float, float]:
    """Run one way in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--one", way, str(updates), f"{folder}/out", *sys.argv[1:]]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, own = json.loads(done.stdout.strip().splitlines()[-1])
    return float(seconds), float(own)


def main() -> None:
    """Print CPU seconds of an update of each way, and what step-level reward adds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="fine-tuned model folder")
    parser.add_argument("--run", required=True, help="run directory with step graphs of Countdown")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--few", type=int, default=2)
    parser.add_argument("--many", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        import torch

        torch.set_num_threads(given.threads)
        way, updates, output = given.one
        settings = settings_of(given, int(updates), output)
        print(json.dumps((run_ours if way == "ours" else run_trl)(settings)))
        return
    found: dict[str, list[float]] = {"trl": [], "ours": []}
    shares: list[float] = []
    for _ in range(given.rounds):
        for way, costs in found.items():
            few, many = apart(way, given.few), apart(way, given.many)
            costs.append((many[0] - few[0]) / (given.many - given.few))
            print(f"{way}: {costs[-1]:.2f} CPU s an update", flush=True)
            if way == "ours":
                shares.append(many[1] / given.many / (costs[-1] - many[1] / given.many))
    ratios = sorted(ours / trl for ours, trl in zip(found["ours"], found["trl"], strict=True))
    print(
        f"TRL's GRPOTrainer {statistics.median(found['trl']):.2f} CPU s an update, ours "
        f"{statistics.median(found['ours']):.2f}; ours / TRL {statistics.median(ratios):.3f} "
        f"({ratios[0]:.3f}–{ratios[-1]:.3f}); steps, rewards, advantages and monitor add "
        f"{100 * statistics.median(shares):.1f}% to the rest of an update"
    )


if __name__ == "__main__":
    main()
