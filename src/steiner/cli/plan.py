"""`steiner plan`: memory, arithmetic, hours and cost of training stages, before they are paid for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from steiner.train.plan import Cluster, LayoutPlan, ModelShape, Remedy, Sharding, Workload
    from steiner.train.plan.recipe import Options, StageSettingsOf

app = typer.Typer(add_completion=False)

EPILOG = """
Examples:

\b
  steiner plan --model Qwen/Qwen2.5-32B --gpus 8 --gpu-memory 80
  steiner plan --config recipes/qwen2.5-0.5b/sft.toml --gpu rtx4090 --price 0.4
  steiner plan --model models/mine/config.json --stage sft --gpus 4 --lora 16 --json
  steiner plan --sizes hidden=896,layers=24,heads=14,kv_heads=2,intermediate=4864,vocabulary=151936
"""


class StagePlan(NamedTuple):
    """One stage, planned in every layout."""

    stage: str
    shape: ModelShape
    workload: Workload
    notes: tuple[str, ...]
    layouts: list[LayoutPlan]
    chosen: LayoutPlan
    nearest: Remedy | None
    """None where the chosen layout fits, or nothing does."""


@app.command(epilog=EPILOG)
def plan(
    model: Annotated[
        str | None, typer.Option(help="Folder with a config.json, such a file, or a known name.")
    ] = None,
    sizes: Annotated[
        str | None, typer.Option(help="Sizes of the model: hidden=…,layers=…,heads=…,kv_heads=…, and so on.")
    ] = None,
    config: Annotated[
        list[Path] | None, typer.Option("--config", "-c", help="Settings of a stage; may be given again.")
    ] = None,
    stage: Annotated[
        list[str] | None, typer.Option(help="cpt, sft or rl in the report's setting; all three by default.")
    ] = None,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs in all.")] = 1,
    gpu: Annotated[
        str | None, typer.Option(help="a100-40, a100-80, h100, h200, l40s or rtx4090: memory and speed.")
    ] = None,
    gpu_memory: Annotated[float | None, typer.Option(min=0.1, help="GiB per GPU; 80.")] = None,
    tflops: Annotated[float | None, typer.Option(min=0.001, help="Peak in bf16 per GPU; 989.")] = None,
    bandwidth: Annotated[float | None, typer.Option(min=0.001, help="Of the memory, TB/s; 3.35.")] = None,
    mfu: Annotated[float, typer.Option(min=0.001, max=1, help="Share of the peak that is reached.")] = 0.4,
    reserve: Annotated[float, typer.Option(min=0, max=0.9, help="Share of the memory to leave free.")] = 0.1,
    price: Annotated[float | None, typer.Option(min=0, help="Per GPU and hour.")] = None,
    sharding: Annotated[
        str, typer.Option(help="single, ddp or fsdp (FSDP2, ZeRO-3); auto takes the simplest that fits.")
    ] = "auto",
    lora: Annotated[int | None, typer.Option(min=1, help="Train adapters of this rank only.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Sequences per GPU and backward pass.")] = None,
    accumulation: Annotated[int | None, typer.Option(min=1, help="Backward passes per update.")] = None,
    context: Annotated[int | None, typer.Option(min=1, help="Tokens of the longest sequence.")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="Tokens to train on in all.")] = None,
    mean_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a sequence on average; of a completion in RL.")
    ] = None,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a prompt in RL.")] = 512,
    checkpointing: Annotated[
        bool | None, typer.Option("--checkpointing/--no-checkpointing", help="Recompute activations.")
    ] = None,
    loss: Annotated[str, typer.Option(help="chunked, as TRL computes it, or full: all logits at once.")] = (
        "chunked"
    ),
    weights: Annotated[
        str | None, typer.Option(help="bf16 or fp32, which is mixed precision; as [model] says.")
    ] = None,
    optimiser: Annotated[str | None, typer.Option(help="adamw or muon.")] = None,
    rollouts: Annotated[
        str, typer.Option(help="Who writes completions: transformers, vllm, or a server on other GPUs.")
    ] = "transformers",
    tensor_parallel: Annotated[int, typer.Option(min=1, help="GPUs per copy of the model in vLLM.")] = 1,
    vocabulary: Annotated[
        int | None, typer.Option(min=1, help="Of a new model whose tokenizer does not exist yet.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Say what training takes, per GPU and in all: parameters, memory by part, operations, hours, cost.

    Needs neither a GPU nor a network nor the model's weights. Sizes come from settings files (--config), or
    are those of the report. What cannot fit is refused with exit code 2 and the nearest setting that does.
    docs/planning.md has the formulas and what they leave out. FSDP2 stands for ZeRO-3 too.
    """
    from steiner.train.plan.recipe import Options

    machines = _cluster(gpu, gpus, gpu_memory, tflops, bandwidth, mfu, reserve, price)
    _one_of("--sharding", sharding, ("auto", "single", "ddp", "fsdp"))
    _one_of("--loss", loss, ("chunked", "full"))
    _one_of("--weights", weights, ("bf16", "fp32"))
    _one_of("--optimiser", optimiser, ("adamw", "muon"))
    engine = _one_of("--rollouts", rollouts, ("transformers", "vllm", "server"))
    options = Options(
        gpus=gpus, tokens=tokens, mean_tokens=mean_tokens, batch=batch, accumulation=accumulation,
        context=context, prompt_tokens=prompt_tokens, checkpointing=checkpointing, loss=loss, weights=weights,
        optimiser=optimiser, lora=lora, engine=engine, tensor_parallel=tensor_parallel, vocabulary=vocabulary,
    )  # fmt: skip
    wanted = _wanted(model, sizes, config or [], stage or [], vocabulary)
    plans = [_plan_stage(*item, options, machines, sharding) for item in wanted]
    _print_json(plans, machines) if as_json else _print_tables(plans, machines)
    _refuse(plans)


Wanted = tuple["StageSettingsOf", "ModelShape", list[str]]


def _wanted(
    model: str | None, sizes: str | None, files: list[Path], stages: list[str], vocabulary: int | None
) -> list[Wanted]:
    """Return each stage's settings, the shape of its model, and notes."""
    from steiner.core import InputError
    from steiner.train.plan import shape_from_sizes
    from steiner.train.plan.recipe import find_shape, recipe_shape, report_settings, stage_of

    if model is not None and sizes is not None:
        raise InputError("Give either --model or --sizes, not both.")
    given = shape_from_sizes(sizes) if sizes else find_shape(model) if model else None
    if not files:
        if given is None:
            raise InputError("Say what to plan for: --model, --sizes, or --config with a stage's settings.")
        names = [_one_of("--stage", name, ("cpt", "sft", "rl")) for name in stages or ("cpt", "sft", "rl")]
        return [(report_settings(name, given.name), given, []) for name in names]
    found: list[Wanted] = []
    for file in files:
        settings = _read(file)
        shape, notes = (given, []) if given else recipe_shape(settings.model, file, vocabulary)
        if not stages or stage_of(settings) in stages:
            found.append((settings, shape, [*notes]))
    if not found:
        raise InputError(f"None of the settings files is of the stage {' or '.join(stages)}.")
    return found


def _read(file: Path) -> StageSettingsOf:
    """Read a settings file; its keys, or else its name, tell the stage."""
    import tomllib

    from steiner.cli.train import load_toml
    from steiner.train.settings import CptSettings, RlSettings, SftSettings

    try:
        keys = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        keys = {"dataset": None}  # load_toml says what is wrong
    # Fine-tuning has `prompts` too, a table; those of RL are a number.
    if "run" in keys or isinstance(keys.get("prompts"), int):
        return load_toml(RlSettings, file)
    if "text" in keys or "text_share" in keys or file.stem == "cpt":
        return load_toml(CptSettings, file)
    return load_toml(SftSettings, file)


def _plan_stage(
    settings: StageSettingsOf,
    shape: ModelShape,
    notes: list[str],
    options: Options,
    machines: Cluster,
    sharding: str,
) -> StagePlan:
    from steiner.core import InputError
    from steiner.train.plan import Setting, choose_sharding, nearest, plan_layout, plan_layouts
    from steiner.train.plan.recipe import workload_of

    workload, more = workload_of(settings, shape, options)
    if workload.rollouts is not None and machines.gpus % workload.rollouts.tensor_parallel:
        raise InputError(
            f"--tensor-parallel {workload.rollouts.tensor_parallel} must divide the {machines.gpus} GPUs."
        )
    chosen_sharding: Sharding = (
        choose_sharding(shape, workload, machines) if sharding == "auto" else sharding  # type: ignore[assignment]
    )
    chosen = plan_layout(shape, workload, machines, chosen_sharding)
    remedy = None if chosen.fits else nearest(shape, Setting(workload, machines, chosen_sharding))
    layouts = plan_layouts(shape, workload, machines)
    return StagePlan(workload.stage, shape, workload, (*notes, *more), layouts, chosen, remedy)


def _cluster(
    gpu: str | None,
    gpus: int,
    memory: float | None,
    tflops: float | None,
    bandwidth: float | None,
    mfu: float,
    reserve: float,
    price: float | None,
) -> Cluster:
    from steiner.train.plan import GPUS, Cluster

    kind = GPUS[_one_of("--gpu", (gpu or "h100").lower(), tuple(GPUS))]
    return Cluster(
        gpus=gpus,
        memory=memory or kind.memory,
        reserve=reserve,
        tflops=tflops or kind.tflops,
        bandwidth=bandwidth or kind.bandwidth,
        mfu=mfu,
        price=price,
    )


def _one_of(option: str, value: str | None, known: tuple[str, ...]) -> Any:
    from steiner.core import InputError

    if value is not None and value not in known:
        raise InputError(f"{option} {value}: it must be {', '.join(known[:-1])} or {known[-1]}.")
    return value


def _refuse(plans: list[StagePlan]) -> None:
    """Raise an error that names each stage that does not fit and the nearest setting that does."""
    from steiner.core import InputError

    lines = []
    for item in plans:
        if item.chosen.fits:
            continue
        hint = "No setting that the planner knows fits: take GPUs with more memory or a smaller model."
        if item.nearest is not None:
            words = ", ".join(item.nearest.changes)
            hint = f"Nearest setting that fits: {words} (peak {_gib(item.nearest.plan.peak)} GiB)."
        lines.append(
            f"{item.stage} does not fit with {item.chosen.layout}: its peak is {_gib(item.chosen.peak)} GiB "
            f"per GPU ({item.chosen.moment}), and {_gib(item.chosen.usable)} GiB are usable. {hint}"
        )
    if lines:
        raise InputError(" ".join(lines))


def _print_json(plans: list[StagePlan], machines: Cluster) -> None:
    import json

    content = {
        "gpu": machines.model_dump(),
        "stages": [
            {
                "stage": item.stage,
                "model": item.shape.model_dump()
                | {"parameters": item.shape.parameters, "embedding": item.shape.embedding},
                "workload": item.workload.model_dump(),
                "fits": item.chosen.fits,
                "chosen": _layout_json(item.chosen),
                "layouts": [_layout_json(layout) for layout in item.layouts],
                "nearest": None
                if item.nearest is None
                else {"changes": item.nearest.changes, "plan": _layout_json(item.nearest.plan)},
                "notes": item.notes,
            }
            for item in plans
        ],
    }
    typer.echo(json.dumps(content, indent=1))


def _layout_json(layout: LayoutPlan) -> dict[str, Any]:
    return layout.model_dump() | {"hours": layout.hours}


def _print_tables(plans: list[StagePlan], machines: Cluster) -> None:
    from steiner.cli.ui import out

    for item in plans:
        shape, work = item.shape, item.workload
        out.print(
            f"{item.stage}: {shape.name}, {shape.parameters:,} parameters, {shape.embedding:,} of them in "
            f"embedding and output matrix\n"
            f"{work.tokens:,} tokens, batch {work.batch} × {work.accumulation} accumulated per GPU, up to "
            f"{work.context:,} tokens a sequence (mean {work.mean_sequence:,}), {work.optimiser}, "
            f"{work.compute} with weights in {work.weights}, {work.loss} loss, "
            f"{'with' if work.checkpointing else 'without'} checkpointing"
        )
        out.print(_table(item, machines))
        for note in item.notes:
            out.print(f"note: {note}")
        out.print("")


def _table(item: StagePlan, machines: Cluster) -> Table:
    from rich.table import Table

    table = Table(title="GiB per GPU at the peak", title_justify="left")
    table.add_column("")
    for layout in item.layouts:
        table.add_column(layout.layout, justify="right")
    names = {
        "weights": "weights", "master": "master weights", "gradients": "gradients",
        "optimiser": "optimiser", "activations": "activations", "logits": "logits and loss",
        "working": "working space", "kv_cache": "KV cache", "reference": "reference model",
    }  # fmt: skip
    table.add_row("trained", *(_count(plan.trained) for plan in item.layouts))
    table.add_section()
    for key, name in names.items():
        values = [getattr(plan.parts, key) for plan in item.layouts]
        if any(values):
            table.add_row(name, *map(_gib, values))
    table.add_row("peak", *(_gib(plan.peak) for plan in item.layouts))
    table.add_row("when", *(plan.moment for plan in item.layouts))
    usable = _gib(machines.usable)
    table.add_row(f"fits into {usable}", *("yes" if plan.fits else "no" for plan in item.layouts))
    table.add_section()
    table.add_row("activations if checkpointed", *(_gib(p.activations_checkpointed) for p in item.layouts))
    table.add_row("if all kept", *(_gib(p.activations_whole) for p in item.layouts))
    if item.workload.rollouts is not None:
        written = [plan.moments["rollouts"] for plan in item.layouts]
        table.add_row("peak while writing", *(_gib(parts.total) for parts in written))
        table.add_row("KV cache then", *(_gib(parts.kv_cache) for parts in written))
    table.add_section()
    table.add_row("operations, 10^18", *(f"{_exa(plan):,.4g}" for plan in item.layouts))
    table.add_row("hours", *(_hours(plan.hours) for plan in item.layouts))
    if item.workload.rollouts is not None:
        table.add_row("  of them writing", *(_hours(plan.rollout_hours) for plan in item.layouts))
    if machines.price is not None:
        table.add_row("cost", *(f"{plan.cost:,.2f}" for plan in item.layouts))
    return table


def _count(parameters: int) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6)):
        if parameters >= size:
            return f"{parameters / size:,.2f} {unit}"
    return f"{parameters:,}"


def _exa(plan: LayoutPlan) -> float:
    return (plan.flops.training + plan.flops.rollouts) / 1e18


def _hours(hours: float) -> str:
    return f"{hours:,.1f}" if hours >= 10 else f"{hours:,.2g}"


def _gib(size: float) -> str:
    value = size / 2**30
    return (
        f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 0.1 or not value else f"{value:.2g}"
    )
