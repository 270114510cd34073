"""From the settings of a stage to its workload, and to the sizes of the model that it trains."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from steiner.core import InputError, Settings
from steiner.dataset.statistics import STATISTICS, load_statistics
from steiner.train.plan.architecture import ModelShape, read_shape
from steiner.train.plan.families import known_shape, unknown_model
from steiner.train.plan.workload import Engine, Rollouts, StageName, Workload
from steiner.train.settings import (
    Architecture,
    CptSettings,
    ModelSettings,
    RlSettings,
    SftSettings,
    Weights,
)

ROW_MULTIPLE = 64
"""A new model's vocabulary is rounded up to it, as steiner.train.model does."""
UNKNOWN_VOCABULARY = 512
"""What `steiner tokenizer` makes by default."""
UNKNOWN_PATHS = 50_000
"""Paths of the report's dataset; assumed where a dataset does not exist yet."""
UNLIMITED_REASONING = 4096
"""Tokens that RL allows where max_reasoning_tokens is not set."""
StageSettingsOf = CptSettings | SftSettings | RlSettings


class Options(NamedTuple):
    """What the command line says beyond a stage's settings; None leaves the settings' or a default."""

    gpus: int = 1
    tokens: int | None = None
    mean_tokens: int | None = None
    batch: int | None = None
    accumulation: int | None = None
    context: int | None = None
    prompt_tokens: int = 512
    checkpointing: bool | None = None
    loss: str = "chunked"
    weights: str | None = None
    optimiser: str | None = None
    lora: int | None = None
    engine: Engine = "transformers"
    tensor_parallel: int = 1
    vocabulary: int | None = None


class Planned(NamedTuple):
    """A workload and what had to be assumed for it."""

    workload: Workload
    notes: tuple[str, ...]


def workload_of(settings: StageSettingsOf, shape: ModelShape, options: Options) -> Planned:
    """Return the workload of a stage.

    Raises:
        InputError: if the context is longer than the model's positions, or the dataset is damaged.
    """
    optimiser = settings.optimiser
    compute = "fp32" if optimiser.precision == "fp32" else "bf16"
    adapters = settings.model.lora
    rank = options.lora or (None if adapters is None else adapters.rank)
    checkpointing = options.checkpointing
    common: dict[str, Any] = {
        "batch": options.batch or optimiser.batch_size,
        "accumulation": options.accumulation or optimiser.gradient_accumulation,
        "optimiser": options.optimiser or optimiser.algorithm,
        "compute": compute,
        "weights": options.weights or _weights(settings.model.weights, compute, rank is not None),
        "checkpointing": optimiser.gradient_checkpointing if checkpointing is None else checkpointing,
        "loss": options.loss,
        "lora_rank": rank,
    }
    if adapters is not None and not adapters.train_rows:
        common["new_tokens"] = 0
    if isinstance(settings, RlSettings):
        values, notes = _rl(settings, options, common["batch"])
    elif isinstance(settings, CptSettings):
        values, notes = _cpt(settings, options)
    else:
        values, notes = _sft(settings, options)
    workload = Workload.model_validate({**common, **values})
    if shape.positions and workload.context > shape.positions:
        raise InputError(
            f"{workload.stage}: sequences of {workload.context:,} tokens are longer than the "
            f"{shape.positions:,} positions of {shape.name}. Give a shorter context."
        )
    return Planned(workload, tuple(notes))


def _weights(wanted: Weights, compute: str, frozen: bool) -> str:
    """Return how weights are kept, as steiner.train.model does it."""
    if wanted == "auto":
        return compute if frozen else "fp32"
    return wanted


def _row(settings: CptSettings | SftSettings, options: Options) -> int:
    """Return the tokens of a row of a batch, at the longest."""
    packed = settings.row_tokens if settings.packing else None
    return options.context or packed or settings.context


def _cpt(settings: CptSettings, options: Options) -> tuple[dict[str, Any], list[str]]:
    context = _row(settings, options)
    return {
        "stage": "cpt",
        "context": context,
        "mean_sequence": min(context, options.mean_tokens or context),
        "tokens": options.tokens or settings.tokens,
    }, []


def _sft(settings: SftSettings, options: Options) -> tuple[dict[str, Any], list[str]]:
    notes: list[str] = []
    context = _row(settings, options)
    mean, paths = options.mean_tokens, UNKNOWN_PATHS
    tokens = options.tokens or settings.tokens
    if (Path(settings.dataset) / STATISTICS).is_file():
        train = load_statistics(settings.dataset).splits.get("train")
        if train is None:
            raise InputError(f"The dataset {settings.dataset} has no training split to plan for.")
        mean, paths = mean or max(1, round(train.total_tokens.mean)), train.samples
    elif tokens is None:
        notes.append(
            f"{settings.dataset} does not exist yet: {paths:,} paths of {mean or context:,} tokens assumed "
            "per epoch (--tokens, --mean-tokens)"
        )
    mean = min(context, mean or context)
    return {
        "stage": "sft",
        "context": context,
        "mean_sequence": mean,
        "tokens": tokens or max(1, round(settings.epochs * paths * mean)),
    }, notes


def _rl(settings: RlSettings, options: Options, batch: int) -> tuple[dict[str, Any], list[str]]:
    completions = settings.prompts * settings.group
    reasoning = settings.max_reasoning_tokens or UNLIMITED_REASONING
    longest = reasoning + settings.max_answer_tokens
    if options.context is not None:
        longest = max(1, options.context - options.prompt_tokens)
    mean = min(longest, options.mean_tokens or longest)
    batch = min(batch, math.ceil(completions / options.gpus))
    rollouts = Rollouts(
        updates=settings.steps,
        completions=completions,
        prompt=options.prompt_tokens,
        completion=longest,
        mean_completion=mean,
        iterations=settings.iterations,
        reference=settings.beta > 0,
        engine=options.engine,
        tensor_parallel=options.tensor_parallel,
    )
    values = {
        "stage": "rl",
        "batch": batch,
        "accumulation": options.accumulation or math.ceil(completions / (batch * options.gpus)),
        "context": options.prompt_tokens + longest,
        "mean_sequence": options.prompt_tokens + mean,
        "tokens": options.tokens or settings.steps * completions * (options.prompt_tokens + mean),
        "rollouts": rollouts,
    }
    notes = [f"prompts of {options.prompt_tokens:,} tokens assumed (--prompt-tokens)"]
    if options.mean_tokens is None:
        notes.append("every completion is counted at its longest (--mean-tokens for the average)")
    return values, notes


def find_shape(place: str) -> ModelShape:
    """Return the shape of a model by folder, config.json or known name.

    Raises:
        InputError: names the nearest known models.
    """
    path = Path(place)
    if path.is_file() or (path / "config.json").is_file():
        return read_shape(path)
    if path.is_dir():
        raise InputError(f"The folder {place} has no config.json, so it is no model that can be planned.")
    shape = known_shape(place)
    if shape is None:
        raise unknown_model(place)
    return shape


def recipe_shape(settings: ModelSettings, file: Path, vocabulary: int | None) -> tuple[ModelShape, list[str]]:
    """Return the shape that a settings file trains, and what had to be assumed.

    A model that an earlier stage has still to make (`runs/mine/cpt/model`) is looked up in the settings files
    beside this one: the one whose output it is says where it starts from, and so on.

    Raises:
        InputError: if it cannot be found.
    """
    if settings.architecture is not None:
        return _new_shape(settings.architecture, settings.tokenizer or "", vocabulary)
    place = settings.path or ""
    if not Path(place).exists():
        made_by = _maker(place, file)
        if made_by is not None:
            earlier, where = made_by
            return recipe_shape(earlier, where, vocabulary)
    return find_shape(place), []


def _maker(place: str, file: Path) -> tuple[ModelSettings, Path] | None:
    for other in sorted(file.parent.glob("*.toml")):
        try:
            values = tomllib.loads(other.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError):
            continue  # not ours to complain about
        if other != file and f"{values.get('output')}/model" == place:
            return ModelSettings.model_validate(values.get("model", {})), other
    return None


def _new_shape(
    architecture: Architecture, tokenizer: str, vocabulary: int | None
) -> tuple[ModelShape, list[str]]:
    notes: list[str] = []
    rows = vocabulary or _tokenizer_size(Path(tokenizer))
    if rows is None:
        rows = UNKNOWN_VOCABULARY
        notes.append(f"{tokenizer} does not exist yet: a vocabulary of {rows:,} assumed (--vocabulary)")
    shape = ModelShape(
        name="a new Qwen2 model",
        hidden=architecture.hidden_size,
        layers=architecture.layers,
        heads=architecture.heads,
        kv_heads=architecture.kv_heads,
        head_dim=architecture.hidden_size // architecture.heads,
        intermediate=architecture.intermediate_size,
        vocabulary=-(-rows // ROW_MULTIPLE) * ROW_MULTIPLE,
        tied=True,
        qkv_bias=True,
        positions=architecture.context,
        dtype="float32",
    )
    return shape, notes


def _tokenizer_size(folder: Path) -> int | None:
    """Return the number of tokens of a tokenizer's folder, control tokens included; None if there is none."""
    try:
        content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        ids = set(dict(content["model"]["vocab"]).values()) | {t["id"] for t in content["added_tokens"]}
        names = {t["content"] for t in content["added_tokens"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    from steiner.protocol import CONTROL_TOKENS

    return int(max(ids)) + 1 + len(set(CONTROL_TOKENS) - names)


def report_settings(stage: StageName, model: str) -> StageSettingsOf:
    """Return the report's setting of a stage: what is planned where no settings file is given."""
    optimiser = {
        "batch_size": 1,
        "gradient_accumulation": 8,
        "precision": "bf16",
        "gradient_checkpointing": True,
    }
    common: dict[str, Any] = {
        "output": f"runs/plan/{stage}",
        "model": {"path": model},
        "optimiser": optimiser,
    }
    if stage == "cpt":
        return CptSettings.model_validate(
            {**common, "dataset": "runs/plan/dataset", "tokens": 100_000_000, "text": ("corpus.txt",)}
        )
    if stage == "sft":
        return SftSettings.model_validate({**common, "dataset": "runs/plan/dataset", "tokens": 100_000_000})
    return RlSettings.model_validate(
        {**common, "run": "runs/plan", "steps": 200, "prompts": 16, "max_reasoning_tokens": 4096}
    )


def stage_of(settings: Settings) -> StageName:
    """Return the name of a stage by its settings."""
    names: dict[type[Settings], StageName] = {CptSettings: "cpt", SftSettings: "sft", RlSettings: "rl"}
    return names[type(settings)]
