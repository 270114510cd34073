"""The same model, questions and settings through `steiner eval` and through lm-evaluation-harness.

    python dev/harness_comparison.py --benchmark gsm8k --data gsm8k/test.jsonl --limit 200 \
        --lm-eval-python .lm-eval/bin/python --output runs/harness
    python dev/harness_comparison.py --benchmark gpqa-diamond --data gpqa_diamond.zip \
        --lm-eval-python .lm-eval/bin/python --output runs/harness

Starts vLLM with SmolLM2-135M-Instruct (`make vllm-env`), or uses `--address`. Each harness asks and grades
for itself; then each grader gets the other's completions, so that a difference is either of completions or
of grading. `--repeats 2` asks ours twice: that is the noise. Of GPQA neither text nor completions are stored;
both stay in the memory of this process and of the other harness's.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from vllm_server import MODEL, vllm_server  # noqa: E402

from steiner.core import Problem  # noqa: E402
from steiner.evaluate import saved  # noqa: E402
from steiner.evaluate.benchmarks import DataOptions, find_benchmark, load_benchmark, read_reply  # noqa: E402
from steiner.evaluate.compare import paired_result  # noqa: E402
from steiner.problems import grade  # noqa: E402
from steiner.problems.choice import chosen_letter  # noqa: E402

TEMPLATE = "Question: {question}\nAnswer:"
"""The words of the other harness for GSM8K."""
HIDDEN = "gpqa-diamond"


class Theirs(NamedTuple):
    """What the other harness found, by question."""

    asked: list[str]
    replies: list[str]
    read: dict[str, list[str]]
    """By filter."""
    right: dict[str, list[bool]]


def ask_ours(given: argparse.Namespace, address: str, run: Path) -> None:
    """Run our command."""
    words = [] if given.benchmark == HIDDEN else ["--template", TEMPLATE]
    limit = ["--limit", str(given.limit)] if given.limit else []
    command = [
        *(sys.executable, "-m", "steiner.cli.main", "eval", f"{address}/v1", "--model", MODEL),
        *("--benchmark", given.benchmark, "--data", given.data, "--max-tokens", str(given.max_tokens)),
        *("--concurrency", str(given.at_once), "--run", str(run), *words, *limit),
    ]
    subprocess.run(command, check=True)


def our_verdicts(
    given: argparse.Namespace, run: Path, problems: list[Problem]
) -> tuple[list[bool], list[str]]:
    """Return what was right, and the completions (none of hidden questions)."""
    from inspect_ai.log import read_eval_log

    folder = run / "benchmarks" / given.benchmark
    found = {sample.problem_id: sample.right for sample in saved.load(folder / "evaluation.json").samples}
    right = [found[problem.id] for problem in problems]
    if given.benchmark == HIDDEN:
        return right, []
    (path,) = folder.glob("*.eval")
    texts = {s.metadata["problem_id"]: s.output.completion for s in read_eval_log(str(path)).samples or []}
    return right, [texts[problem.id] for problem in problems]


def ask_theirs(given: argparse.Namespace, problems: list[Problem], **more: Any) -> Theirs:
    """Run the other harness in its own environment; questions and replies go through pipes."""
    if given.benchmark == HIDDEN:
        docs = [
            {"prompt": p.blind().prompt, "choices": list(p.choices), "answer": f"({p.answer})"}
            for p in problems
        ]
    else:
        docs = [{"question": p.question, "answer": f"#### {p.answer}"} for p in problems]
    order = {
        "benchmark": given.benchmark,
        "docs": docs,
        "model": MODEL,
        "max_tokens": given.max_tokens,
    } | more
    command = [str(given.lm_eval_python), str(ROOT / "dev" / "harness_lm_eval.py")]
    done = subprocess.run(
        command, input=json.dumps(order), text=True, stdout=subprocess.PIPE, check=True,
        stderr=subprocess.DEVNULL if given.benchmark == HIDDEN else None,
    )  # fmt: skip
    samples = sorted(json.loads(done.stdout), key=lambda sample: sample["question"])
    filters = list(dict.fromkeys(sample["filter"] for sample in samples))
    by_filter = {name: [s for s in samples if s["filter"] == name] for name in filters}
    first = by_filter[filters[0]]
    return Theirs(
        asked=[_user_text(sample["asked"]) for sample in first],
        replies=[sample["reply"] or "" for sample in first],
        read={name: [s["read"][0] for s in found] for name, found in by_filter.items()},
        right={name: [bool(s["right"]) for s in found] for name, found in by_filter.items()},
    )


def _user_text(asked: Any) -> str:
    text = asked[0] if isinstance(asked, list) else asked
    try:
        return str(json.loads(text)[-1]["content"])
    except (ValueError, TypeError, KeyError, IndexError):
        return str(text)


def pair(name: str, a: list[bool], b: list[bool]) -> str:
    """Return a line of the table of differences: the first minus the second."""
    found = paired_result(np.array(b, dtype=float), np.array(a, dtype=float))
    points, low, high = (
        100 * x for x in (found.difference.value, found.difference.low, found.difference.high)
    )
    return (
        f"| {name} | {points:+.1f} ({low:+.1f} to {high:+.1f}) | {found.gained} | {found.lost} "
        f"| {found.mcnemar_p:.2g} | {100 * found.detectable:.1f} |"
    )


def share(name: str, right: list[bool]) -> str:
    """Return a line of the table of accuracies."""
    return f"| {name} | {sum(right)} of {len(right)} | {100 * sum(right) / len(right):.1f}% |"


def choices_read(problems: list[Problem], theirs: Theirs) -> dict[str, int]:
    """Count how both graders read the same completions of multiple-choice questions."""
    counts: dict[str, int] = {}
    for place, problem in enumerate(problems):
        reply = theirs.replies[place]
        letter = chosen_letter(read_reply(reply).answer, problem.choices)
        other = theirs.read["flexible-extract"][place].strip("()[]")
        bracketed = re.findall(r"\(([A-Z])\)", reply)
        ours = "ours reads none" if letter is None else "ours reads one"
        same = "" if letter is None else (", the same" if letter == other else ", another")
        # Its fallbacks look for the text of an option anywhere in the reply.
        way = (
            "theirs reads none"
            if other == "invalid"
            else "theirs by (X)"
            if bracketed
            else "theirs by its fallback"
        )
        counts[f"{ours}, {way}{same}"] = counts.get(f"{ours}, {way}{same}", 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def report(given: argparse.Namespace, runs: list[tuple[list[bool], list[str]]], theirs: Theirs,
           problems: list[Problem]) -> dict[str, Any]:  # fmt: skip
    """Print the tables; return what may be stored."""
    ours, completions = runs[0]
    own = [
        grade(p, read_reply(reply).answer).right for p, reply in zip(problems, theirs.replies, strict=True)
    ]
    flexible = theirs.right["flexible-extract"]
    lines = ["", "| completions of | graded by | right | |", "|---|---|--:|--:|"]
    rows = [share("`steiner eval` | ours", right) for right, _ in runs]
    rows += [share(f"lm-evaluation-harness | its {name}", right) for name, right in theirs.right.items()]
    rows.append(share("lm-evaluation-harness | ours", own))
    pairs = [
        pair("harness against harness: ours − its flexible-extract", ours, flexible),
        pair("graders on its completions: ours − its flexible-extract", own, flexible),
        pair("completions under our grader: ours − its", ours, own),
    ]
    kept: dict[str, Any] = {"ours": ours, "theirs": theirs.right, "theirs_by_our_grader": own}
    if completions:
        swapped = ask_theirs(given, problems, replies=completions)
        rows += [share(f"`steiner eval` | its {name}", right) for name, right in swapped.right.items()]
        pairs.append(
            pair(
                "graders on our completions: ours − its flexible-extract",
                ours,
                swapped.right["flexible-extract"],
            )
        )
        same = sum(a.strip() == b.strip() for a, b in zip(completions, theirs.replies, strict=True))
        rows.append(f"\nidentical completions: {same} of {len(problems)}")
        kept |= {"our_completions": completions, "their_completions": theirs.replies, "read": theirs.read}
        kept["ours_by_their_filters"] = swapped.right
    for number, (again, texts) in enumerate(runs[1:], 2):
        pairs.append(pair(f"noise: ours − ours, run {number}", ours, again))
        same = sum(a == b for a, b in zip(completions, texts, strict=True))
        rows.append(
            f"\nidentical completions in our run {number}: {same} of {len(problems)}" if texts else ""
        )
    lines += rows
    lines += [
        "",
        "| difference | points (95%) | + | − | McNemar p | detectable |",
        "|---|--:|--:|--:|--:|--:|",
        *pairs,
    ]
    if given.benchmark == HIDDEN:
        kept["read"] = choices_read(problems, theirs)
        lines += ["", "| how both read its completions | questions |", "|---|--:|"]
        lines += [f"| {how} | {count} |" for how, count in kept["read"].items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return kept


def main() -> None:
    """Ask both, compare, and keep the verdicts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--benchmark", required=True, choices=("gsm8k", HIDDEN))
    parser.add_argument("--data", required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--lm-eval-python", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path("runs/harness"))
    parser.add_argument("--address", help="of a server that runs already")
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=1, help="how often ours asks")
    given = parser.parse_args()
    options = DataOptions(data=(given.data,), limit=given.limit)
    problems = list(load_benchmark(find_benchmark(given.benchmark), options).problems)
    with ExitStack() as stack:
        address = given.address
        if not address:
            log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "vllm.log"
            home = ROOT / ".vllm"
            server = vllm_server(home / "bin" / "python", home / "smollm2", log)
            address = stack.enter_context(server).address
        seconds = []
        runs = []
        for number in range(given.repeats):
            run = given.output / f"ours-{number + 1}"
            started = time.monotonic()
            ask_ours(given, address, run)
            seconds.append(time.monotonic() - started)
            runs.append(our_verdicts(given, run, problems))
        started = time.monotonic()
        theirs = ask_theirs(given, problems, address=address, at_once=given.at_once)
        seconds.append(time.monotonic() - started)
    words = TEMPLATE if given.benchmark != HIDDEN else "{question}"
    wanted = [words.replace("{question}", problem.blind().prompt) for problem in problems]
    same = sum(a.strip() == b.strip() for a, b in zip(wanted, theirs.asked, strict=True))
    took = ", ".join(f"{second:.0f}" for second in seconds)
    sys.stdout.write(f"same prompt: {same} of {len(problems)}; seconds: {took}\n")
    kept = report(given, runs, theirs, problems)
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / f"{given.benchmark}.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
