"""Write docs/results/quickstart.md from what a run of `make quickstart` measured.

python dev/quickstart_results.py runs/quickstart/report.json > docs/results/quickstart.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Print the page."""
    report: dict[str, Any] = json.loads(Path(sys.argv[1]).read_bytes())
    sys.stdout.write("\n".join([*head(report), *accuracy(report), *headline(report), *times(report)]) + "\n")


def head(report: dict[str, Any]) -> list[str]:
    """Return what was found and under which circumstances."""
    minutes = sum(time["seconds"] for time in report["times"]) / 60
    cores = sum(time["cpu_seconds"] for time in report["times"]) / 60
    return [
        "# The quickstart, measured",
        "",
        report["verdict"],
        "",
        f"`{report['command']}`, commit `{report['commit']}`, {report['created'][:10]}, {report['machine']}, "
        f"seed {report['seed']}.",
        f"{minutes:.1f} minutes after the installation, {cores:.1f} core-minutes.",
        "",
    ]


def accuracy(report: dict[str, Any]) -> list[str]:
    """Return the table of accuracy against allowed steps."""
    limits = [point["max_steps"] for point in report["models"][-1]["curve"]]
    rows = [
        "| | " + " | ".join(f"≤ {limit} steps" for limit in limits) + " | n |",
        "|---|" + "--:|" * (len(limits) + 1),
    ]
    for model in report["models"]:
        cells = [
            f"{100 * p['accuracy']:.1f}% ({100 * p['low']:.0f}–{100 * p['high']:.0f})" for p in model["curve"]
        ]
        rows.append(f"| {model['title']} | {' | '.join(cells)} | {model['curve'][0]['n']} |")
    return [
        *rows,
        "",
        "Share of held-out problems solved when so many steps are allowed, with 95% intervals over problems.",
        "The number sets of the held-out problems never occur in training. A problem needs 2 steps at least.",
        "",
    ]


def headline(report: dict[str, Any]) -> list[str]:
    """Return the headline figures and the comparisons."""
    lines = []
    for item in report["headline"]:
        note = f" ({item['note']})" if item["note"] else ""
        lines.append(f"- {item['label']}: **{item['value'].strip()}**{note}")
    lines.append("")
    lines += [f"- {item['before']} → {item['after']}: {item['verdict']}" for item in report["comparisons"]]
    return [*lines, ""]


def times(report: dict[str, Any]) -> list[str]:
    """Return what each stage took."""
    rows = ["| stage | seconds | core-seconds |", "|---|--:|--:|"]
    rows += [f"| {t['name']} | {t['seconds']:.0f} | {t['cpu_seconds']:.0f} |" for t in report["times"]]
    return [
        *rows,
        "",
        "One seed: the intervals cover the choice of problems, not of the training run. What led to these",
        "settings, failures included: [dev/LOG.md](../../dev/LOG.md). This page is written by",
        "`python dev/quickstart_results.py RUN/report.json`.",
    ]


if __name__ == "__main__":
    main()
