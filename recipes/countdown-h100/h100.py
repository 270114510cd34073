"""Countdown with four numbers on one GPU: does accuracy rise with the steps that are allowed?

    python recipes/countdown-h100/h100.py --stage data       # processor cores
    python recipes/countdown-h100/h100.py --stage cpt        # the GPU from here on
    python recipes/countdown-h100/h100.py --stage sft
    python recipes/countdown-h100/h100.py --stage rl
    python recipes/countdown-h100/h100.py --stage evaluate
    python recipes/countdown-h100/h100.py --stage page

A model of 22M parameters from scratch, on the protocol of Stream of Search. Each command goes on where it was
when run again; `--minutes 9` stops it in time for that. `--kind shortcut` trains the model of shortcut paths
that the baselines need. `--size tiny` does all of it on a CPU. README.md says what is measured.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import typer

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from countdown_common import SUMS, Ask, changed, measure, rehearsed  # noqa: E402
from h100_data import GAME24, KINDS, RL, SEARCH, SHORTCUT, SPLITS, DataSize, make_data, make_game24_run  # noqa: E402

STAGES = ("data", "cpt", "sft", "rl", "evaluate", "page")
LIMITS = (3, 6, 12, 18, 24, 36, 48, 72, 96)
SHORT = {SEARCH: 12, SHORTCUT: 3}
"""Steps of the completions that vote: what a model of each kind needs for a try or two."""
LARGEST = 60 * 2**20
"""Most bytes of a checkpoint, so that it can be shipped."""
PART = 15 * 2**20
"""Bytes of a piece that `--pack` writes."""
PUZZLES = 100
"""Of the Game of 24, as many as the log has."""
UNFINISHED = 3
"""Exit code of a command that `--minutes` stopped."""


class Size(NamedTuple):
    """How big a run is."""

    data: DataSize
    cpt_tokens: int
    sft_tokens: int
    updates: int
    prompts: int
    group: int
    samples: int
    """Completions of each problem that vote."""
    limits: tuple[int, ...] = LIMITS
    reasoning: int = 3500
    """Most tokens of reasoning."""
    batch: int = 512
    """Completions that are written at once in the evaluation."""
    architecture: dict[str, int] | None = None
    """Instead of that of cpt.toml."""


SMALL_MODEL = {
    "hidden_size": 32,
    "layers": 2,
    "heads": 2,
    "kv_heads": 1,
    "intermediate_size": 64,
    "context": 4096,
}
SIZES = {
    "tiny": Size(
        DataSize(20, 6, 4, 1, 12), 6_000, 9_000, 1, 2, 4, 2, limits=(3, 6), reasoning=120, batch=8,
        architecture=SMALL_MODEL,
    ),
    "full": Size(DataSize(100_000, 5_000, 1_000, 64, 150), 40_000_000, 250_000_000, 40, 64, 16, 32),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Do one stage, or all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stage", choices=(*STAGES, "all"), default="all")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--output", type=Path, default=Path("runs/countdown-h100"))
    parser.add_argument(
        "--kind", choices=KINDS, help="model of cpt, sft and pack; default: search, with `all` both"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--problems", type=int, help="training problems; the size's by default")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that make data")
    parser.add_argument("--tot-log", type=Path, help="log of tree-of-thought-llm: its Game of 24 puzzles too")
    parser.add_argument("--minutes", type=float, help="stop after so long; the same command goes on")
    parser.add_argument(
        "--pack", type=Path, help="write what is finished, as pieces of 15 MiB, to this folder"
    )
    parser.add_argument("--unpack", type=Path, help="take it from there first")
    given = parser.parse_args(arguments)
    if given.minutes:
        raise SystemExit(within(given.minutes, sys.argv[1:] if arguments is None else list(arguments)))
    size = SIZES[given.size]
    if given.problems:
        fewer = min(size.data.rl_problems, given.problems)
        data = size.data._replace(problems=given.problems, rl_problems=fewer)
        size = size._replace(data=data)
    out: Path = given.output
    out.mkdir(parents=True, exist_ok=True)
    if given.unpack:
        unpack(given.unpack, out)
    if given.pack and given.stage == "all":
        pack(out, given.pack, [given.kind] if given.kind else KINDS, given.seed)
        return
    kinds = [given.kind] if given.kind else KINDS if given.stage == "all" else [SEARCH]
    work = stages(out, size, kinds, given.seed, given.tot_log, given.workers)
    for name in STAGES if given.stage == "all" else (given.stage,):
        work[name]()
    if given.pack:
        pack(out, given.pack, [given.kind or SEARCH], given.seed)


def stages(
    out: Path, size: Size, kinds: Sequence[str], seed: int, log: Path | None, workers: int
) -> dict[str, Callable[[], None]]:
    """Return what each stage does."""
    from h100_page import disjoint, write_page

    def data() -> None:
        make_data(out, size.data, workers)
        if log is not None:
            make_game24_run(out, log)
        disjoint(out)

    def cpt() -> None:
        for kind in kinds:
            train_cpt(out, size, kind, seed)

    def sft() -> None:
        for kind in kinds:
            train_sft(out, size, kind, seed)

    return {
        "data": data,
        "cpt": cpt,
        "sft": sft,
        "rl": lambda: train_rl(out, size, seed),
        "evaluate": lambda: evaluate(out, size, seed),
        "page": lambda: typer.echo(write_page(out, size)),
    }


def within(minutes: float, words: Sequence[str]) -> int:
    """Run this script for at most so long; return its exit code, or `UNFINISHED`."""
    place = words.index("--minutes") if "--minutes" in words else None
    kept = [*words[:place], *words[place + 2 :]] if place is not None else list(words)
    child = subprocess.Popen([sys.executable, str(HERE / "h100.py"), *kept])
    try:
        return child.wait(minutes * 60)
    except subprocess.TimeoutExpired:
        child.terminate()
        child.wait()
        typer.echo(f"Stopped after {minutes:g} minutes: run the same command again to go on.", err=True)
        return UNFINISHED


def folder(out: Path, kind: str, seed: int) -> Path:
    """Return where the stages and evaluations of a model lie."""
    return out / kind / f"seed-{seed}"


def train_cpt(out: Path, size: Size, kind: str, seed: int) -> None:
    """Pre-train a new model, or go on, or find it done."""
    from steiner.cli.train import load_toml
    from steiner.cli.ui import RichProgress
    from steiner.train import supervised
    from steiner.train.settings import CptSettings

    base = load_toml(CptSettings, HERE / "cpt.toml")
    place = folder(out, kind, seed) / "cpt"
    new = {"architecture": size.architecture or base.model.architecture, "tokenizer": str(out / "tokenizer")}
    settings = changed(
        base, output=str(place), dataset=str(out / "data" / kind / "dataset"), seed=seed,
        text=[str(out / SUMS)], tokens=size.cpt_tokens, model=new,
    )  # fmt: skip
    supervised.train_cpt(settings, progress=RichProgress())
    write_bf16(place)


def train_sft(out: Path, size: Size, kind: str, seed: int) -> None:
    """Fine-tune, or go on, or find it done."""
    from steiner.cli.train import load_toml
    from steiner.cli.ui import RichProgress
    from steiner.train import supervised
    from steiner.train.settings import SftSettings

    place = folder(out, kind, seed)
    tuning = load_toml(SftSettings, HERE / "sft.toml")
    settings = changed(
        tuning, output=str(place / "sft"), seed=seed, rehearsal=rehearsed(tuning, out),
        dataset=str(out / "data" / kind / "dataset"), tokens=size.sft_tokens,
        model={"path": str(place / "cpt" / "bf16")},
    )  # fmt: skip
    supervised.train_sft(settings, progress=RichProgress())
    write_bf16(place / "sft")


def train_rl(out: Path, size: Size, seed: int) -> None:
    """Train the searching model with step rewards, or go on, or find it done."""
    from steiner.cli.common import is_right, reader_for
    from steiner.cli.train import load_toml
    from steiner.cli.ui import RichProgress
    from steiner.train import rl
    from steiner.train.settings import RlSettings

    base = load_toml(RlSettings, HERE / "rl.toml")
    place = folder(out, SEARCH, seed)
    batch = min(base.optimiser.batch_size, size.prompts * size.group)
    settings = changed(
        base, output=str(place / "rl"), run=str(out / "data" / RL), steps=size.updates, prompts=size.prompts,
        group=size.group, max_reasoning_tokens=min(base.max_reasoning_tokens, size.reasoning), seed=seed,
        model={"path": str(place / "sft" / "bf16")},
        optimiser=base.optimiser.model_dump() | {"batch_size": batch},
    )  # fmt: skip
    rl.train_rl(settings, is_right, reader_for("countdown"), progress=RichProgress())
    write_bf16(place / "rl")


def write_bf16(stage: Path) -> None:
    """Write the finished model of a stage in bf16 beside it: what is measured, shipped and trained on.

    Raises:
        InputError: if it is larger than a checkpoint may be.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from steiner.core import InputError

    target = stage / "bf16"
    if target.is_dir():
        return
    part = stage / "bf16.part"
    shutil.rmtree(part, ignore_errors=True)
    model = AutoModelForCausalLM.from_pretrained(stage / "model", dtype=torch.bfloat16, use_safetensors=True)
    model.save_pretrained(part)
    AutoTokenizer.from_pretrained(stage / "model").save_pretrained(part)
    size = sum(file.stat().st_size for file in part.iterdir())
    if size > LARGEST:
        raise InputError(
            f"The checkpoint {stage} takes {size / 2**20:.0f} MiB in bf16, more than {LARGEST / 2**20:.0f}: "
            "make the model of cpt.toml smaller."
        )
    part.rename(target)


def evaluate(out: Path, size: Size, seed: int) -> None:
    """Measure every model there is: against allowed steps, and as short completions that vote."""
    tests = [name for name in (*SPLITS, GAME24) if (out / name).is_dir()]
    ask = Ask(size.limits, size.data.heldout, size.reasoning, batch=size.batch, seed=seed)
    short = ask._replace(samples=size.samples, temperature=1.0)
    for kind in KINDS:
        place = folder(out, kind, seed)
        made = [stage for stage in ("sft", "rl") if (place / stage / "bf16").is_dir()]
        for test in tests:
            problems = PUZZLES if test == GAME24 else size.data.heldout
            if kind == SEARCH:
                for stage in made:
                    asked = ask._replace(problems=problems)
                    measure(place / stage / "bf16", out / test, place / f"{stage}-{test}.json", asked)
            if made:
                limit = min(SHORT[kind], size.limits[-1])
                pool = short._replace(problems=problems, limits=(limit,))
                measure(place / made[-1] / "bf16", out / test, place / f"{made[-1]}-{test}-pool.json", pool)


def pack(out: Path, target: Path, kinds: Sequence[str], seed: int) -> None:
    """Write the newest model of each kind, records and evaluations as pieces that are easily carried away.

    Data and checkpoints in the middle of a stage stay behind: data can be made again from its seeds, a stage
    is to be finished before the machine goes.
    """
    target.mkdir(parents=True, exist_ok=True)
    archive = target / "packed.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=3) as tar:
        for file in sorted(carried(out, kinds, seed)):
            tar.add(file, str(file.relative_to(out)))
    content = archive.read_bytes()
    archive.unlink()
    for old in target.glob("packed-*"):
        old.unlink()
    for number, begin in enumerate(range(0, len(content), PART)):
        (target / f"packed-{number:03d}").write_bytes(content[begin : begin + PART])


def carried(out: Path, kinds: Sequence[str], seed: int) -> list[Path]:
    """Return the files to carry: the newest model of each kind, every record and evaluation."""
    files = [one for one in out.iterdir() if one.suffix in (".jsonl", ".json", ".md", ".svg")]
    files += [one for one in (out / "tokenizer").glob("*") if one.is_file()]
    for kind in KINDS:
        files += folder(out, kind, seed).glob("*.json")
        files += folder(out, kind, seed).glob("*/training.json")
    for kind in kinds:
        stages = [folder(out, kind, seed) / stage / "bf16" for stage in ("rl", "sft", "cpt")]
        newest = next((stage for stage in stages if stage.is_dir()), None)
        files += newest.glob("*") if newest else []
    return files


def unpack(source: Path, out: Path) -> None:
    """Put back what `pack` wrote; files that are there already stay.

    Raises:
        InputError: if there is nothing.
    """
    import io

    from steiner.core import InputError

    pieces = sorted(source.glob("packed-*"))
    if not pieces:
        raise InputError(f"{source} holds no files packed-000, packed-001, …: nothing was packed there.")
    content = io.BytesIO(b"".join(piece.read_bytes() for piece in pieces))
    with tarfile.open(fileobj=content, mode="r:gz") as tar:
        members = [one for one in tar.getmembers() if not (out / one.name).exists()]
        tar.extractall(out, members, filter="data")


if __name__ == "__main__":
    main()
