"""The two supervised stages on TRL's SFTTrainer: continual pre-training and fine-tuning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from steiner.core import InputError, Progress, digest
from steiner.dataset.read import load_samples, load_statistics
from steiner.protocol import ControlIds, ControlToken
from steiner.train import processes
from steiner.train.batches import PackedCollator, PackedRow, pack_epochs, pack_mixture, rows_to_dataset
from steiner.train.data import (
    Example,
    StepEnds,
    check_context,
    draw,
    draw_epochs,
    mix,
    path_examples,
    spread,
    text_blocks,
    text_examples,
    to_dataset,
)
from steiner.train.model import load_model, load_tokenizer
from steiner.train.optimiser import make_optimiser
from steiner.train.order import fill_up, like_length
from steiner.train.prompts import FollowUpReader, make_prompts, read_facts
from steiner.train.settings import CptSettings, RehearsalSettings, SftSettings
from steiner.train.skips import SkippingCollator, add_positions
from steiner.train.stage import (
    StageFolder,
    TrainingRecord,
    Watch,
    run_trainer,
    stage_inputs,
    trainer_arguments,
)
from steiner.train.text import encode_documents, read_documents, sources_digest

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


class Material(NamedTuple):
    """What a stage trains on, in order."""

    dataset: Dataset
    tokens: int
    """Without padding."""
    longest: Sequence[Example]
    """The sequences that the model must be able to read whole."""
    lengths: Sequence[int]
    """Tokens of each row of the dataset."""
    packed: bool


def train_cpt(
    settings: CptSettings, *, progress: Progress | None = None, force: bool = False
) -> TrainingRecord:
    """Continue pre-training on plain text mixed with reasoning paths; loss on every token.

    It gets the model used to long outputs and gives the 14 control tokens their first training.

    Raises:
        InputError, ResumeError: see `steiner.core.errors`; the message says what to do.
    """
    texts = {"text": sources_digest(settings.text)}
    inputs = stage_inputs(settings, dataset=_dataset_digest(settings.dataset), **texts)
    with StageFolder("cpt", settings, inputs, force=force) as folder:
        if folder.is_complete:
            return folder.record()
        tokenizer = load_tokenizer(settings.model)
        return _fit(folder, settings, cpt_material(settings, tokenizer), tokenizer, progress)


def train_sft(
    settings: SftSettings,
    *,
    follow_ups: FollowUpReader | None = None,
    progress: Progress | None = None,
    force: bool = False,
) -> TrainingRecord:
    """Fine-tune on chat prompts and reasoning paths; loss on the completion only.

    `follow_ups` tells which questions may follow each other, for `turns_from = "numbers"`.

    Raises:
        InputError, ResumeError: see `steiner.core.errors`; the message says what to do.
    """
    rehearsal = settings.rehearsal
    texts = {} if rehearsal is None else {"text": sources_digest(rehearsal.text)}
    inputs = stage_inputs(settings, dataset=_dataset_digest(settings.dataset), **texts)
    with StageFolder("sft", settings, inputs, force=force) as folder:
        if folder.is_complete:
            return folder.record()
        tokenizer = load_tokenizer(settings.model)
        return _fit(folder, settings, sft_material(settings, tokenizer, follow_ups), tokenizer, progress)


def cpt_material(settings: CptSettings, tokenizer: PreTrainedTokenizerBase) -> Material:
    """Return what continual pre-training reads: a function of the settings and the files alone.

    Raises:
        InputError: if the dataset or a text cannot be used, or a path is longer than a row.
    """
    rows = load_samples(settings.dataset, "train", tokenizer)
    ids = ControlIds.from_tokenizer(tokenizer)
    masked = ids if settings.mask_wrong_steps else None
    paths = path_examples(
        rows, completion_only=False, masked=masked, ends=StepEnds.of(settings.max_steps, ids)
    )
    if not settings.packing:
        mixed = mix(
            paths,
            lambda limit: _blocks(settings, tokenizer, limit),
            tokens=settings.tokens,
            text_share=settings.text_share,
            seed=settings.seed,
        )
        return _padded(mixed, settings, tokenizer)
    room = settings.row_tokens or settings.context
    check_context(paths, room, None)
    count = max(1, round(settings.tokens / room))
    wanted = round(count * room * settings.text_share)
    drawn = draw(paths, count * room - wanted, settings.seed)
    texts: list[Example] = []
    if wanted:
        documents = encode_documents(read_documents(settings.text, settings.text_column), tokenizer)
        texts = draw(text_examples(documents, wanted), wanted, settings.seed + 1)
    return _packed(pack_mixture(drawn, texts, room, count, settings.seed), paths)


def sft_material(
    settings: SftSettings, tokenizer: PreTrainedTokenizerBase, follow_ups: FollowUpReader | None = None
) -> Material:
    """Return what fine-tuning reads: a function of the settings and the dataset alone.

    Raises:
        InputError: if the dataset cannot be used, a sample is longer than a row, or a share cannot be met.
    """
    rows = load_samples(settings.dataset, "train", tokenizer)
    ids = ControlIds.from_tokenizer(tokenizer)
    masked = ids if settings.mask_wrong_steps else None
    room = (settings.row_tokens or settings.context) if settings.packing else settings.context
    prompts = None
    if settings.prompts.changes_prompts:
        prompts = make_prompts(
            read_facts(rows, follow_ups),
            settings.prompts,
            tokenizer,
            context=room,
            system=load_statistics(settings.dataset).system_prompt,
            seed=settings.seed,
        )
    paths = path_examples(
        rows,
        completion_only=True,
        masked=masked,
        prompts=prompts,
        ends=StepEnds.of(settings.max_steps, ids),
    )
    once = sum(len(path.ids) for path in paths)
    rehearsal = settings.rehearsal
    share = 0.0 if rehearsal is None else rehearsal.share
    tokens = settings.tokens or round(settings.epochs * once / (1 - share))
    wanted = round(tokens * share)
    epochs: Sequence[list[Example]] = list(draw_epochs(paths, tokens - wanted, settings.seed))
    texts: list[Example] = []
    if rehearsal is not None:
        texts = draw(_blocks(rehearsal, tokenizer, wanted), wanted, settings.seed + 1)
        epochs = spread(texts, epochs)
    if not settings.packing:
        return _padded([example for epoch in epochs for example in epoch], settings, tokenizer)
    check_context([*paths, *texts], room, None)
    return _packed(pack_epochs(epochs, room, settings.seed), [*paths, *texts])


def _blocks(
    source: CptSettings | RehearsalSettings, tokenizer: PreTrainedTokenizerBase, limit: int
) -> list[Example]:
    """Return plain text as blocks, `limit` tokens at most."""
    documents = encode_documents(read_documents(source.text, source.text_column), tokenizer)
    return text_blocks(documents, source.text_block, limit)


def _padded(
    examples: list[Example], settings: CptSettings | SftSettings, tokenizer: PreTrainedTokenizerBase
) -> Material:
    order = like_length([len(e.ids) for e in examples], _per_update(settings), settings.seed)
    ordered = [examples[index] for index in order]
    lengths = [len(example.ids) for example in ordered]
    dataset = to_dataset(ordered)
    if settings.position_span is not None:
        start = ControlIds.from_tokenizer(tokenizer)[ControlToken.STEP_START]
        dataset = add_positions(dataset, settings.position_span, start, settings.seed)
    return Material(dataset, sum(lengths), examples, lengths, packed=False)


def _per_update(settings: CptSettings | SftSettings) -> int:
    """Return the sequences of an update, over all processes."""
    optimiser = settings.optimiser
    return optimiser.batch_size * optimiser.gradient_accumulation * processes.world_size()


def _packed(rows: list[PackedRow], paths: list[Example]) -> Material:
    lengths = [len(row.input_ids) for row in rows]
    return Material(rows_to_dataset(rows), sum(lengths), paths, lengths, packed=True)


class TokenCount(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Puts right how many tokens were trained on: TRL counts the width of packed rows once a batch."""

    def __init__(self, lengths: Sequence[int], per_update: int) -> None:
        """Take the tokens of all rows in order, and the rows of an update."""
        self._seen = np.cumsum([0, *lengths])
        self._per_update = per_update

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Correct what is logged."""
        if "num_tokens" in logs:
            rows = min(state.global_step * self._per_update, len(self._seen) - 1)
            logs["num_tokens"] = int(self._seen[rows])


def batching(
    material: Material, model: Any, pad_id: int
) -> tuple[dict[str, Any], PackedCollator | SkippingCollator | None]:
    """Return the arguments of `SFTConfig` that decide the batches, and what makes them if it is not TRL."""
    # Sequences are tokenised already; TRL's preparation would only copy them.
    arguments = {
        "max_length": None,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "train_sampling_strategy": "sequential",
    }
    if "position_ids" in material.dataset.column_names:
        return arguments | {"remove_unused_columns": False}, SkippingCollator(pad_id)
    if not material.packed:
        return arguments, None
    flat = "flash" in str(model.config._attn_implementation)
    return arguments, PackedCollator(pad_id, flat=flat)


def _check_pieces(dataset: Dataset, limit: int | None) -> None:
    """Refuse packed rows in which a piece of plain text has more tokens than the model has positions.

    Raises:
        InputError: names the setting.
    """
    longest = pc.max(pc.list_flatten(dataset.data.column("seq_lengths"))).as_py()
    if limit is not None and longest > limit:
        raise InputError(
            f"Rows hold pieces of plain text of up to {longest:,} tokens, and the model has {limit:,} "
            f"positions: set row_tokens = {limit}, so that longer documents are cut to that."
        )


def _fit(
    folder: StageFolder,
    settings: CptSettings | SftSettings,
    material: Material,
    tokenizer: PreTrainedTokenizerBase,
    progress: Progress | None,
) -> TrainingRecord:
    model = load_model(settings.model, tokenizer, settings.seed, settings.optimiser.precision)
    limit = getattr(model.config, "max_position_embeddings", None)
    check_context(material.longest, settings.context, limit)
    if material.packed:
        _check_pieces(material.dataset, limit)
    optimiser = settings.optimiser
    steps = math.ceil(len(material.dataset) / _per_update(settings))
    dataset = material.dataset
    if processes.world_size() > 1:
        dataset = fill_up(dataset, _per_update(settings))
    watch = Watch(folder.name, progress)
    arguments, collator = batching(material, model, int(tokenizer.pad_token_id))
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**trainer_arguments(settings, optimiser, steps), **arguments),
        data_collator=collator,
        train_dataset=dataset,
        processing_class=tokenizer,
        callbacks=[TokenCount(material.lengths, _per_update(settings)), watch],
        optimizers=(make_optimiser(model, optimiser), None),
    )
    return run_trainer(folder, trainer, watch, tokenizer, tokens=lambda: material.tokens)


def _dataset_digest(folder: str) -> str:
    return digest(load_statistics(folder).model_dump(mode="json"))
