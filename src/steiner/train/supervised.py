"""The two supervised stages on TRL's SFTTrainer: continual pre-training and fine-tuning."""

from __future__ import annotations

import math
from pathlib import Path

from trl import SFTConfig, SFTTrainer

from steiner.core import Progress, digest
from steiner.dataset.read import load_samples, load_statistics
from steiner.train.data import (
    Example,
    check_context,
    draw,
    mix,
    path_sequences,
    read_documents,
    text_sequences,
    to_dataset,
)
from steiner.train.model import load_model, load_tokenizer
from steiner.train.optimiser import make_optimiser
from steiner.train.settings import CptSettings, SftSettings
from steiner.train.stage import (
    StageFolder,
    TrainingRecord,
    Watch,
    run_trainer,
    stage_inputs,
    trainer_arguments,
)


def train_cpt(
    settings: CptSettings, *, progress: Progress | None = None, force: bool = False
) -> TrainingRecord:
    """Continue pre-training on plain text mixed with reasoning paths; loss on every token.

    It gets the model used to long outputs and gives the 14 control tokens their first training.

    Raises:
        InputError, ResumeError: see `steiner.core.errors`; the message says what to do.
    """
    texts = {
        "text": digest([Path(path).read_bytes().hex() for path in settings.text if Path(path).is_file()])
    }
    inputs = stage_inputs(settings, dataset=_dataset_digest(settings.dataset), **texts)
    with StageFolder("cpt", settings, inputs, force=force) as folder:
        if folder.is_complete:
            return folder.record()
        tokenizer = load_tokenizer(settings.model)
        rows = load_samples(settings.dataset, "train", tokenizer)
        examples = mix(
            path_sequences(rows, completion_only=False),
            lambda limit: text_sequences(
                read_documents(settings.text), tokenizer, settings.text_block, limit
            ),
            tokens=settings.tokens,
            text_share=settings.text_share,
            seed=settings.seed,
        )
        return _fit(folder, settings, examples, tokenizer, settings.context, progress)


def train_sft(
    settings: SftSettings, *, progress: Progress | None = None, force: bool = False
) -> TrainingRecord:
    """Fine-tune on chat prompts and reasoning paths; loss on the completion only.

    Raises:
        InputError, ResumeError: see `steiner.core.errors`; the message says what to do.
    """
    inputs = stage_inputs(settings, dataset=_dataset_digest(settings.dataset))
    with StageFolder("sft", settings, inputs, force=force) as folder:
        if folder.is_complete:
            return folder.record()
        tokenizer = load_tokenizer(settings.model)
        paths = path_sequences(load_samples(settings.dataset, "train", tokenizer), completion_only=True)
        tokens = settings.tokens or round(settings.epochs * sum(len(p.ids) for p in paths))
        examples = draw(paths, tokens, settings.seed)
        return _fit(folder, settings, examples, tokenizer, settings.context, progress)


def _fit(  # type: ignore[no-untyped-def]
    folder: StageFolder,
    settings: CptSettings | SftSettings,
    examples: list[Example],
    tokenizer,
    context: int,
    progress: Progress | None,
) -> TrainingRecord:
    model = load_model(settings.model, tokenizer, settings.seed, settings.optimiser.precision)
    check_context(examples, context, getattr(model.config, "max_position_embeddings", None))
    optimiser = settings.optimiser
    steps = math.ceil(len(examples) / (optimiser.batch_size * optimiser.gradient_accumulation))
    watch = Watch(folder.name, progress)
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            **trainer_arguments(settings, optimiser, steps),
            max_length=None,
            # Sequences are tokenised already; TRL's preparation would only copy them.
            dataset_kwargs={"skip_prepare_dataset": True},
            train_sampling_strategy="group_by_length",
            length_column_name="length",
        ),
        train_dataset=to_dataset(examples),
        processing_class=tokenizer,
        callbacks=[watch],
        optimizers=(make_optimiser(model, optimiser), None),
    )
    total = sum(len(example.ids) for example in examples)
    return run_trainer(folder, trainer, watch, tokenizer, tokens=lambda: total)


def _dataset_digest(folder: str) -> str:
    return digest(load_statistics(folder).model_dump(mode="json"))
