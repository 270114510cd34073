"""The supervised stages on packed rows: full rows, the same batches after a stop, prompts and masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_run
import torch
from safetensors.torch import load_file

from steiner.core import InputError, NoProgress
from steiner.protocol import ControlIds, ControlToken
from steiner.train.data import IGNORED
from steiner.train.model import load_tokenizer
from steiner.train.supervised import Material, cpt_material, sft_material, train_cpt, train_sft


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.make_run(tmp_path_factory.mktemp("packed") / "run")


@pytest.fixture(scope="module")
def tokenizer(run: Path):
    return load_tokenizer(tiny_run.cpt(run, run / "none").model)


@pytest.fixture(scope="module")
def base(run: Path) -> Path:
    train_cpt(tiny_run.cpt(run, run / "cpt", packing=True, row_tokens=448))
    return run / "cpt" / "model"


def rows_of(material: Material) -> list[tuple[list[int], ...]]:
    return [
        tuple(row[name].tolist() for name in ("input_ids", "labels", "seq_lengths"))
        for row in material.dataset
    ]


def test_cpt_rows_are_full_and_paths_stay_whole(run, tokenizer):
    settings = tiny_run.cpt(run, run / "x", packing=True, tokens=20 * 512, text_share=0.4)
    material = cpt_material(settings, tokenizer)
    rows = rows_of(material)
    assert len(rows) == 20
    assert material.tokens >= 0.999 * 20 * 512
    assert rows == rows_of(cpt_material(settings, tokenizer))
    assert rows != rows_of(cpt_material(settings.model_copy(update={"seed": 1}), tokenizer))
    ids = ControlIds.from_tokenizer(tokenizer)
    control = set(ids.control)
    text = paths = 0
    for input_ids, _, lengths in rows:
        for part in np.split(input_ids, np.cumsum(lengths)[:-1]):
            if control & set(part.tolist()):
                # A path that was not cut begins with its prompt and ends with the end of text.
                assert part[-1] == ids.eos
                assert part.tolist().count(ids[ControlToken.START]) == 1
                paths += len(part)
            else:
                text += len(part)
    assert text / (text + paths) == pytest.approx(0.4, abs=0.05)


def test_cpt_on_paths_alone_cuts_what_it_must(run, tokenizer):
    settings = tiny_run.cpt(run, run / "x", packing=True, tokens=30 * 512, text_share=0.0, text=())
    material = cpt_material(settings, tokenizer)
    assert len(material.dataset) == 30
    assert material.tokens >= 0.999 * 30 * 512


def test_a_packed_stage_goes_on_with_the_same_batches(run, base, tmp_path):
    changes = {"packing": True, "row_tokens": 448, "tokens": 8960}
    undisturbed = train_sft(tiny_run.sft(run, tmp_path / "whole", base, **changes))
    assert undisturbed.steps >= 5

    class Stop(NoProgress):
        def update(self, done: float, note: str = "") -> None:
            if done == 3:
                raise KeyboardInterrupt

    settings = tiny_run.sft(run, tmp_path / "sft", base, **changes)
    with pytest.raises(KeyboardInterrupt):
        train_sft(settings, progress=Stop())
    record = train_sft(settings)
    assert record.tokens == undisturbed.tokens
    assert record.curve[-1].values["num_tokens"] == record.tokens
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("sft", "whole"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_accumulation_is_the_same_as_a_larger_batch(run, base, tmp_path):
    losses = []
    for batch, accumulation in ((4, 1), (2, 2)):
        optimiser = tiny_run.OPTIMISER | {"batch_size": batch, "gradient_accumulation": accumulation}
        record = train_sft(
            tiny_run.sft(
                run,
                tmp_path / str(batch),
                base,
                packing=True,
                row_tokens=448,
                tokens=7200,
                optimiser=optimiser,
            )
        )
        losses.append([point.values["loss"] for point in record.curve])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_sft_prompts_and_masks_reach_the_rows(run, base, tokenizer):
    prompts = {"systems": ["Search well."], "no_system_share": 0.0, "limit_share": 1.0, "turns_share": 0.5}
    settings = tiny_run.sft(
        run, run / "x", base, packing=True, prompts=prompts, mask_wrong_steps=True, tokens=None, context=2048
    )
    plain = settings.model_copy(update={"mask_wrong_steps": False})
    masked, whole = sft_material(settings, tokenizer), sft_material(plain, tokenizer)
    texts = tokenizer.decode(np.concatenate([row["input_ids"] for row in masked.dataset]))
    assert texts.count("Search well.\n\nThink in ") == sum(len(row["seq_lengths"]) for row in masked.dataset)
    assert "<|im_end|>\n<|im_start|>assistant\n- " in texts

    def learned(material: Material) -> int:
        return sum(int((row["labels"] != IGNORED).sum()) for row in material.dataset)

    assert masked.tokens == whole.tokens
    assert 0 < learned(masked) < learned(whole) < whole.tokens
    # Loss on completions alone: what is learned first in each sequence is START.
    ids = ControlIds.from_tokenizer(tokenizer)
    for row in masked.dataset:
        for part in np.split(row["labels"], np.cumsum(row["seq_lengths"])[:-1]):
            assert part[part != IGNORED][0] == ids[ControlToken.START]


@pytest.mark.parametrize("packing", [True, False])
def test_fine_tuning_goes_through_plain_text_again(run, base, tokenizer, packing):
    again = {"text": [str(run / "text.txt")], "share": 0.25, "text_block": 64}
    settings = tiny_run.sft(
        run, run / "x", base, packing=packing, context=2048, tokens=40_000, rehearsal=again
    )
    material = sft_material(settings, tokenizer)
    start = ControlIds.from_tokenizer(tokenizer)[ControlToken.START]
    text = paths = 0
    for row in material.dataset:
        ends = np.cumsum(row["seq_lengths"])[:-1] if packing else []
        ids, labels = np.asarray(row["input_ids"]), np.asarray(row["labels"])
        for part, learned in zip(np.split(ids, ends), np.split(labels, ends), strict=True):
            if start in part:
                paths += len(part)
            else:
                text += len(part)
                assert len(part) <= 64
                assert (learned[1:] == part[1:]).all()
    assert text + paths == material.tokens
    assert text == pytest.approx(0.25 * material.tokens, rel=0.05)


def test_plain_text_that_is_not_there_is_refused(run, base, tmp_path):
    again = {"text": [str(tmp_path / "none.txt")]}
    with pytest.raises(InputError, match=r"none\.txt does not exist"):
        train_sft(tiny_run.sft(run, tmp_path / "sft", base, rehearsal=again))


def test_efforts_of_a_dataset_are_named(run, base, tokenizer):
    settings = tiny_run.sft(run, run / "x", base, prompts={"effort_share": 1.0}, tokens=None)
    texts = [tokenizer.decode(row["input_ids"]) for row in sft_material(settings, tokenizer).dataset]
    assert all("<|im_start|>system\nReasoning effort: " in text for text in texts)
    assert len({text.split("effort: ")[1].split(".")[0] for text in texts}) == 5


@pytest.mark.parametrize("sizes", [{"row_tokens": 64}, {"context": 64}])
def test_a_path_longer_than_a_row_is_refused(run, base, tmp_path, sizes):
    settings = tiny_run.sft(run, tmp_path / "sft", base, packing=True, **sizes)
    with pytest.raises(InputError, match=r"longer than the context of 64 tokens.*'row_tokens'"):
        train_sft(settings)


def test_rows_longer_than_the_context_are_refused(run, base):
    with pytest.raises(ValueError, match="row_tokens 600 is more than the context of 512"):
        tiny_run.sft(run, run / "x", base, row_tokens=600)


def test_plain_text_longer_than_the_model_s_positions_is_refused(run, tmp_path):
    (tmp_path / "long.txt").write_text("1 + 1 = 2\n" * 400)
    settings = tiny_run.cpt(
        run, tmp_path / "cpt", packing=True, context=1024, text=[str(tmp_path / "long.txt")], tokens=4096
    )
    with pytest.raises(
        InputError, match=r"up to [0-9,]+ tokens, and the model has 512 positions: set row_tokens"
    ):
        train_cpt(settings)
