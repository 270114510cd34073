"""What the whole curve of accuracy against steps costs when it is forked from one completion a problem.

    python benchmarks/anytime.py [--model runs/quickstart/rl/model --run runs/quickstart] [--n 128]

One thread; every step up to `--steps` is a limit. Four ways, in turns: a single run under the largest limit;
forks over its keys and values (what `steiner evaluate` and `steiner curve --anytime` do); the same answers
with each prefix read again; a run of its own under each limit. «tokens computed» are positions that went
through the model, padding included. Without --model an untrained one of the quickstart's size is used, whose
steps and answers are cut to the lengths of the quickstart's.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from servers import save_model

from steiner.core import StepBudget
from steiner.decode.engine import LocalEngine, Thought
from steiner.evaluate.anytime import Engine, by_question

Curve = dict[int, list[Thought]]


class Cost(NamedTuple):
    """What one way came to."""

    computed: int
    cpu: float
    curve: Curve


class Counter:
    """Counts the positions that go through a model."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.positions = 0
        model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.positions += (kwargs.get("input_ids") if "input_ids" in kwargs else args[0]).numel()


class Reader:
    """The same engine without forks: each prefix is read again."""

    def __init__(self, engine: LocalEngine) -> None:
        self.generate = engine.generate
        self.answer_after = engine.answer_after


def questions_of(run: Path | None, n: int) -> list[str]:
    """Return the first so many questions of a run, or made-up ones."""
    if run is None:
        return [f"Make {i % 90 + 10} from {i % 9 + 1} 5 {i % 7 + 1} ({i})." for i in range(n)]
    from steiner.cli.evaluate import read_problems

    return [problem.blind().prompt for problem in read_problems(run, None, n)[0]]


def ways(
    engine: LocalEngine, questions: Sequence[str], budget: StepBudget, limits: Sequence[int]
) -> dict[str, Callable[[], Curve]]:
    """Return what makes each row of the table."""
    largest = limits[-1]

    def apart() -> Curve:
        return {
            limit: engine.generate(questions, budget.model_copy(update={"max_steps": limit}))
            for limit in limits
        }

    def once(asked: Engine) -> Curve:
        found = list(by_question(asked, questions, budget, limits))
        return {limit: [one[limit] for one in found] for limit in limits}  # type: ignore[misc]

    return {
        "one run, largest limit": lambda: {largest: engine.generate(questions, budget)},
        "curve, forked": lambda: once(engine),
        "curve, prefixes read again": lambda: once(Reader(engine)),
        "curve, separate runs": apart,
    }


def measure(make: Callable[[], Curve], counter: Counter) -> Cost:
    """Run one way once."""
    counter.positions = 0
    begin = time.process_time()
    curve = make()
    return Cost(counter.positions, time.process_time() - begin, curve)


def same(one: Curve, other: Curve) -> tuple[int, int]:
    """Return how many completions are equal, token by token, and how many there are."""
    pairs = [(a.completion_ids, b.completion_ids) for k in one for a, b in zip(one[k], other[k], strict=True)]
    return sum(a == b for a, b in pairs), len(pairs)


def report(found: dict[str, list[Cost]], limits: Sequence[int]) -> None:
    """Print the table."""
    single = found["one run, largest limit"]
    whole = single[0].curve[limits[-1]]
    forked = found["curve, forked"][0].curve
    answers = [len(t.completion_ids) - t.reasoning_tokens for row in forked.values() for t in row]
    steps = [len(t.parsed.steps) for t in whole]
    written = sum(len(t.completion_ids) for t in whole)
    print(
        f"{len(whole)} problems, {limits[-1]} limits; {written / len(whole):.0f} tokens, "
        f"{sum(steps) / len(steps):.1f} steps a completion, {sum(answers) / len(answers):.1f} an answer"
    )
    print(
        f"{'':28} {'tokens computed':>16} {'×':>6} {'CPU s':>8} {'×':>6} {'pairs ×':>18}  equal to separate"
    )
    apart = found["curve, separate runs"][0].curve
    for name, costs in found.items():
        least = min(cost.cpu for cost in costs)
        base = min(cost.cpu for cost in single)
        pairs = sorted(b.cpu / a.cpu for a, b in zip(single, costs, strict=False))
        equal, count = same(costs[0].curve, apart)
        print(
            f"{name:28} {costs[0].computed:16,} {costs[0].computed / single[0].computed:6.2f} "
            f"{least:8.2f} {least / base:6.2f} {pairs[0]:8.2f} … {pairs[-1]:6.2f}  {equal:,} of {count:,}"
        )


def main() -> None:
    """Print one line per way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--run", type=Path, help="run directory with the problems")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--skip-slow", action="store_true", help="separate runs once only")
    for name, value in (("n", 128), ("steps", 24), ("rounds", 3), ("batch-size", 64)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as place:
        model = given.model or save_model(Path(place) / "model", hidden=128, layers=4)
        engine = LocalEngine.load(
            model, temperature=given.temperature, batch_size=given.batch_size,
            max_answer_tokens=64 if given.model else 12,
        )  # fmt: skip
    counter = Counter(engine._model)
    budget = StepBudget(
        max_steps=given.steps, max_reasoning_tokens=None if given.model else 32 * given.steps,
        max_step_tokens=None if given.model else 32,
    )  # fmt: skip
    limits = list(range(1, given.steps + 1))
    made = ways(engine, questions_of(given.run, given.n), budget, limits)
    engine.generate(questions_of(given.run, 4), budget)
    found: dict[str, list[Cost]] = {name: [] for name in made}
    for turn in range(given.rounds):
        for name, make in made.items():
            if turn and "separate" in name and given.skip_slow:
                continue
            found[name].append(measure(make, counter))
    report(found, limits)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
