"""What h100.py measured, as a page with figures: page.md and an SVG file for each test set.

python recipes/countdown-h100/h100_page.py runs/countdown-h100 [docs/results/countdown-h100.md]
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from countdown_common import accuracy, check_split, circumstances, gain, right, share, signed, votes  # noqa: E402
from h100_data import GAME24, KINDS, RL, SEARCH, SHORTCUT, SPLITS, TRAINED_STEPS  # noqa: E402

if TYPE_CHECKING:
    from steiner.evaluate.curves import ScalingCurve
    from steiner.evaluate.records import SampleResult

NAMES = {
    "new-inputs": "number sets that training never saw",
    "heldout-targets": "targets that training never saw",
    GAME24: "the Game of 24, the puzzles of the tree-of-thought logs",
}


class Published(NamedTuple):
    """A figure to hold the results against."""

    work: str
    figure: str
    model: str
    differs: str


PUBLISHED = (
    Published(
        "Stream of Search, trained on search",
        "about 51%",
        "250M",
        "500,000 traces, one each, of many search strategies; one pass within 4,096 tokens",
    ),
    Published("Stream of Search, trained on optimal paths", "about 26%", "250M", "as above, no search"),
    Published("Stream of Search, improved on itself", "55–57%", "250M", "as above, then STaR or APA"),
    Published("Self-backtracking, SFT", "28.9%", "Llama-3.2-1B", "pretrained; new targets"),
    Published("Self-backtracking, search at decoding", "73.8%", "Llama-3.2-1B", "several branches decoded"),
    Published("APR, serial search", "60.0%", "from scratch", "4K tokens of context; own split"),
    Published("APR, parallel search", "83.4%", "from scratch", "4K tokens in each of several threads"),
    Published("Primed PPO", "77%", "3B", "pretrained, then primed with traces; own problems"),
)
"""From the papers, see README.md. Settings differ from ours and from each other."""
TOT_PAPER = 74
"""Of 100 puzzles, GPT-4 with tree of thought, as the paper says; the log is counted by code."""


class Model(NamedTuple):
    """Evaluations of one stage of one kind, all seeds."""

    kind: str
    stage: str
    seeds: tuple[int, ...]


def models(out: Path, kind: str) -> list[Model]:
    """Return the models of a kind that were measured, in the order of training."""
    found = []
    for stage in ("sft", "rl"):
        pattern = f"seed-*/{stage}-*.json"
        seeds = sorted({int(file.parent.name[5:]) for file in (out / kind).glob(pattern)})
        if seeds:
            found.append(Model(kind, stage, tuple(seeds)))
    return found


def evaluation_files(out: Path, model: Model, name: str) -> list[Path]:
    """Return a model's evaluations of a test set, of all seeds that have one."""
    files = [out / model.kind / f"seed-{seed}" / f"{model.stage}-{name}.json" for seed in model.seeds]
    return [file for file in files if file.exists()]


def samples(files: Sequence[Path]) -> list[SampleResult]:
    """Return the samples of several seeds."""
    from steiner.evaluate.saved import load

    return [one for file in files for one in load(file).samples]


def write_page(out: Path, size: Any) -> str:
    """Write the page and its figures; return its text.

    Raises:
        InputError: if nothing was measured yet.
    """
    from steiner.core import InputError

    found = models(out, SEARCH)
    if not found:
        raise InputError(f"{out} holds no evaluation yet: run --stage evaluate first.")
    tests = [test for test in NAMES if evaluation_files(out, found[-1], test)]
    parts = [heading(out, size, found)]
    parts += [section(out, test, found) for test in tests]
    parts += [against(), training(out), data_times(out, size)]
    text = "\n".join(parts).rstrip() + "\n"
    (out / "page.md").write_text(text)
    return text


def heading(out: Path, size: Any, found: Sequence[Model]) -> str:
    """Return what was done and where."""
    from steiner.evaluate.saved import load

    files = sorted((out / SEARCH).glob("seed-*/*.json"))
    commands = list(dict.fromkeys(load(file).circumstances.command for file in files))
    seeds = ", ".join(map(str, found[-1].seeds))
    return "\n".join(
        [
            "# Countdown with four numbers on one GPU",
            "",
            *(f"    {command}" for command in commands),
            "",
            f"{circumstances(files)} Seeds of training: {seeds}.",
            "",
            "Numbers from 1 to 99, targets from 10 to 100, no bound on results; a tenth of the targets and "
            f"of the number sets held out. Trained on paths of at most {TRAINED_STEPS} steps, measured with "
            f"up to {max(size.limits)}, greedily, under strict step control, in bf16. Intervals are 95% "
            "bootstrap intervals over problems, all seeds of a problem together; with one seed they say "
            f"nothing about another training. {disjoint(out)}",
            "",
        ]
    )  # fmt: skip


def disjoint(out: Path) -> str:
    """Say that no test problem occurs in training, where the data is at hand."""
    file = out / "disjoint.json"
    train = [out / "data" / name for name in (SEARCH, RL)]
    tests = [out / name for name in (*SPLITS, GAME24) if (out / name).is_dir()]
    if all(path.is_dir() for path in (*train, *tests)):
        file.write_text(json.dumps({"said": check_split(train, tests)}))
    return str(json.loads(file.read_text())["said"]) if file.exists() else "The data is not at hand to check."


def section(out: Path, test: str, found: Sequence[Model]) -> str:
    """Return one test set: figure, verdict, tables."""
    from steiner.evaluate.drawing.curve_file import curve_file

    last = curve(out, test, found[-1])
    curves = [curve(out, test, model, pools=False) for model in found[:-1]] + [last]
    title = f"Countdown, four numbers: {NAMES[test]}"
    (out / f"{test}.svg").write_text(curve_file(curves, title, trained_to=TRAINED_STEPS))
    lines = [f"## {NAMES[test].capitalize()}", "", f"![accuracy against steps]({test}.svg)", ""]
    lines += [f"After {found[-1].stage.upper()}: {last.verdict}."]
    lines += [f"Mind: {last.warning}"] if last.warning else []
    if test == GAME24 and (out / "game24.json").exists():
        lines += ["", puzzles(out)]
    lines += ["", *steps_table(out, test, found), ""]
    if last.baselines:
        lines += [*votes(last), ""]
    return "\n".join(lines)


def puzzles(out: Path) -> str:
    """Return what is known of the puzzles of the log."""
    known = json.loads((out / "game24.json").read_text())
    return (
        f"{known['puzzles']} puzzles. GPT-4 with tree of thought solved {known['solved']} of them in its "
        f"log, {TOT_PAPER} of 100 in the paper, keeping five candidates at the end. {known['whole']} can be "
        "solved with whole results that are not negative, which is all that our paths know. Training never "
        "saw the target 24: it is one of the held-out targets."
    )


def curve(out: Path, test: str, model: Model, *, pools: bool = True) -> ScalingCurve:
    """Return accuracy against steps, with what the same tokens buy as votes."""
    from steiner.evaluate.baselines import Pool
    from steiner.evaluate.curves import Axis, scaling_curve

    votes_of = []
    if pools:
        titles = {SEARCH: "short searches", SHORTCUT: "a model of shortcuts"}
        for kind in KINDS:
            made = [one for one in models(out, kind) if evaluation_files(out, one, f"{test}-pool")]
            if made:
                short = samples(evaluation_files(out, made[-1], f"{test}-pool"))
                votes_of.append(Pool(titles[kind], short, graded=True))
    files = evaluation_files(out, model, test)
    return scaling_curve(
        [samples(files)], Axis.MAX_STEPS, title=f"after {model.stage.upper()}", pools=votes_of
    )


def steps_table(out: Path, test: str, found: Sequence[Model]) -> list[str]:
    """Return the accuracy of each stage at each number of steps, and what RL adds."""
    from countdown_common import under

    from steiner.evaluate.saved import load

    files = [evaluation_files(out, model, test) for model in found]
    both = len(found) > 1 and len(files[0]) == len(files[-1])
    names = [f"after {model.stage.upper()}" for model in found]
    gained = ["RL adds, points"] if both else []
    lines = [
        "| steps allowed | " + " | ".join([*names, *gained, "steps taken", "tokens of reasoning"]) + " |",
        "|--:|" + "--:|" * (len(names) + len(gained) + 2),
    ]
    for point in load(files[-1][0]).curve:
        limit = point.max_steps
        assert limit is not None, "every evaluation of this recipe has limits"
        rows = [[under(file, limit) for file in some] for some in files]
        values = [right(row) for row in rows]
        cells = [share(accuracy(one)) for one in values]
        cells += [signed(gain(values[0], values[-1]))] if both else []
        every = [one for row in rows[-1] for one in row]
        cells.append(f"{sum(one.steps for one in every) / len(every):.1f}")
        cells.append(f"{sum(one.reasoning_tokens for one in every) / len(every):,.0f}")
        lines.append(f"| {limit} | {' | '.join(cells)} |")
    return lines


def against() -> str:
    """Return the published figures with what differs."""
    lines = [
        "## Published figures",
        "",
        "| work | accuracy | model | what differs there |",
        "|---|--:|---|---|",
        *(f"| {' | '.join(one)} |" for one in PUBLISHED),
        "",
    ]
    return "\n".join(lines)


def training(out: Path) -> str:
    """Return what each training took."""
    from steiner.train.stage import TrainingRecord

    lines = [
        "## Training",
        "",
        "| model | seed | stage | parameters | updates | tokens | minutes | tokens/s | last loss | alarms |",
        "|---|--:|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for kind in KINDS:
        for place in sorted((out / kind).glob("seed-*")):
            for stage in ("cpt", "sft", "rl"):
                file = place / stage / "training.json"
                if file.exists():
                    one = TrainingRecord.model_validate_json(file.read_bytes())
                    loss = one.curve[-1].values.get("loss") if one.curve else None
                    rate = one.tokens / max(one.seconds, 1e-9)
                    lines.append(
                        f"| {kind} | {place.name[5:]} | {stage.upper()} | {one.parameters:,} | "
                        f"{one.steps:,} | {one.tokens:,} | {one.seconds / 60:.1f} | {rate:,.0f} | "
                        f"{'–' if loss is None else f'{loss:.4f}'} | "
                        f"{', '.join(alarm.name for alarm in one.alarms) or 'none'} |"
                    )  # fmt: skip
    return "\n".join([*lines, "", "Minutes are those of the last call that trained.", ""])


def data_times(out: Path, size: Any) -> str:
    """Return how long the data took, and what that makes for the full size."""
    from h100 import SIZES

    file = out / "times.jsonl"
    if not file.exists():
        return ""
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    wanted = SIZES["full"].data
    lines = [
        "## Data",
        "",
        "| work | problems | seconds | core-seconds | core-seconds for 1,000 problems |",
        "|---|--:|--:|--:|--:|",
    ]
    total = 0.0
    for one in entries:
        each = one["core_seconds"] / one["problems"]
        total += each * (wanted.rl_problems if one["what"].endswith(RL) else wanted.problems)
        lines.append(
            f"| {one['what']} | {one['problems']:,} | {one['seconds']:.1f} | {one['core_seconds']:.1f} | "
            f"{1000 * each:.1f} |"
        )
    lines += [
        "",
        "Core-seconds are processor time where one worker did all, else seconds × workers. "
        f"Extrapolated in proportion: the full size ({wanted.problems:,} problems) takes {total / 3600:.1f} "
        f"hours of one core, {total / 60 / 16:.0f} minutes of 16 cores that are all busy.",
        "",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Write the page anew, and copy it with its figures where asked."""
    from h100 import SIZES

    out = Path(arguments[0])
    text = write_page(out, SIZES["full"])
    if len(arguments) > 1:
        target = Path(arguments[1])
        for test in NAMES:
            if (out / f"{test}.svg").exists():
                figure = f"{target.stem}-{test}.svg"
                shutil.copy(out / f"{test}.svg", target.parent / figure)
                text = text.replace(f"({test}.svg)", f"({figure})")
        target.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
