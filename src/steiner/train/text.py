"""Plain text for continual pre-training, read as a stream: local files and datasets of the hub."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from steiner.core import InputError
from steiner.protocol import TextEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BATCH = 256
"""Documents encoded at a time."""
LOCAL = (".txt", ".md", ".jsonl", ".parquet")
"""Endings of files that can be read. Every other ending is read as `.txt`."""


def read_documents(sources: Sequence[str], column: str = "text") -> Iterator[str]:
    """Yield the documents of all sources, one of each in turn until all have ended.

    Args:
        sources: files, or ids of datasets on the hub (`owner/name`, `owner/name:config`; their training
            split). In a `.txt` file a document is what stands between blank lines; in `.jsonl`, `.parquet`
            and datasets it is one row's `column`.
        column: name of the text column.

    Raises:
        InputError: if a source cannot be read, lacks the column, or all are empty.
    """
    found = False
    streams = [_open(source, column) for source in sources]
    while streams:
        ended = []
        for stream in streams:
            document = next(stream, None)
            if document is None:
                ended.append(stream)
            else:
                found = True
                yield document
        streams = [stream for stream in streams if stream not in ended]
    if not found:
        raise InputError(f"There is no text in {', '.join(sources)}.")


def encode_documents(documents: Iterator[str], tokenizer: PreTrainedTokenizerBase) -> Iterator[list[int]]:
    """Yield the ids of each document, an end-of-text token at its end.

    What looks like a control or special token in the text stays text.
    """
    encoder = TextEncoder(tokenizer)
    while batch := list(itertools.islice(documents, BATCH)):
        for ids in encoder.encode(batch):
            yield [*ids, tokenizer.eos_token_id]


def sources_digest(sources: Sequence[str]) -> str:
    """Return a hash of the contents of local files and of the names of hub datasets."""
    total = hashlib.sha256()
    for source in sources:
        path = Path(source)
        if path.is_file():
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        else:
            total.update(source.encode())
    return total.hexdigest()[:16]


def _open(source: str, column: str) -> Iterator[str]:
    path = Path(source)
    if path.is_file():
        if path.suffix == ".parquet":
            return _read_parquet(path, column)
        return _read_jsonl(path, column) if path.suffix == ".jsonl" else _read_text(path)
    if path.is_dir():
        raise InputError(f"{source} is a folder: name the text files in it.")
    name = source.partition(":")[0]
    if path.suffix in LOCAL or name.count("/") != 1 or source.startswith((".", "/", "~")):
        raise InputError(f"The text file {source} does not exist.")
    return _read_hub(source, column)


def _read_text(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from _paragraphs(file)
    except UnicodeDecodeError as error:
        raise InputError(f"The text file {path} is no UTF-8 text: {error}.") from error


def _paragraphs(lines: Iterator[str]) -> Iterator[str]:
    document: list[str] = []
    for line in lines:
        if line.strip():
            document.append(line.rstrip("\r\n"))
        elif document:
            yield "\n".join(document)
            document = []
    if document:
        yield "\n".join(document)


def _read_jsonl(path: Path, column: str) -> Iterator[str]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield from _text_of(json.loads(line), column, f"Line {number} of {path}")
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read as JSON lines after line {number}: {error}.") from error


def _read_parquet(path: Path, column: str) -> Iterator[str]:
    try:
        with pq.ParquetFile(path) as file:
            if column not in file.schema_arrow.names:
                raise InputError(
                    f"{path} has no column '{column}'; it has: {', '.join(file.schema_arrow.names)}. "
                    "Set text_column."
                )
            for batch in file.iter_batches(BATCH, columns=[column]):
                for row in batch.to_pylist():
                    yield from _text_of(row, column, str(path))
    except pa.ArrowException as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}") from error


def _read_hub(source: str, column: str) -> Iterator[str]:
    import datasets

    name, _, config = source.partition(":")
    try:
        rows = datasets.load_dataset(name, config or None, split="train", streaming=True)
    except Exception as error:  # a dozen classes, by what failed: no network, no such id, no such config
        raise InputError(
            f"The text source '{source}' is no file, and the dataset of that name cannot be read from "
            f"the hub: {str(error).strip().split(chr(10))[0]} Check the id (owner/name or owner/name:config) "
            "and the network, or download it and name its Parquet files."
        ) from error
    for row in rows:
        yield from _text_of(row, column, source)


def _text_of(row: object, column: str, place: str) -> Iterator[str]:
    """Yield the text of a row unless it is empty."""
    if not isinstance(row, dict) or column not in row:
        known = f" It has: {', '.join(map(str, row))}." if isinstance(row, dict) else ""
        raise InputError(f"{place} has no column '{column}'.{known} Set text_column.")
    text = row[column]
    if text is None or (isinstance(text, str) and not text.strip()):
        return
    if not isinstance(text, str):
        raise InputError(
            f"{place}: column '{column}' holds {type(text).__name__}, not text. Set text_column."
        )
    yield text
