"""Check a trained model, turn it into bf16, and put it into the package, with a card and a record.

    python dev/ship_model.py runs/nano/rl/model countdown-nano --run runs/nano-test --train-run runs/nano
        --check 200 --max-steps 24 --summary "Countdown with three numbers." --cannot "It cannot chat."

It is refused if it has more than 20 MB, breaks the grammar under strict control, or solves fewer of the
problems in --run than --least-accuracy; then nothing is written. What the card and the record say is measured
here or read from the `training.json` of its stages.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steiner.core import InputError, Problem, StepBudget, digest
from steiner.decode.shipped import RECORD, SHIPPED, Check, ShippedModel, TrainedStage

if TYPE_CHECKING:
    from steiner.decode.engine import LocalEngine
    from steiner.evaluate.records import SampleResult

LARGEST = 20_000_000
"""Bytes of weights and tokenizer together."""
TEMPERATURES = (0.0, 1.0)
EXAMPLES = 3
"""Questions of each language that the record offers, if so many were answered."""
KEPT = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
"""Files that a model folder must or may have beside its weights."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Ship a model, or say why not."""
    given = read_arguments(arguments)
    target = given.output / given.name
    if target.exists() and not given.force:
        raise InputError(f"{target} exists: give another name, or --force to replace it.")
    if set(given.name) & set("/\\ ") or given.name.startswith((".", "~")):
        raise InputError(f"'{given.name}' is no name: it must not hold / or a blank, or begin with . or ~.")
    temporary = given.output / f".{given.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        parameters = convert(given.model, temporary)
        check_size(temporary)
        checks, examples = check_model(temporary, given)
        record = make_record(given, temporary, parameters, checks, examples)
        (temporary / RECORD).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (temporary / "README.md").write_text(card(record), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder of a trained model")
    parser.add_argument("name", help="what it is to be loaded by")
    parser.add_argument(
        "--run", type=Path, required=True, help="run with problems that it was not trained on"
    )
    parser.add_argument("--train-run", type=Path, help="run that it was trained on: must share no problem")
    parser.add_argument("--check", type=int, default=100, help="problems to try")
    parser.add_argument("--max-steps", type=int, default=24)
    parser.add_argument("--max-reasoning-tokens", type=int, default=1000)
    parser.add_argument("--least-accuracy", type=float, default=0.5, help="at temperature 0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--summary", required=True, help="what it can do, in one sentence")
    parser.add_argument("--cannot", action="append", required=True, help="what it cannot do; once a sentence")
    parser.add_argument("--output", type=Path, default=SHIPPED, help="folder of named models")
    parser.add_argument("--force", action="store_true", help="replace a model of that name")
    return parser.parse_args(arguments)


def convert(model: Path, folder: Path) -> int:
    """Write a model in bf16 with its tokenizer, and nothing else; return the number of its parameters.

    Raises:
        InputError: if it cannot be loaded.
    """
    import torch

    from steiner.decode.load import load_model

    network, tokenizer = load_model(model, device="cpu")
    network.to(torch.bfloat16).save_pretrained(folder, max_shard_size="1GB")
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        if path.name not in KEPT and path.suffix not in (".safetensors", ".jinja"):
            path.unlink()
        else:
            path.chmod(0o644)  # safetensors are written for their owner alone
    return int(network.num_parameters())


def check_size(folder: Path) -> None:
    """Refuse a model that is too large for a package.

    Raises:
        InputError: says how large it is.
    """
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > LARGEST:
        raise InputError(
            f"The model has {size / 1e6:.1f} MB in bf16, a shipped one at most {LARGEST / 1e6:.0f}: train a "
            "smaller one."
        )


def check_model(folder: Path, given: argparse.Namespace) -> tuple[list[Check], list[str]]:
    """Let the converted model solve problems, as a user would; return how it did, and examples.

    Raises:
        InputError: if it breaks the grammar, solves too few, or was trained on one of them.
    """
    from steiner.cli.evaluate import read_problems
    from steiner.decode.engine import LocalEngine
    from steiner.decode.load import load_model

    problems, _ = read_problems(given.run, None, given.check)
    if given.train_run is not None:
        check_unseen(given.train_run, problems)
    checks: list[Check] = []
    examples: list[str] = []
    network, tokenizer = load_model(folder, device="cpu")
    network.float()  # as it is loaded by name
    for temperature in TEMPERATURES:
        engine = LocalEngine(network, tokenizer, seed=given.seed, temperature=temperature)
        samples = solve(engine, problems, given)
        checks += summaries(samples, problems, given, temperature)
        if not temperature:
            examples = choose_examples(samples, problems, given.max_reasoning_tokens)
    broken = [check for check in checks if check.well_formed < 1]
    if broken:
        raise InputError(
            f"Only {broken[0].well_formed:.1%} of the completions at temperature {broken[0].temperature} "
            "follow the grammar under strict control; all must."
        )
    if checks[0].accuracy < given.least_accuracy:
        raise InputError(
            f"The model solves {checks[0].accuracy:.1%} of {checks[0].n} problems, fewer than the "
            f"{given.least_accuracy:.1%} of --least-accuracy."
        )
    return checks, examples


def check_unseen(train_run: Path, problems: Sequence[Problem]) -> None:
    """Refuse problems that a model was trained on, whatever their language.

    Raises:
        InputError: if there is one.
    """
    from steiner.problems.source import check_disjoint, read_problems
    from steiner.store import RunDir

    with RunDir(train_run, read_only=True) as run:
        check_disjoint(read_problems(run), problems)


def solve(engine: LocalEngine, problems: list[Problem], given: argparse.Namespace) -> list[SampleResult]:
    """Return what a model does with problems, a sample each in their order."""
    from steiner.cli.common import is_right
    from steiner.evaluate.run import evaluate

    samples, _ = evaluate(
        engine, problems, [given.max_steps], is_right,
        max_reasoning_tokens=given.max_reasoning_tokens, other_limits=StepBudget(),
    )  # fmt: skip
    return samples


def summaries(
    samples: Sequence[SampleResult],
    problems: Sequence[Problem],
    given: argparse.Namespace,
    temperature: float,
) -> list[Check]:
    """Return what comes out at one temperature: for all problems, then for each of several languages."""
    from steiner.evaluate.metrics import curve_point

    language_of = {problem.id: problem.language for problem in problems}
    languages = sorted(set(language_of.values()))
    found = []
    for language in ["", *(languages if len(languages) > 1 else [])]:
        own = [s for s in samples if not language or language_of[s.problem_id] == language]
        point = curve_point(own, given.max_steps, given.seed)
        found.append(
            Check(
                problems=problems[0].source or str(given.run.name), n=point.n, max_steps=given.max_steps,
                temperature=temperature, seed=given.seed, accuracy=point.accuracy, low=point.low,
                high=point.high, well_formed=point.well_formed, language=language,
            )
        )  # fmt: skip
    return found


def choose_examples(
    samples: Sequence[SampleResult], problems: Sequence[Problem], max_reasoning_tokens: int
) -> list[str]:
    """Return questions that were answered rightly, after going back at least twice and short of all limits.

    They are those of middling length: the shortest are trivial. Samples are parallel to problems.
    """
    solved = [
        (sample.steps, problem)
        for sample, problem in zip(samples, problems, strict=True)
        if sample.right
        and sample.well_formed
        and sample.backtracks > 1
        and (sample.max_steps is None or sample.steps < sample.max_steps)
        and sample.reasoning_tokens < max_reasoning_tokens
    ]
    solved.sort(key=lambda one: one[0])
    found: list[str] = []
    for language in sorted({problem.language for problem in problems}):
        own = [problem.blind().prompt for _, problem in solved if problem.language == language]
        middle = max(0, min(len(own) // 2, len(own) - EXAMPLES))
        found += own[middle : middle + EXAMPLES]
    return found


def make_record(
    given: argparse.Namespace,
    folder: Path,
    parameters: int,
    checks: Sequence[Check],
    examples: Sequence[str],
) -> ShippedModel:
    """Return everything that is known of the model.

    Raises:
        InputError: if its training left no record.
    """
    from steiner.cli.circumstances import commit

    stages = trained_stages(given.model)
    data = next((stage.inputs["dataset"] for stage in reversed(stages) if "dataset" in stage.inputs), "")
    return ShippedModel(
        name=given.name,
        summary=given.summary,
        cannot=tuple(given.cannot),
        parameters=parameters,
        size=sum(path.stat().st_size for path in folder.glob("*.safetensors")),
        commit=commit(),
        data=data,
        stages=tuple(stages),
        checks=tuple(checks),
        examples=tuple(examples),
    )


def trained_stages(model: Path) -> list[TrainedStage]:
    """Follow the `training.json` beside a model's folder to the stages before it; return them in order.

    Raises:
        InputError: if there is none.
    """
    stages: list[TrainedStage] = []
    seen: set[Path] = set()
    folder: Path | None = model.resolve()
    while folder is not None and folder not in seen:
        seen.add(folder)
        file = folder.parent / RECORD
        if not file.is_file():
            break
        record: dict[str, Any] = json.loads(file.read_bytes())
        settings = record["settings"]
        stages.append(
            TrainedStage(
                stage=record["stage"], config=digest(settings), inputs=record["inputs"],
                seed=settings["seed"], steps=record["steps"], tokens=record["tokens"],
            )
        )  # fmt: skip
        before = settings["model"].get("path")
        folder = Path(before).resolve() if before else None
    if not stages:
        raise InputError(
            f"{model.parent} has no {RECORD}: a shipped model says how it was trained. Ship the folder "
            "`model` that `steiner train` left."
        )
    return stages[::-1]


def card(record: ShippedModel) -> str:
    """Return the model's card."""
    questions = record.examples or ("…",)
    lines = [
        f"# {record.name}",
        "",
        record.summary,
        "",
        *(f'    steiner generate --model {record.name} "{question}"' for question in questions),
        "",
        f"{record.parameters:,} parameters, {record.size / 1e6:.1f} MB of weights in bf16 (safetensors). "
        "Computed in fp32 on a processor.",
        "",
        "## What it cannot do",
        *(f"- {sentence}" for sentence in record.cannot),
        "",
        "## Checked as shipped",
        "| problems | language | temperature | steps allowed | accuracy | 95% interval | well-formed | n |",
        "|---|---|--:|--:|--:|---|--:|--:|",
        *(
            f"| {c.problems} | {c.language or 'all'} | {c.temperature:g} | {c.max_steps} | "
            f"{c.accuracy:.1%} | {c.low:.1%} to {c.high:.1%} | {c.well_formed:.1%} | {c.n} |"
            for c in record.checks
        ),
        "",
        "Strict step control; the problems share none with the training data if `--train-run` was given.",
        "",
        "## Training",
        "| stage | settings | data | seed | updates | tokens |",
        "|---|---|---|--:|--:|--:|",
        *(
            f"| {s.stage} | `{s.config}` | `{s.inputs.get('dataset', '–')}` | {s.seed} | {s.steps:,} | "
            f"{s.tokens:,} |"
            for s in record.stages
        ),
        "",
        f"Converted and checked at commit `{record.commit}`. All of it: `{RECORD}`.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        main()
    except InputError as problem:
        raise SystemExit(f"error: {problem}") from problem
