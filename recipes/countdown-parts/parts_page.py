"""What parts.py measured, as a page: page.md, and rows.json with every figure of its tables.

python recipes/countdown-parts/parts_page.py runs/countdown-parts [docs/results/parts.md]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

import parts  # noqa: E402
from countdown_common import (  # noqa: E402
    accuracy,
    by_seed,
    check_split,
    circumstances,
    gain,
    right,
    share,
    signed,
    under,
    worded_minutes,
)

if TYPE_CHECKING:
    from countdown_common import Values

    from steiner.evaluate.intervals import Estimate
    from steiner.evaluate.records import SampleResult

RL_BAR, LIMITS_BAR = 3.53, 5.56
"""Points that the Steiner report claims: RL over SFT, the best limits over SFT, both on GPQA-Diamond."""
TITLES = {
    "paths": "Which paths",
    "cpt": "Pre-training and fine-tuning",
    "rl": "RL, each reward from the fine-tuned model of the same seed",
    "limits": "Limits at decoding, on the fine-tuned models",
}
REWARD_TITLES = {
    "rl-outcome": "RL, outcome",
    "rl-dag": "RL, outcome + 0.5 dag",
    "rl-progress": "RL, outcome + 0.5 progress",
    "rl-montecarlo": "RL, outcome + 0.5 montecarlo",
    parts.SFT_MORE: "no RL: SFT for as many tokens more as `RL, outcome` wrote, at a tenth of the rates",
}


class Row(NamedTuple):
    """One line of a table."""

    name: str
    title: str
    values: Values
    """Shape (S, P): seeds × problems."""
    samples: tuple[SampleResult, ...]
    """Of all seeds; of a choice, those of the settings chosen."""
    trained: str = "–"
    """Tokens and seconds of training."""


def write_page(out: Path, size: parts.Size, groups: Sequence[str]) -> str:
    """Write page.md and rows.json; return the page."""
    import json

    tables: dict[str, list[Row]] = {}
    for group in parts.GROUPS:
        if group in groups:
            tables[group] = limit_rows(out, size) if group == parts.LIMITS_ROW else trained_rows(
                out, size, group
            )  # fmt: skip
    lines = [heading(out, size, groups)]
    for group, rows in tables.items():
        said = verdict(group, rows)
        lines += ["", f"## {TITLES[group]}", "", *table(rows), *([""] if said else []), *said]
    if parts.LIMITS_ROW in tables:
        lines += ["", *tried(out, size)]
    lines += ["", *alarms(out, size, tables)]
    figures = {group: [figure(row, rows[0]) for row in rows] for group, rows in tables.items()}
    (out / "rows.json").write_text(json.dumps(figures, indent=1))
    text = "\n".join(lines).rstrip() + "\n"
    (out / "page.md").write_text(text)
    return text


def heading(out: Path, size: parts.Size, groups: Sequence[str]) -> str:
    """Return what was done, where, by which commands and how long it took."""
    commands = list(dict.fromkeys((out / "calls.txt").read_text().splitlines()))
    files = [parts.folder(out, parts.SFT, seed) / "evaluation.json" for seed in range(size.seeds)]
    for group in groups:
        for name in parts.GROUPS[group]:
            last = "max.json" if name == parts.LIMITS_ROW else "evaluation.json"
            files += [parts.folder(out, name, seed) / last for seed in range(size.seeds)]
    tests = check_split([out / "data" / parts.DAG], [out / "test"])
    return "\n".join(
        [
            "# What each part adds",
            "",
            *(f"    {command}" for command in commands),
            "",
            f"{circumstances(files)} {worded_minutes(out / 'minutes.txt')}, seeds 0 to {size.seeds - 1}.",
            "",
            "Countdown with three numbers from 1 to 20, targets and results to 30; "
            f"{size.problems:,} training problems, {size.heldout:,} test problems with number sets that "
            f"training never saw. {tests} Greedy decoding under strict step control.",
            "",
            f"Every supervised row trains on {size.cpt_tokens + size.sft_tokens:,} tokens, half of the first "
            f"{size.cpt_tokens:,} plain text. RL: {size.updates} updates of {size.prompts} × {size.group} "
            "completions. Intervals are 95% bootstrap intervals over problems, all seeds of a problem "
            "together; differences are paired by problem. They hold for these trainings: what another seed "
            "would change stands under *by seed*.",
        ]
    )  # fmt: skip


def trained_rows(out: Path, size: parts.Size, group: str) -> list[Row]:
    """Return the reference and the rows of a group of trainings."""
    return [trained_row(out, size, name) for name in (parts.SFT, *parts.GROUPS[group])]


def trained_row(out: Path, size: parts.Size, name: str) -> Row:
    """Return one row, with all steps that the evaluation allows."""
    folders = [parts.folder(out, name, seed) for seed in range(size.seeds)]
    found = [under(folder / "evaluation.json", parts.LIMIT) for folder in folders]
    title = parts.VARIANTS[name].title if name in parts.VARIANTS else REWARD_TITLES[name]
    return Row(name, title, right(found), tuple(one for row in found for one in row), trained(folders))


def trained(folders: Sequence[Path]) -> str:
    """Word the tokens and seconds of a row's own stages, means over seeds."""
    from statistics import mean

    seeds = [[record for _, record in records(folder)] for folder in folders]
    tokens = mean(sum(one.tokens for one in stages) for stages in seeds)
    seconds = mean(sum(one.seconds for one in stages) for stages in seeds)
    return f"{tokens / 1e6:,.2f}M, {seconds:,.0f} s"


def records(folder: Path) -> list[tuple[str, Any]]:
    """Return the training records in a folder, by the names of the stages."""
    from steiner.train.stage import TrainingRecord

    return [
        (stage, TrainingRecord.model_validate_json((folder / stage / "training.json").read_bytes()))
        for stage in ("cpt", "sft", "rl")
        if (folder / stage / "training.json").exists()
    ]


def limit_rows(out: Path, size: parts.Size) -> list[Row]:
    """Return decoding without a limit, and the best setting of each kind, chosen on other problems."""
    free = Row(parts.NONE, f"none: {parts.FREE} steps", *_gather(out, size, "max.json", parts.FREE))
    rows = [free]
    for kind, settings in limit_settings().items():
        found = [_gather(out, size, file, limit) for _, file, limit in settings]
        rows.append(chosen(kind, [one[0] for one in settings], found))
    return rows


def limit_settings() -> dict[str, list[tuple[str, str, int]]]:
    """Return the settings of each kind: title, file and the limit of steps it was measured under."""
    return {
        "best maximum": [(f"at most {most}", "max.json", most) for most in parts.MAXIMA],
        "best forced minimum": [(f"at least {n}", f"min-{n}.json", parts.FREE) for n in parts.MINIMA],
        "best soft schedule": [
            (f"END {start:+g} to {stop:+g} logits over {steps} steps", f"soft-{number}.json", parts.FREE)
            for number, (start, stop, steps) in enumerate(parts.SOFT)
        ],
    }


def _gather(out: Path, size: parts.Size, file: str, limit: int) -> tuple[Values, tuple[SampleResult, ...]]:
    places = [parts.folder(out, parts.LIMITS_ROW, seed) / file for seed in range(size.seeds)]
    found = [under(place, limit) for place in places]
    return right(found), tuple(one for row in found for one in row)


def chosen(kind: str, titles: Sequence[str], found: Sequence[tuple[Values, tuple[SampleResult, ...]]]) -> Row:
    """Return the row of the best setting: chosen on one half of the problems, measured on the other.

    Both halves take their turn, so every problem counts once and none chooses for itself.
    """
    import numpy as np

    halves = np.arange(found[0][0].shape[1]) % 2
    values = np.zeros_like(found[0][0])
    picked, samples = [], []
    for half in (0, 1):
        means = [one[:, halves != half].mean() if (halves != half).any() else 0.0 for one, _ in found]
        best = int(np.argmax(means))
        picked.append(titles[best])
        values[:, halves == half] = found[best][0][:, halves == half]
        problems = found[best][0].shape[1]
        samples += [one for place, one in enumerate(found[best][1]) if halves[place % problems] == half]
    return Row(kind, f"{kind}: {' / '.join(dict.fromkeys(picked))}", values, tuple(samples))


def table(rows: Sequence[Row]) -> list[str]:
    """Return the rows as Markdown; the first is what the others are held against."""
    lines = [
        "| row | accuracy (95%) | against the first row, points (95%) | by seed | steps | backtracks | "
        "reasoning tokens | trained on |",
        "|---|--:|--:|---|--:|--:|--:|--:|",
    ]
    for row in rows:
        count = len(row.samples)
        means = [
            sum(getattr(one, name) for one in row.samples) / count
            for name in ("steps", "backtracks", "reasoning_tokens")
        ]
        against = "–" if row is rows[0] else signed(gain(rows[0].values, row.values))
        lines.append(
            f"| {row.title} | {share(accuracy(row.values))} | {against} | {by_seed(row.values)} | "
            f"{means[0]:.1f} | {means[1]:.2f} | {means[2]:,.0f} | {row.trained} |"
        )
    return lines


def verdict(group: str, rows: Sequence[Row]) -> list[str]:
    """Return how the rows stand to the report's bar, if there is one for the group."""
    if group == "rl":
        best = max((row for row in rows if row.name in parts.REWARDS), key=lambda row: row.values.mean())
        how = "best of four rewards, not corrected for the choice"
        return [bar("RL over SFT", RL_BAR, best, gain(rows[0].values, best.values), how)]
    if group == parts.LIMITS_ROW:
        best = max(rows[1:], key=lambda row: row.values.mean())
        found = gain(rows[0].values, best.values)
        return [
            "Each best setting is chosen on one half of the problems and measured on the other, in turn.",
            "",
            bar("The best limits over SFT", LIMITS_BAR, best, found, "best of three kinds"),
        ]
    return []


def bar(what: str, points: float, row: Row, found: Estimate, chosen_from: str) -> str:
    """Word whether a bar of the report is reached."""
    reached = 100 * found.value >= points
    clear = found.low > 0
    said = "reached" if reached and clear else "not reached"
    if reached != clear:
        said += ": the interval holds 0" if reached else f": clear of 0, but less than {points} points"
    return (
        f"{what}: {signed(found)} points with *{row.title}* ({chosen_from}). The report's bar, +{points} "
        f"points, is **{said}**. The report measured it on GPQA-Diamond with a large pretrained model; this "
        "is another task and a model of less than 3M parameters: a yardstick, not a replication."
    )


def tried(out: Path, size: parts.Size) -> list[str]:
    """Return every limit that was tried, on all problems."""
    free = _gather(out, size, "max.json", parts.FREE)[0]
    lines = [
        "Every setting that was tried, on all problems:",
        "",
        "| limit | accuracy (95%) | against none, points (95%) | at the limit |",
        "|---|--:|--:|--:|",
    ]
    settings = [("none", "max.json", parts.FREE)]
    settings += [one for kind in limit_settings().values() for one in kind]
    for title, file, limit in settings:
        values, samples = _gather(out, size, file, limit)
        ended = sum(one.steps >= limit for one in samples) / len(samples)
        against = "–" if title == "none" else signed(gain(free, values))
        lines.append(f"| {title} | {share(accuracy(values))} | {against} | {ended:.1%} |")
    return lines


def alarms(out: Path, size: parts.Size, tables: dict[str, list[Row]]) -> list[str]:
    """Return what the monitors of the trainings found."""
    found = []
    names = dict.fromkeys(row.name for group, rows in tables.items() if group != "limits" for row in rows)
    for name in names:
        for seed in range(size.seeds):
            for stage, record in records(parts.folder(out, name, seed)):
                found += [
                    f"- {name}, seed {seed}, {stage}: {alarm.name} since update {alarm.since}"
                    for alarm in record.alarms
                ]
    return ["Alarms of the trainings' monitors:", "", *found] if found else ["No training raised an alarm."]


def figure(row: Row, reference: Row) -> dict[str, Any]:
    """Return a row for other programs; fractions."""
    against = None if row is reference else gain(reference.values, row.values)._asdict()
    return {
        "name": row.name,
        "title": row.title,
        "accuracy": accuracy(row.values)._asdict(),
        "against": against,
        "by_seed": row.values.mean(axis=1).tolist(),
    }


def main(arguments: Sequence[str]) -> None:
    """Write the page anew from what there is, and copy it where asked."""
    out = Path(arguments[0])
    seeds = len(list((out / parts.SFT).glob("seed-*/evaluation.json")))
    done = [g for g in parts.GROUPS if all((out / name).is_dir() for name in parts.GROUPS[g])]
    chosen_size = next(one for name, one in parts.SIZES.items() if name == size_of(out))
    text = write_page(out, chosen_size._replace(seeds=seeds), done)
    if len(arguments) > 1:
        Path(arguments[1]).write_text(text)


def size_of(out: Path) -> str:
    """Return the size that a run was last made with."""
    last = (out / "calls.txt").read_text().splitlines()[-1].split()
    return last[last.index("--size") + 1] if "--size" in last else "small"


if __name__ == "__main__":
    main(sys.argv[1:])
