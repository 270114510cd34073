"""What was measured and concluded, as HTML, JSON and CSV. The page fetches nothing and runs no script."""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path

import jinja2
from markupsafe import Markup

from steiner.evaluate.drawing.svg import series_class
from steiner.evaluate.templating import environment
from steiner.evaluate.wording import without_controls
from steiner.probe.drawing import seconds_figure
from steiner.probe.records import Change, Estimate, Measurement, ProbeReport, Series
from steiner.store import atomic_write

TEMPLATES = Path(__file__).parent / "templates"
HTML, JSON, CSV = "probe.html", "probe.json", "measurements.csv"
SIGNIFICANT = 0.01
"""Below this p-value a shift or growing noise is told. There are three such tests a series."""


def write_report(series: tuple[Series, ...], folder: Path) -> tuple[Path, ...]:
    """Write the three files, each either completely or not at all; return their paths.

    Raises:
        StorageError: if a file cannot be written.
    """
    report = ProbeReport(created=datetime.now(UTC).isoformat(timespec="seconds"), series=series)
    contents = {
        HTML: render(report),
        JSON: report.model_dump_json(indent=1) + "\n",
        CSV: measurements_csv(series),
    }
    for name, text in contents.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode("utf-8", "replace"))
    return tuple(folder / name for name in contents)


def measurements_csv(series: tuple[Series, ...]) -> str:
    """Return a line for each request of all series, columns as the fields of `Measurement`."""
    out = io.StringIO()
    names = list(Measurement.model_fields)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["series", *names])
    for each in series:
        for one in each.measurements:
            values = one.model_dump()
            writer.writerow([_cell(value) for value in (each.label, *(values[name] for name in names))])
    return out.getvalue()


def render(report: ProbeReport) -> str:
    """Return the HTML page."""
    style = (TEMPLATES / "probe.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    figures = [seconds_figure(report.series, logarithmic) for logarithmic in (False, True)]
    return (
        _environment()
        .get_template("probe.html.j2")
        .render(
            report=report,
            style=Markup(style),  # our own file
            style_hash=digest,
            figures=figures,
            colours=[series_class(number + 1) for number in range(len(report.series))],
        )
    )


def notes_of(series: Series) -> list[str]:
    """Return what should be known beside the verdict: shifts, noise that grows, doubts, failures."""
    notes = [f"{100 * doubt.share:.0f}% of the replies: {doubt.text}." for doubt in series.doubts]
    if series.fits is not None:
        notes += [_shift(change) for change in series.fits.changes if change.p < SIGNIFICANT]
        uneven = series.fits.uneven
        if uneven is not None and series.fits.uneven_p < SIGNIFICANT:
            way = "grows" if uneven.value > 0 else "shrinks"
            notes.append(f"The relative noise {way} with the tokens (rank correlation {uneven.value:.2f}).")
    failed = [one for one in series.measurements if one.error]
    if failed:
        notes.append(f"{len(failed)} requests failed. {failed[-1].error}")
    return notes


def _shift(change: Change) -> str:
    place = f"{change.at:,.0f} tokens" if change.along == "tokens" else f"request {change.at:.0f}"
    what = "The shape changes" if change.along == "tokens" else "The endpoint's speed changed during the run"
    return (
        f"{what} around {place}: {100 * change.before:+.0f}% of the fitted seconds before, "
        f"{100 * change.after:+.0f}% after (p = {change.p:.3f})."
    )


def _cell(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula."""
    if isinstance(value, str):
        text = without_controls(value)
        return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
    return "" if value is None else value


def estimate_text(estimate: Estimate | None, digits: int = 2) -> str:
    """Return a number with its interval: `0.98 (0.95 to 1.02)`."""
    if estimate is None:
        return "–"
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"


@functools.cache
def _environment() -> jinja2.Environment:
    made = environment(TEMPLATES)
    made.filters |= {"estimate": estimate_text, "notes": notes_of, "clean": without_controls}
    return made
