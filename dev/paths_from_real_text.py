"""Print ten sampled paths of a run as Markdown: drawn by a fixed seed, not picked, one question each.

python dev/paths_from_real_text.py RUN [--seed 0] > paths.md

Questions of the run only; never use it on a benchmark whose questions must not be published.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from pydantic import TypeAdapter

from steiner.core import Move, Problem, ReasoningPath
from steiner.store import RunDir

PATHS = TypeAdapter(list[ReasoningPath])


def shown(number: int, problem: Problem, path: ReasoningPath) -> list[str]:
    """Return one path in Markdown."""
    lines = [f"## {number}. {problem.source}", "", f"**Question** {problem.question}", ""]
    lines += [f"- ({letter}) {choice}" for letter, choice in zip("ABCDEFGHIJ", problem.choices, strict=False)]
    lines += ["", f"Key: {problem.answer}", ""]
    for index, step in enumerate(path.steps):
        if not index:
            move = "START"
        elif path.moves[index - 1] is Move.PROCEED:
            move = "PROCEED"
        else:
            parent = path.parents[index]
            move = f"BACKTRACK → {'question' if parent < 0 else f'step {parent + 1}'}"
        lines += [
            f"`{move}` **{index + 1}. {step.name}**",
            f": thought: {' '.join(step.thought.split())}",
            f": summary: {' '.join(step.summary.split())}",
            f": reflection: {' '.join(step.reflection.split())}",
            "",
        ]
    return [*lines, f"`END` {path.answer}", ""]


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    kept: list[tuple[float, str, ReasoningPath]] = []
    with RunDir(options.run, read_only=True) as run:
        for record in run.journal.records("paths"):
            paths = PATHS.validate_json(record.body)
            if paths:
                kept.append((rng.random(), record.key, rng.choice(paths)))
                kept = sorted(kept, key=lambda item: item[0])[: options.count]
        for number, (_, key, path) in enumerate(kept, 1):
            body = run.journal.get("problems", key)
            assert body is not None
            problem = Problem.model_validate_json(body.body)
            sys.stdout.write("\n".join(shown(number, problem, path)) + "\n")


if __name__ == "__main__":
    main()
