"""A trained model on Countdown through our engine, and through our server by inspect-ai's own client.

    python dev/harness_countdown.py runs/quickstart/sft/model --limit 200 --output runs/harness-countdown

The problems have the size that the quickstart trains on (three numbers to 20, results to 30), both halves of
the protocol. Greedy, the same limits; the second way is that of `inspect eval steiner/countdown --model
openai-api/local/NAME`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import servers  # noqa: E402
from inspect_ai import Task  # noqa: E402
from inspect_ai import eval as inspect_eval  # noqa: E402
from inspect_ai.log import EvalLog, read_eval_log  # noqa: E402
from inspect_ai.model import GenerateConfig  # noqa: E402

from steiner.cli.eval.local import LocalAsker  # noqa: E402
from steiner.core import StepBudget  # noqa: E402
from steiner.evaluate.benchmarks import DataOptions, find_benchmark, load_benchmark, read_reply  # noqa: E402
from steiner.evaluate.compare import paired_result  # noqa: E402
from steiner.evaluate.inspect_provider import hand_in  # noqa: E402
from steiner.evaluate.inspect_run import limits_of, read_run, run_task  # noqa: E402
from steiner.evaluate.inspect_task import generation, make_task  # noqa: E402
from steiner.problems.countdown import CountdownSettings  # noqa: E402

SIZE = CountdownSettings(count=3, low=1, high=20, target_low=10, target_high=30, max_result=30)


def by_engine(model: Path, task: Task, config: GenerateConfig, folder: Path) -> EvalLog:
    """Answer in this process, as `steiner eval MODEL` does."""
    asker = LocalAsker.load(str(model), 64)
    try:
        run = run_task(task, hand_in(str(model), asker), config, folder, at_once=64)
    finally:
        asker.close()
    return read_eval_log(run.log)


def by_server(model: Path, task: Task, config: GenerateConfig, folder: Path) -> EvalLog:
    """Answer by `steiner serve` and inspect-ai's own provider of OpenAI-compatible endpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    with servers.steiner(model, folder, 1, "--name", "trained") as server:
        os.environ |= {"LOCAL_BASE_URL": f"{server.address}/v1", "LOCAL_API_KEY": "none"}
        settings: dict[str, Any] = config.model_dump(exclude_none=True)
        (log,) = inspect_eval(
            task,
            model="openai-api/local/trained",
            log_dir=str(folder),
            display="none",
            max_connections=64,
            **settings,
        )
    return log


def answers(log: EvalLog) -> dict[str, str]:
    """Return the answer to each question, without the reasoning."""
    return {
        str(sample.metadata["problem_id"]): read_reply(sample.output.completion).answer.strip()
        for sample in log.samples or []
    }


def main() -> None:
    """Ask both ways and print what differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--max-steps", type=int, default=24)
    parser.add_argument("--output", type=Path, default=Path("runs/harness-countdown"))
    given = parser.parse_args()
    loaded = load_benchmark(find_benchmark("countdown"), DataOptions(limit=given.limit, countdown=SIZE))
    config = generation(
        temperature=0.0, max_tokens=1200, limits=limits_of(StepBudget(max_steps=given.max_steps))
    )
    logs = [
        by_engine(given.model, make_task(loaded), config, given.output / "engine"),
        by_server(given.model, make_task(loaded), config, given.output / "server"),
    ]
    runs = [read_run(log) for log in logs]
    right = [{sample.problem_id: sample.right for sample in run.samples} for run in runs]
    steps = [{sample.problem_id: (sample.steps, sample.backtracks) for sample in run.samples} for run in runs]
    both = [problem.id for problem in loaded.problems if all(problem.id in found for found in right)]
    arrays = [np.array([found[name] for name in both], dtype=float) for found in right]
    found = paired_result(arrays[1], arrays[0])
    said = [answers(log) for log in logs]
    lines = [
        f"{name}: {sum(found.values())} of {len(found)} right; {run.counts}"
        for name, found, run in zip(("engine", "server"), right, runs, strict=True)
    ]
    lines += [
        f"same answer: {sum(said[0][n] == said[1][n] for n in both)} of {len(both)}",
        f"same steps and backtracks: {sum(steps[0][n] == steps[1][n] for n in both)} of {len(both)}",
        f"gained {found.gained}, lost {found.lost}, McNemar p = {found.mcnemar_p:.2g}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
