"""Tokens per second and peak memory of CPT and SFT: ours, a bare PyTorch loop, TRL's SFTTrainer as it comes.

Run: python benchmarks/training.py            (two to ten minutes; --quick for a look, --json FILE to keep it)

One model, one data set, each contestant in a process of its own, in turn, `--repeats` times; the table gives
medians, and ratios to «ours, packed» of the same stage within the same round.

- ours, packed / padded: `train_cpt` and `train_sft` with `packing` on and off.
- bare loop: the very batches of «ours, packed» (or padded), a plain forward, cross entropy on whole logits,
  backward, clipping, the optimiser; no logging, no checkpoints, no metrics.
- TRL as it comes: `SFTTrainer` with `SFTConfig()` defaults (8 sequences a step, in random order, padded,
  gradient checkpointing, no packing) on the same samples, tokenised already.

A token counts once, padding never. Seconds are those of the training loop, without loading. Peak
memory is that of the process (on a GPU that of the device), what it loaded included.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

CONTESTANTS = {
    "cpt": ("packed", "padded", "bare", "trl"),
    "sft": ("packed", "padded", "bare", "bare padded", "trl"),
}
NAMES = {
    "packed": "ours, packed",
    "padded": "ours, padded by length",
    "bare": "bare loop, packed batches",
    "bare padded": "bare loop, padded batches",
    "trl": "TRL's SFTTrainer as it comes",
}


class Measured(NamedTuple):
    """One run of one contestant."""

    tokens: int
    """Without padding."""
    seconds: float
    cpu_seconds: float
    """Of all threads of the process."""
    peak_mib: float
    fill: float
    """Share of the places in all batches that hold a token."""
    last_loss: float

    def speed(self, clock: str) -> float:
        """Return tokens per second of the clock, `wall` or `cpu`."""
        return self.tokens / (self.cpu_seconds if clock == "cpu" else self.seconds)


class Size(NamedTuple):
    """What is trained, and on how much."""

    hidden: int
    layers: int
    problems: int
    tokens: int
    row_tokens: int
    rows: int
    """Per update."""
    algorithm: str
    precision: str


def make_data(folder: Path, size: Size) -> None:
    """Make Countdown problems, paths as the quickstart samples them, plain text, tokenizer and dataset."""
    from steiner.cli.quickstart import plan as of
    from steiner.cli.sample import writer_for
    from steiner.dataset.corpus import run_texts
    from steiner.dataset.settings import DatasetSettings
    from steiner.dataset.tokenizer import train_tokenizer
    from steiner.dataset.write import write_dataset
    from steiner.graph.path_stage import make_paths
    from steiner.graph.stage import GraphSettings, make_graphs
    from steiner.problems.arithmetic import arithmetic_documents
    from steiner.problems.source import CountdownProblems, countdown_source, write_problems
    from steiner.store import RunDir
    from steiner.synthesis import synthesise_run

    plan = of.Plan(problems=size.problems)
    with RunDir(folder) as run:
        countdown = of.problem_settings(plan)
        write_problems(run, countdown_source(CountdownProblems(n=plan.problems, countdown=countdown)))
        synthesise_run(run, of.synthesis_settings(plan))
        make_graphs(run, GraphSettings())
        make_paths(run, of.sample_settings(plan), writer_for=writer_for)
        train_tokenizer(run_texts(run), 512, plan.max_result).save_pretrained(folder / "tokenizer")
        write_dataset(run, DatasetSettings(tokenizer=str(folder / "tokenizer"), validation_share=0.0))
        documents = arithmetic_documents(plan.max_result, countdown.limits, seed=0)
        (folder / "text.txt").write_text("\n\n".join(documents), encoding="utf-8")


def settings_of(stage: str, data: Path, output: Path, size: Size, *, packing: bool) -> Any:
    """Return the settings of a stage; both ways of batching have about as many tokens in an update."""
    from steiner.train.settings import (
        Architecture,
        CptSettings,
        ModelSettings,
        OptimiserSettings,
        SftSettings,
    )

    mean = mean_tokens(data)
    context = 2048
    architecture = Architecture(
        hidden_size=size.hidden,
        layers=size.layers,
        heads=4,
        kv_heads=2,
        intermediate_size=3 * size.hidden,
        context=context,
    )
    batch = size.rows if packing else max(1, round(size.rows * size.row_tokens / mean))
    common = {
        "output": str(output),
        "dataset": str(data / "dataset"),
        "model": ModelSettings(architecture=architecture, tokenizer=str(data / "tokenizer")),
        "tokens": size.tokens,
        "context": context,
        "packing": packing,
        "row_tokens": size.row_tokens,
        "optimiser": OptimiserSettings(
            algorithm=size.algorithm,
            learning_rate=1e-3,
            batch_size=batch,
            precision=size.precision,
            save_every=1_000_000,
        ),
    }
    if stage == "sft":
        return SftSettings.model_validate(common)
    return CptSettings.model_validate(common | {"text": [str(data / "text.txt")], "text_block": 256})


def mean_tokens(data: Path) -> float:
    """Return the mean length of a sample."""
    from steiner.dataset import load_statistics

    return load_statistics(data / "dataset").splits["train"].total_tokens.mean


def measure(stage: str, contestant: str, data: Path, output: Path, size: Size) -> Measured:
    """Run one contestant in this process."""
    import torch

    settings = settings_of(stage, data, output, size, packing=contestant in ("packed", "bare", "trl"))
    if contestant in ("packed", "padded"):
        found = run_ours(stage, settings)
    else:
        found = (run_trl if contestant == "trl" else run_bare)(stage, settings)
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 2**20
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found._replace(peak_mib=peak)


def material_of(stage: str, settings: Any) -> tuple[Any, Any]:
    """Return what a stage reads and the tokenizer."""
    from steiner.train.model import load_tokenizer
    from steiner.train.supervised import cpt_material, sft_material

    tokenizer = load_tokenizer(settings.model)
    return (cpt_material if stage == "cpt" else sft_material)(settings, tokenizer), tokenizer


def run_ours(stage: str, settings: Any) -> Measured:
    """Train with the stage itself."""
    from steiner.train.supervised import train_cpt, train_sft

    record = (train_cpt if stage == "cpt" else train_sft)(settings)
    loss = record.curve[-1].values["loss"]
    fill = fill_of(stage, settings)
    return Measured(record.tokens, record.seconds, record.cpu_seconds, 0.0, fill, loss)


def fill_of(stage: str, settings: Any) -> float:
    """Return how full the batches are; for padded ones, as `trainer_batches` groups them."""
    material, tokenizer = material_of(stage, settings)
    batches = trainer_batches(material, settings, tokenizer)
    return material.tokens / sum(batch["input_ids"].numel() for batch in batches)


def trainer_batches(material: Any, settings: Any, tokenizer: Any) -> list[dict[str, Any]]:
    """Return the batches of an epoch as the stage's trainer makes them: same order, same collator."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from steiner.train.batches import PackedCollator

    rows, size = list(material.dataset), settings.optimiser.batch_size
    kind = PackedCollator if material.packed else DataCollatorForLanguageModeling
    collate = kind(tokenizer.pad_token_id)
    return [collate(rows[start : start + size]) for start in range(0, len(rows), size)]


def run_bare(stage: str, settings: Any) -> Measured:
    """Train with nothing but PyTorch on batches that lie ready."""
    import torch
    from torch.nn.functional import cross_entropy

    from steiner.train.model import load_model, use_bf16
    from steiner.train.optimiser import make_optimiser
    from steiner.train.stage import keep_memory

    keep_memory()
    material, tokenizer = material_of(stage, settings)
    batches = trainer_batches(material, settings, tokenizer)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    optimiser = settings.optimiser
    model = load_model(settings.model, tokenizer, settings.seed, optimiser.precision).to(device).train()
    stepper = make_optimiser(model, optimiser) or torch.optim.AdamW(
        model.parameters(), lr=optimiser.learning_rate, betas=(0.9, optimiser.beta2), weight_decay=0.0
    )
    loss = torch.zeros(())
    began, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        inputs = {key: value.to(device) for key, value in batch.items() if key != "labels"}
        labels = batch["labels"].to(device)
        with torch.autocast(device, torch.bfloat16, enabled=use_bf16(optimiser.precision)):
            logits = model(**inputs, use_cache=False).logits
        loss = cross_entropy(logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), optimiser.max_grad_norm)
        stepper.step()
        stepper.zero_grad()
    last = loss.item()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    places = sum(batch["input_ids"].numel() for batch in batches)
    return Measured(material.tokens, seconds, cpu, 0.0, material.tokens / places, last)


def run_trl(stage: str, settings: Any) -> Measured:
    """Train with TRL's defaults on the same samples, uncut and unpacked."""
    import torch
    from trl import SFTConfig, SFTTrainer

    from steiner.train.model import load_model

    material, tokenizer = material_of(stage, settings.model_copy(update={"packing": False}))
    model = load_model(settings.model, tokenizer, settings.seed, settings.optimiser.precision)
    config = SFTConfig(
        output_dir=settings.output,
        num_train_epochs=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        use_cpu=not torch.cuda.is_available(),
    )
    trainer = SFTTrainer(model=model, args=config, train_dataset=material.dataset, processing_class=tokenizer)
    began, cpu = time.perf_counter(), time.process_time()
    trainer.train()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    loss = next(e["loss"] for e in reversed(trainer.state.log_history) if "loss" in e)
    places = sum(batch["input_ids"].numel() for batch in trainer.get_train_dataloader())
    return Measured(material.tokens, seconds, cpu, 0.0, material.tokens / places, loss)


def run_apart(stage: str, contestant: str, data: Path, size: Size, threads: int) -> Measured:
    """Run one contestant in a process of its own."""
    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, __file__, "--one", stage, contestant, str(data), f"{output}/out"]
        command += [json.dumps(size._asdict()), str(threads)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = Measured(**json.loads(done.stdout.strip().splitlines()[-1]))
    print(stage, contestant, found, file=sys.stderr, flush=True)
    return found


def report(stage: str, rounds: list[dict[str, Measured]], clock: str) -> str:
    """Return the table of a stage as Markdown."""
    lines = [
        f"### {stage.upper()}",
        "",
        f"| contestant | tokens/s ({clock}) | ours, packed, is … times as fast | fill | peak MiB | loss |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for contestant in CONTESTANTS[stage]:
        runs = [one[contestant] for one in rounds]
        ratios = sorted(one["packed"].speed(clock) / one[contestant].speed(clock) for one in rounds)
        spread = "" if contestant == "packed" else f" ({ratios[0]:.2f}–{ratios[-1]:.2f})"
        lines.append(
            f"| {NAMES[contestant]} | {statistics.median(r.speed(clock) for r in runs):,.0f} "
            f"| {statistics.median(ratios):.2f}{spread} | {runs[0].fill:.4f} "
            f"| {statistics.median(r.peak_mib for r in runs):,.0f} | {runs[0].last_loss:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure all contestants in turn and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--problems", type=int, default=300)
    parser.add_argument("--tokens", type=int, default=160_000)
    parser.add_argument("--row-tokens", type=int, default=1024)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--algorithm", default="adamw", choices=("adamw", "muon"))
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--stages", nargs="+", default=list(CONTESTANTS), choices=list(CONTESTANTS))
    parser.add_argument(
        "--clock", default="wall", choices=("wall", "cpu"),
        help="cpu: seconds of the processor, with --threads 1 where other work runs too",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="one round on a tenth of the tokens")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    shrink = 10 if asked.quick else 1
    size = Size(
        asked.hidden, asked.layers, asked.problems // shrink + 20, asked.tokens // shrink, asked.row_tokens,
        asked.rows, asked.algorithm, asked.precision,
    )  # fmt: skip
    found: dict[str, list[dict[str, Measured]]] = {stage: [] for stage in asked.stages}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        make_data(data, size)
        for _ in range(1 if asked.quick else asked.repeats):
            for stage, rounds in found.items():
                rounds.append(
                    {one: run_apart(stage, one, data, size, asked.threads) for one in CONTESTANTS[stage]}
                )
        mean = mean_tokens(data)
    print(f"{size}, mean sample {mean:.0f} tokens, {asked.threads} threads, {platform.processor()}\n")
    for stage, rounds in found.items():
        print(report(stage, rounds, asked.clock) + "\n")
    if asked.json:
        rows = {stage: [{k: v._asdict() for k, v in r.items()} for r in rs] for stage, rs in found.items()}
        asked.json.write_text(json.dumps({"size": size._asdict(), "rounds": rows}, indent=1))


def run_one(stage: str, contestant: str, data: str, output: str, size: str, threads: str) -> None:
    """Be the process of one contestant."""
    import torch

    torch.set_num_threads(int(threads))
    found = measure(stage, contestant, Path(data), Path(output), Size(**json.loads(size)))
    print(json.dumps(found._asdict()))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run_one(*sys.argv[2:])
    else:
        main()
