"""The dataset card: README.md with the header that the `datasets` library reads, and what is in the data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from steiner.dataset.settings import DatasetSettings
from steiner.dataset.statistics import DatasetStatistics, Distribution, SplitStatistics
from steiner.protocol import ControlToken

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""Names that the hub's cards use for the number of samples."""

EXAMPLE_CHARACTERS = 3000
BAR_WIDTH = 40

COLUMNS = (
    ("problem_id", "hash of the problem; all its samples are in one split"),
    ("question", "the question without its options"),
    ("prompt", "what is asked: the question with its options"),
    ("completion", "what the model learns to write, as text, without the end token"),
    ("prompt_ids", "token ids of the prompt under the tokenizer's chat template"),
    ("completion_ids", "token ids of the completion, end token included"),
    ("step_index", "parallel to completion_ids: number of the step, -1 outside steps"),
    ("node_ids", "id of each step's node in the step graph"),
    ("parents", "number of the step that each step continues, -1 for the question"),
    ("dead_ends", "for each step whether the right answer is out of reach from where it leads"),
    ("steps", "number of steps"),
    ("backtracks", "number of moves back"),
    ("reasoning_tokens", "tokens from the first to the last control token"),
    ("language", "language of the question"),
    ("family", "task or source of the question"),
)


def render_card(statistics: DatasetStatistics, settings: DatasetSettings, example: str) -> str:
    """Return the card as Markdown.

    Args:
        statistics: what is in the dataset.
        settings: what it was made with.
        example: one completion, shown at the end.
    """
    return "\n".join([*_header(statistics), *_body(statistics, settings), *_example(example)]) + "\n"


def _header(statistics: DatasetStatistics) -> Iterator[str]:
    samples = sum(split.samples for split in statistics.splits.values())
    languages = sorted({name for split in statistics.splits.values() for name in split.languages})
    yield from ("---", "pretty_name: Reasoning paths with backtracking", "language:")
    yield from (f"- {json.dumps(language)}" for language in languages)  # quoted: a bare `no` is false in YAML
    yield from ("task_categories:", "- text-generation", "tags:", "- reasoning", "- backtracking")
    yield from ("size_categories:", f"- {next((name for top, name in SIZES if samples < top), 'n>1M')}")
    # No `configs` with data files: the names of the files say the split, and datasets 5.2 takes two folders
    # of the same name and the same relative file names in a card for the same data, and serves the older
    # from its cache.
    yield from ("---", "")


def _body(statistics: DatasetStatistics, settings: DatasetSettings) -> Iterator[str]:
    yield from (
        "# Reasoning paths with backtracking",
        "",
        "Each sample is a question and one linear walk over the graph of its reasoning steps, with detours",
        "into directions that were given up, ending in the correct answer. Made by `steiner dataset`.",
        "",
        "```python",
        "import datasets",
        "",
        'dataset = datasets.load_dataset("path/to/this/folder")',
        "```",
        "",
        f"The token ids belong to the tokenizer `{statistics.tokenizer.name}` "
        f"({statistics.tokenizer.vocabulary:,} ids, digest `{statistics.tokenizer.digest}`) and to no other.",
        "",
    )
    for name, split in statistics.splits.items():
        yield from _split(name, split)
    yield from ("## Left out", "", *_dropped(statistics, settings), "")
    yield from ("## Columns", "", "| column | content |", "|---|---|")
    yield from (f"| `{name}` | {content} |" for name, content in COLUMNS)
    yield ""


def _split(name: str, split: SplitStatistics) -> Iterator[str]:
    yield from (
        f"## Split `{name}`",
        "",
        f"{split.samples:,} paths of {split.questions:,} questions; files: {split.files:,}.",
        "",
        "| per path | min | mean | median | p95 | max |",
        "|---|--:|--:|--:|--:|--:|",
        _row("steps", split.steps),
        _row("backtracks", split.backtracks),
        _row("reasoning tokens", split.reasoning_tokens),
        _row("all tokens", split.total_tokens),
        "",
        *_counts("language", split.languages),
        "",
        *_counts("source", split.sources),
        "",
        "Reasoning tokens a path:",
        "",
        "```text",
        *_bars(split.reasoning_tokens),
        "```",
        "",
    )


def _counts(what: str, counts: Mapping[str, int]) -> Iterator[str]:
    yield from (f"| {what} | paths |", "|---|--:|")
    for name, count in counts.items():
        cell = name.replace("|", "\\|")
        yield f"| {cell} | {count:,} |"


def _row(name: str, values: Distribution) -> str:
    return (
        f"| {name} | {values.min:,} | {values.mean:,.1f} | {values.median:,.1f} "
        f"| {values.p95:,} | {values.max:,} |"
    )


def _bars(values: Distribution) -> Iterator[str]:
    most = max(part.samples for part in values.histogram)
    width = len(f"{values.histogram[-1].high:,}")
    for part in values.histogram:
        bar = "█" * round(BAR_WIDTH * part.samples / most)
        yield f"{part.low:>{width},} to {part.high:>{width},}  {bar} {part.samples:,}"


def _dropped(statistics: DatasetStatistics, settings: DatasetSettings) -> Iterator[str]:
    budget = settings.budget
    yield (
        f"Kept are paths with fewer than {budget.max_reasoning_tokens:,} reasoning tokens and fewer than "
        f"{budget.max_total_tokens:,} tokens of prompt and completion."
    )
    if not statistics.dropped:
        yield "No path was left out."
        return
    yield from ("", *_counts("reason", statistics.dropped))


def _example(text: str) -> Iterator[str]:
    shown = text[:EXAMPLE_CHARACTERS]
    # Indented rather than fenced: the text may hold fences of its own.
    lines = shown.replace(ControlToken.STEP_START, f"\n{ControlToken.STEP_START}").split("\n")
    yield from ("## Example", "", "Line breaks before steps are added here.", "")
    yield from (f"    {line}" for line in lines)
    if len(text) > len(shown):
        yield f"    … ({len(text) - len(shown):,} characters more)"
