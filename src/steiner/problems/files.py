"""Problems from files and from hub datasets."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from steiner.core import Grading, InputError, Problem, Settings
from steiner.problems.layout import AnswerForm, Layout, RowError, build_problem
from steiner.problems.presets import Preset, find_preset, preset_of_hub
from steiner.problems.rows import BadRows, ReadOptions, Row, check_columns, read_rows


class TableSettings(Settings):
    """How rows become problems: a preset, and what differs from it."""

    preset: str = ""
    question_column: str | None = None
    answer_column: str | None = None
    answer_form: AnswerForm | None = None
    choices_columns: tuple[str, ...] = ()
    """One column that holds a list, or one column per option."""
    language_column: str | None = None
    language: str | None = None
    """Language of all problems (ISO 639-1)."""
    grading: Grading | None = None
    member: str | None = None
    """Which files of an archive, with * and ?."""
    skip_bad: bool = False
    """Leave rows out that cannot be used, instead of stopping at the first."""
    seed: int = 0
    """Decides the order of options where a set does not have one."""
    limit: int | None = Field(default=None, ge=1)
    """Keep the first so many problems."""

    def chosen_preset(self) -> Preset:
        """Return the preset, one without any speciality if none is named.

        Raises:
            InputError: if it is unknown.
        """
        return find_preset(self.preset) if self.preset else Preset(title="", layout=Layout())

    def adapt(self, layout: Layout) -> Layout:
        """Return `layout` with what these settings say otherwise."""
        changes: dict[str, Any] = {
            "question": self.question_column,
            "answer": self.answer_column,
            "answer_form": self.answer_form,
            "choices": self.choices_columns or None,
            "language_column": self.language_column,
            "language": self.language,
            "grading": self.grading,
            "member": self.member,
        }
        changes = {name: value for name, value in changes.items() if value is not None}
        if "choices" in changes:
            changes["wrong_choices"] = ()
        if "language" in changes:
            changes["language_in_name"] = ""
        return layout.model_copy(update=changes)


class FileSettings(TableSettings):
    """Problems from files. Their contents count, not the folder they are in."""

    kind: Literal["file"] = "file"
    files: tuple[str, ...]
    """Names without folders."""


class HubSettings(TableSettings):
    """Problems from a dataset on the Hugging Face hub, or from a local folder that `datasets` can load."""

    kind: Literal["hub"] = "hub"
    id: str
    config: str | None = None
    split: str = "train"
    revision: str | None = None


def load_files(
    paths: Sequence[Path], settings: TableSettings, bad: BadRows, *, password: str | None = None
) -> Iterator[Problem]:
    """Yield the problems of files in the order given.

    Args:
        paths: JSONL, JSON, CSV, TSV or Parquet files, also gzipped or in ZIP archives.
        settings: how rows become problems.
        bad: counts the rows that are left out.
        password: password of ZIP archives; the preset's own if None.

    Raises:
        InputError: if a file or a row cannot be used; names the place.
    """
    preset = settings.chosen_preset()
    layout = settings.adapt(preset.layout)
    options = ReadOptions(layout.header, layout.member, password or preset.password)
    for path in paths:
        source = settings.preset or path.name.split(".")[0]
        rows = read_rows(path, bad, options)
        yield from _problems(rows, settings, preset, f"{source}:{path.name}", bad, path.name)


def hub_settings(dataset_id: str, values: dict[str, Any]) -> dict[str, Any]:
    """Fill in what a preset knows about a hub dataset: preset, config and split.

    Args:
        dataset_id: for example `openai/gsm8k`.
        values: settings by name; those that are None count as not given.
    """
    given = {name: value for name, value in values.items() if value is not None}
    name = given.get("preset") or preset_of_hub(dataset_id)
    known = find_preset(name).hub if name else None
    defaults: dict[str, Any] = {"preset": name}
    if known is not None and known.id.casefold() == dataset_id.casefold():
        defaults |= {"config": known.config, "split": known.split}
    return {**defaults, **given, "id": dataset_id}


def load_hub(settings: HubSettings, bad: BadRows) -> Iterator[Problem]:
    """Yield the problems of a hub dataset, read as a stream.

    Raises:
        InputError: if `datasets` is not installed, or the dataset cannot be reached or has other columns.
    """
    preset = settings.chosen_preset()
    source = f"{settings.id}:{settings.split}"
    yield from _problems(_hub_rows(settings), settings, preset, source, bad, settings.config or "")


def file_digests(paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file by its name: what a stage that reads them depends on.

    Raises:
        InputError: if a file cannot be read, or two have the same name.
    """
    digests: dict[str, str] = {}
    for path in paths:
        if path.name in digests:
            raise InputError(f"Two of the files are called {path.name}: rename one of them.")
        try:
            with path.open("rb") as file:
                digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        except OSError:
            # The reader says it better.
            next(read_rows(path, BadRows(skip=False)), None)
            raise
    return digests


def _problems(
    rows: Iterable[Row],
    settings: TableSettings,
    preset: Preset,
    source: str,
    bad: BadRows,
    file_name: str = "",
) -> Iterator[Problem]:
    layout: Layout | None = None
    for row in rows:
        if layout is None:
            layout = _fitting(row, settings, preset)
        try:
            yield build_problem(
                row.values, layout, source, file_name=file_name, seed=settings.seed, hidden=preset.hidden
            )
        except RowError as error:
            bad.report(row.place, str(error))


def _fitting(row: Row, settings: TableSettings, preset: Preset) -> Layout:
    """Return the first layout of the preset whose columns exist.

    Raises:
        InputError: if there is none, about the first.
    """
    from_hub = isinstance(settings, HubSettings)
    layouts = [settings.adapt(layout) for layout in preset.layouts(from_hub=from_hub)]
    for layout in layouts:
        if all(column in row.values for column in layout.columns().values()):
            return layout
    check_columns(row.values, layouts[0].columns(), row.place)
    raise AssertionError("unreachable: a column is missing")


def _hub_rows(settings: HubSettings) -> Iterator[Row]:
    if importlib.util.find_spec("datasets") is None:
        raise InputError(
            "Reading from the hub needs the package datasets, which comes with the extra train: pip install "
            "'steiner[train]'. Without it, download the files and read them with `steiner problems file`."
        )
    import datasets

    name = settings.id + (f" ({settings.config})" if settings.config else "")
    number = 0
    try:
        table = datasets.load_dataset(
            settings.id, settings.config, split=settings.split, revision=settings.revision, streaming=True
        )
        for values in table:
            number += 1
            yield Row(f"{name}, split {settings.split}: row {number}", values)
    except InputError:
        raise
    except Exception as error:
        # `datasets` raises classes of a dozen packages for «not found», «offline» and «wrong split».
        what = str(error).strip().split("\n")[0][:300] or type(error).__name__
        raise InputError(
            f"The dataset {name} cannot be read after {number} rows: {what}. Check the id, --config and "
            "--split, your connection and, for gated sets, your login (hf auth login). Without a connection, "
            "download its files elsewhere and use: steiner problems file PATH."
        ) from error
