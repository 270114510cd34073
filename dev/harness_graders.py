"""Our grader, that of lm-evaluation-harness, and the authors' own labels on published GSM8K completions.

    python dev/harness_graders.py gsm8k/example_model_solutions.jsonl --lm-eval-python .lm-eval/bin/python

The file of openai/grade-school-math holds four solutions of each test question (Cobbe et al. 2021).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from harness_comparison import ask_theirs

from steiner.core import Grading, Problem
from steiner.problems import grade

MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
SHOWN = 6


def main() -> None:
    """Grade all, count the patterns of verdicts, and show some where graders differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("solutions", type=Path)
    parser.add_argument("--lm-eval-python", type=Path, required=True)
    given = parser.parse_args()
    rows = [json.loads(line) for line in given.solutions.read_text().splitlines()]
    pairs: list[tuple[Problem, dict[str, Any]]] = [
        (_problem(row), row[model]) for model in MODELS for row in rows
    ]
    problems = [problem for problem, _ in pairs]
    texts = [found["solution"] for _, found in pairs]
    order = argparse.Namespace(benchmark="gsm8k", max_tokens=1, lm_eval_python=given.lm_eval_python)
    theirs = ask_theirs(order, problems, replies=texts)
    verdicts = {
        "authors": [bool(found["is_correct"]) for _, found in pairs],
        "ours": [grade(problem, text).right for problem, text in zip(problems, texts, strict=True)],
        **theirs.right,
    }
    patterns = Counter(zip(*verdicts.values(), strict=True))
    lines = [f"| {' | '.join(verdicts)} | completions |", "|" + "---|" * len(verdicts) + "--:|"]
    for pattern, count in patterns.most_common():
        lines.append(f"| {' | '.join('right' if one else 'wrong' for one in pattern)} | {count:,} |")
    lines += [f"{name}: {sum(found):,} of {len(found):,}" for name, found in verdicts.items()]
    differ = [
        place
        for place, both in enumerate(zip(verdicts["authors"], verdicts["ours"], strict=True))
        if len({*both}) > 1
    ]
    for place in differ[:SHOWN]:
        lines.append(f"--- authors {verdicts['authors'][place]}, wanted {problems[place].answer}:")
        lines.append(texts[place][-200:])
    sys.stdout.write("\n".join(lines) + "\n")


def _problem(row: dict[str, Any]) -> Problem:
    answer = row["ground_truth"].rpartition("A:")[2].strip()
    return Problem(question=row["question"], answer=answer, grading=Grading.NUMERIC)


if __name__ == "__main__":
    main()
