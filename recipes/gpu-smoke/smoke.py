"""All three stages on one GPU in a few minutes: do they run in bf16, and how much of the card do they use?

    python recipes/gpu-smoke/smoke.py                  # a model of 82M parameters, on a GPU
    python recipes/gpu-smoke/smoke.py --size tiny      # on the CPU, in a minute or two: only whether it works

A Qwen2 model is made from scratch with a small tokenizer and taken through CPT, SFT and RL on Countdown.
The table says tokens per second and model FLOPs utilisation: the arithmetic of the model's matrices and
attention by the formulas of docs/planning.md, as a share of what the card reaches in one large bf16 matrix
product. The first steps of a stage, in which kernels are chosen and memory is taken, count. Run again, it
goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from steiner.cli.common import is_right, reader_for
from steiner.cli.quickstart import plan as quickstart
from steiner.cli.sample import writer_for
from steiner.cli.ui import RichProgress, out
from steiner.core import InputError, Record, SteinerError
from steiner.dataset.corpus import run_texts
from steiner.dataset.read import load_statistics
from steiner.dataset.settings import DatasetSettings
from steiner.dataset.tokenizer import train_tokenizer
from steiner.dataset.write import write_dataset
from steiner.graph.path_stage import make_paths
from steiner.graph.stage import GraphSettings, make_graphs
from steiner.problems.arithmetic import arithmetic_documents
from steiner.problems.countdown import Limits
from steiner.problems.source import CountdownProblems, countdown_source, write_problems
from steiner.store import RunDir, atomic_write
from steiner.synthesis import synthesise_run
from steiner.train.plan import Rollouts, Workload, read_shape, stage_flops
from steiner.train.rl import train_rl
from steiner.train.settings import (
    Architecture,
    CptSettings,
    ModelSettings,
    OptimiserSettings,
    RlSettings,
    SftSettings,
)
from steiner.train.stage import TrainingRecord
from steiner.train.supervised import train_cpt, train_sft


class Size(NamedTuple):
    """How big the smoke test is."""

    architecture: Architecture
    problems: int
    row_tokens: int
    """Tokens of a packed row."""
    rows: int
    """Rows of an update."""
    seconds: float
    """Aimed at for CPT and for SFT each, if the card reaches `expected` of its ceiling."""
    least_tokens: int
    updates: int
    """Of RL."""
    prompts: int
    group: int
    max_steps: int
    matrix: int
    """Rows of the square matrices that the ceiling is measured with."""


EXPECTED = 0.2
"""Utilisation that the number of tokens is chosen by. A card that reaches less takes longer."""
SIZES = {
    "tiny": Size(
        Architecture(hidden_size=64, layers=2, heads=4, kv_heads=2, intermediate_size=128, context=1024),
        problems=100, row_tokens=1024, rows=2, seconds=5, least_tokens=20_000, updates=1, prompts=2, group=4,
        max_steps=4, matrix=512,
    ),
    "80m": Size(
        Architecture(hidden_size=768, layers=12, heads=12, kv_heads=4, intermediate_size=2304, context=4096),
        problems=2000, row_tokens=4096, rows=16, seconds=90, least_tokens=1_000_000, updates=8, prompts=16,
        group=8, max_steps=16, matrix=8192,
    ),
}  # fmt: skip


class Ceiling(Record):
    """What the card reaches, measured once per output folder: the sizes of the stages follow from it."""

    device: str
    tflops: float
    """bf16 matrix product, 10^12 operations per second."""


class StageFigures(Record):
    """How fast a stage ran."""

    stage: str
    steps: int
    tokens: int
    """Trained on, without padding; in RL those of completions."""
    seconds: float
    tokens_per_second: float
    model_tflops: float
    """Arithmetic of the model per second, 10^12 operations; in RL that of writing completions included."""
    utilisation: float
    """`model_tflops` as a share of the ceiling."""
    first_loss: float
    last_loss: float
    peak_gib: float | None
    """Most memory of the GPU that PyTorch held; None on a CPU and for what was trained before."""


def measure_ceiling(size: int, rounds: int = 10) -> Ceiling:
    """Return the speed of the fastest of some bf16 products of square matrices."""
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    one, two = (torch.randn(size, size, dtype=torch.bfloat16, device=device) for _ in range(2))
    best = math.inf
    for _ in range(3):
        started = time.perf_counter()
        for _ in range(rounds):
            one @ two
        if cuda:
            torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - started) / rounds)
    name = torch.cuda.get_device_name() if cuda else "CPU"
    return Ceiling(device=name, tflops=2 * size**3 / best / 1e12)


def known_ceiling(run: Path, size: int) -> Ceiling:
    """Return the ceiling that this folder's stages were planned with, measured now if they were not yet."""
    file = run / "ceiling.json"
    if file.exists():
        return Ceiling.model_validate_json(file.read_bytes())
    ceiling = measure_ceiling(size)
    with atomic_write(file) as stream:
        stream.write(ceiling.model_dump_json(indent=1).encode())
    return ceiling


def make_data(run: Path, size: Size) -> None:
    """Make problems, traces, graphs, paths, tokenizer, plain text and dataset, as the quickstart does."""
    plan = quickstart.Plan(problems=size.problems)
    progress = RichProgress()
    with RunDir(run) as held:
        countdown = quickstart.problem_settings(plan)
        write_problems(held, countdown_source(CountdownProblems(n=size.problems, countdown=countdown)))
        synthesise_run(held, quickstart.synthesis_settings(plan), progress=progress)
        make_graphs(held, GraphSettings(), progress=progress)
        make_paths(held, quickstart.sample_settings(plan), writer_for=writer_for, progress=progress)
        if not (run / "tokenizer" / "tokenizer_config.json").exists():
            train_tokenizer(run_texts(held), 512, plan.max_result).save_pretrained(run / "tokenizer")
        documents = arithmetic_documents(plan.max_result, Limits(max_result=plan.max_result), seed=0)
        (run / "arithmetic.txt").write_text("\n\n".join(documents), encoding="utf-8")
        write_dataset(held, DatasetSettings(tokenizer=str(run / "tokenizer")), progress=progress)


def token_budget(size: Size, ceiling: Ceiling) -> int:
    """Return the tokens of CPT, and as many of SFT, that take about `size.seconds` on this card."""
    made = size.architecture
    layer = 2 * made.hidden_size**2 + 3 * made.hidden_size * made.intermediate_size
    affordable = size.seconds * EXPECTED * ceiling.tflops * 1e12 / (6 * made.layers * layer)
    return min(max(size.least_tokens, round(affordable)), 50 * size.least_tokens)


def stage_settings(run: Path, size: Size, tokens: int) -> tuple[CptSettings, SftSettings, RlSettings]:
    """Return the settings of the three stages, bf16 throughout."""
    optimiser = OptimiserSettings(
        learning_rate=5e-4, batch_size=size.rows, precision="bf16", warmup_share=0.1, weight_decay=0.1,
        beta2=0.95, save_every=10_000,
    )  # fmt: skip
    rows = {"context": size.architecture.context, "row_tokens": size.row_tokens, "optimiser": optimiser}
    data = {"dataset": str(run / "dataset"), "tokens": tokens}
    cpt = CptSettings(
        output=str(run / "cpt"),
        model=ModelSettings(architecture=size.architecture, tokenizer=str(run / "tokenizer")),
        text=(str(run / "arithmetic.txt"),),
        text_share=0.3,
        **rows,
        **data,
    )
    sft = SftSettings(
        output=str(run / "sft"), model=ModelSettings(path=str(run / "cpt" / "model")), **rows, **data
    )
    rl = RlSettings(
        output=str(run / "rl"),
        model=ModelSettings(path=str(run / "sft" / "model")),
        run=str(run),
        steps=size.updates,
        prompts=size.prompts,
        group=size.group,
        max_steps=size.max_steps,
        max_reasoning_tokens=size.max_steps * quickstart.Plan().step_tokens,
        max_answer_tokens=24,
        optimiser=optimiser.model_copy(
            update={"learning_rate": 1e-5, "batch_size": min(32, size.prompts * size.group)}
        ),
    )
    return cpt, sft, rl


def workload(run: Path, record: TrainingRecord, size: Size) -> Workload:
    """Describe a stage that was trained to the planner, which knows the arithmetic of a model."""
    split = load_statistics(run / "dataset").splits["train"]
    mean = round(split.total_tokens.mean)
    rollouts = None
    if record.stage == "rl":
        completions = size.prompts * size.group
        prompt = max(1, round(split.total_tokens.mean - split.reasoning_tokens.mean))
        written = max(1, round(record.tokens / (record.steps * completions)))
        mean = prompt + written
        rollouts = Rollouts(
            updates=record.steps, completions=completions, prompt=prompt, completion=written,
            mean_completion=written,
        )  # fmt: skip
        tokens = record.steps * completions * mean
    else:
        tokens = record.tokens
    return Workload(
        stage=record.stage, batch=size.rows, context=max(mean, size.row_tokens), mean_sequence=mean,
        tokens=tokens, rollouts=rollouts,
    )  # fmt: skip


def figures(
    run: Path, record: TrainingRecord, size: Size, ceiling: Ceiling, peak: float | None
) -> StageFigures:
    """Return how fast a stage ran."""
    flops = stage_flops(read_shape(run / record.stage / "model"), workload(run, record, size))
    tflops = (flops.model + flops.rollouts) / record.seconds / 1e12
    losses = [point.values["loss"] for point in record.curve]
    return StageFigures(
        stage=record.stage,
        steps=record.steps,
        tokens=record.tokens,
        seconds=record.seconds,
        tokens_per_second=record.tokens / record.seconds,
        model_tflops=tflops,
        utilisation=tflops / ceiling.tflops,
        first_loss=losses[0],
        last_loss=losses[-1],
        peak_gib=peak,
    )


def watched(train: Callable[[], TrainingRecord]) -> tuple[TrainingRecord, float | None]:
    """Train a stage; return its record and the most memory that it took, in GiB."""
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    record = train()
    most = torch.cuda.max_memory_allocated() / 2**30 if cuda else None
    return record, most or None


def check(found: list[StageFigures]) -> None:
    """Refuse what cannot be right.

    Raises:
        InputError: names the stage.
    """
    for one in found:
        if not (math.isfinite(one.last_loss) and one.seconds > 0):
            raise InputError(f"{one.stage}: the loss ended at {one.last_loss}.")
        if one.stage != "rl" and one.last_loss >= one.first_loss:
            raise InputError(
                f"{one.stage}: the loss went from {one.first_loss:.3f} to {one.last_loss:.3f}; it should "
                "fall. Compare with precision fp32 before you trust this card with more."
            )


def table(ceiling: Ceiling, parameters: int, found: list[StageFigures]) -> str:
    """Return the figures as Markdown."""
    lines = [
        f"{ceiling.device}: {ceiling.tflops:,.2f} TFLOP/s in bf16 matrix products; {parameters:,} parameters",
        "",
        "| stage | updates | tokens | seconds | tokens/s | model TFLOP/s | utilisation | loss | GiB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for one in found:
        peak = "–" if one.peak_gib is None else f"{one.peak_gib:.1f}"
        lines.append(
            f"| {one.stage} | {one.steps:,} | {one.tokens:,} | {one.seconds:,.0f} "
            f"| {one.tokens_per_second:,.0f} | {one.model_tflops:,.2f} | {one.utilisation:.1%} "
            f"| {one.first_loss:.3f} → {one.last_loss:.3f} | {peak} |"
        )
    return "\n".join(lines)


def smoke(run: Path, name: str) -> list[StageFigures]:
    """Do everything, print the table and leave it as `smoke.json`."""
    size = SIZES[name]
    run.mkdir(parents=True, exist_ok=True)
    ceiling = known_ceiling(run, size.matrix)
    make_data(run, size)
    tokens = token_budget(size, ceiling)
    cpt, sft, rl = stage_settings(run, size, tokens)
    progress = RichProgress()
    stages: list[Callable[[], TrainingRecord]] = [
        lambda: train_cpt(cpt, progress=progress),
        lambda: train_sft(sft, progress=progress),
        lambda: train_rl(rl, is_right, reader_for("countdown"), progress=progress),
    ]
    found = []
    for train in stages:
        record, peak = watched(train)
        found.append(figures(run, record, size, ceiling, peak))
    content = {"ceiling": ceiling.model_dump(), "stages": [one.model_dump() for one in found]}
    with atomic_write(run / "smoke.json") as stream:
        stream.write(json.dumps(content, indent=1).encode())
    out.print(table(ceiling, read_shape(run / "cpt" / "model").parameters, found), markup=False)
    check(found)
    return found


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="80m")
    parser.add_argument("--output", type=Path, default=None, help="default: runs/gpu-smoke-SIZE")
    options = parser.parse_args()
    if options.size != "tiny" and not torch.cuda.is_available():
        parser.error("there is no GPU here; --size tiny runs on the CPU")
    try:
        smoke(options.output or Path("runs") / f"gpu-smoke-{options.size}", options.size)
    except SteinerError as error:
        parser.exit(error.exit_code, f"error: {error}\n")


if __name__ == "__main__":
    main()
