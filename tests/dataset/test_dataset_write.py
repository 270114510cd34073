from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
import yaml

from steiner.core import InputError, Problem, ReasoningPath, ResumeError, TokenSample
from steiner.dataset import DatasetSettings, TokenBudget
from steiner.dataset.read import load_samples
from steiner.dataset.tokenise import load_tokenizer
from steiner.dataset.tokenizer import train_tokenizer
from steiner.dataset.write import write_dataset
from steiner.protocol import parse, parse_ids
from steiner.store import RunDir


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return load_tokenizer(str(tokenizer_folder))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def settings_for(folder: Path, **values) -> DatasetSettings:
    return DatasetSettings(tokenizer=str(folder), questions_per_file=20, validation_share=0.1, **values)


def write(run: Path, settings: DatasetSettings, **values):
    with RunDir(run) as held:
        return write_dataset(held, settings, **values)


def contents(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "dataset").iterdir())}


def rows_of(run: Path) -> list[dict]:
    return [
        row for path in sorted((run / "dataset").glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]


def test_datasets_opens_the_folder_with_its_splits(make_run, tokenizer_folder):
    run = make_run(questions=50, paths=3)
    found = write(run, settings_for(tokenizer_folder))
    loaded = datasets.load_dataset(str(run / "dataset"))
    assert {name: len(split) for name, split in loaded.items()} == {"train": 135, "validation": 15}
    assert {name: split.samples for name, split in found.splits.items()} == {"train": 135, "validation": 15}
    assert found.splits["train"].files == 3
    assert loaded["train"].column_names == [
        "problem_id", "question", "prompt", "completion", "prompt_ids", "completion_ids", "step_index",
        "node_ids", "parents", "dead_ends", "steps", "backtracks", "reasoning_tokens", "language", "family",
    ]  # fmt: skip


def test_each_row_says_the_same_in_every_column(make_run, tokenizer_folder, tokenizer):
    run = make_run(questions=30, paths=2)
    write(run, settings_for(tokenizer_folder))
    with RunDir(run, read_only=True) as held:
        problems = [Problem.model_validate_json(r.body) for r in held.journal.records("problems")]
        paths = [
            ReasoningPath.model_validate(p) for r in held.journal.records("paths") for p in json.loads(r.body)
        ]
    questions = {problem.id: problem.question for problem in problems}
    rows = rows_of(run)
    for row in rows:
        from_text, from_ids = parse(row["completion"]), parse_ids(tokenizer, row["completion_ids"])
        assert not from_text.violations
        assert from_text.path == from_ids.path
        assert row["question"] == questions[row["problem_id"]]
        assert tokenizer.decode(row["prompt_ids"]) == (
            f"<|im_start|>user\n{row['question']}<|im_end|>\n<|im_start|>assistant\n"
        )
        TokenSample(
            **{name: row[name] for name in ("prompt_ids", "completion_ids", "step_index", "reasoning_tokens")}
        )
        assert max(row["step_index"]) == row["steps"] - 1
        assert len(row["node_ids"]) == len(row["parents"]) == row["steps"]
        assert row["backtracks"] == sum(p != i - 1 for i, p in enumerate(row["parents"]))
    written = {(row["problem_id"], parse(row["completion"]).path.steps) for row in rows}
    assert written == {(path.problem_id, path.steps) for path in paths}


def test_no_question_is_in_two_splits(make_run, tokenizer_folder):
    run = make_run(questions=40)
    write(run, settings_for(tokenizer_folder, seed=3))
    loaded = datasets.load_dataset(str(run / "dataset"))
    train, validation = (set(loaded[name]["question"]) for name in ("train", "validation"))
    assert not train & validation
    assert (len(train), len(validation)) == (36, 4)


def test_the_seed_chooses_the_validation_questions(make_run, tokenizer_folder):
    chosen = []
    for seed in (0, 0, 1):
        run = make_run(f"run{len(chosen)}", questions=40)
        write(run, settings_for(tokenizer_folder, seed=seed))
        chosen.append(
            {row["problem_id"] for row in pq.read_table(next((run / "dataset").glob("val*"))).to_pylist()}
        )
    assert chosen[0] == chosen[1] != chosen[2]


def test_without_a_share_there_is_no_validation_split(make_run, tokenizer_folder):
    run = make_run(questions=20)
    write(run, settings_for(tokenizer_folder).model_copy(update={"validation_share": 0.0}))
    assert set(datasets.load_dataset(str(run / "dataset"))) == {"train"}


def test_what_is_over_budget_is_left_out_and_counted(make_run, tokenizer_folder):
    run = make_run(questions=20, paths=2, long=frozenset({3, 7}))
    found = write(run, settings_for(tokenizer_folder))
    assert found.dropped == {"reasoning too long": 4}
    assert sum(split.samples for split in found.splits.values()) == 36
    assert "| reasoning too long | 4 |" in (run / "dataset" / "README.md").read_text()


def test_a_budget_that_leaves_nothing_says_so(make_run, tokenizer_folder):
    run = make_run(questions=5)
    with pytest.raises(InputError, match=r"all were dropped \(15 with reasoning too long\)"):
        write(run, settings_for(tokenizer_folder, budget=TokenBudget(max_reasoning_tokens=10)))


def test_a_question_prompt_holds_options_and_system_message(make_run, tokenizer_folder, tokenizer):
    assert Problem(question="q", answer="A", choices=("x", "y")).blind().prompt == "q\nA. x\nB. y"
    run = make_run(questions=5)
    write(run, settings_for(tokenizer_folder, system_prompt="Think."))
    prompt = tokenizer.decode(rows_of(run)[0]["prompt_ids"])
    assert prompt.startswith("<|im_start|>system\nThink.<|im_end|>\n<|im_start|>user\nFrom 3 5 7")


def test_the_card_has_a_header_that_yaml_reads(make_run, tokenizer_folder):
    run = make_run(questions=30)
    write(run, settings_for(tokenizer_folder))
    card = (run / "dataset" / "README.md").read_text()
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["language"] == ["en", "zh"]
    assert "configs" not in header
    for heading in ("## Split `train`", "## Left out", "## Columns", "## Example"):
        assert heading in card


def test_doing_it_twice_changes_no_byte(make_run, tokenizer_folder):
    run = make_run(questions=60)
    write(run, settings_for(tokenizer_folder))
    before = contents(run)
    write(run, settings_for(tokenizer_folder))
    assert contents(run) == before


@pytest.mark.slow
def test_the_number_of_workers_changes_no_byte(make_run, tokenizer_folder, monkeypatch):
    monkeypatch.setattr("steiner.dataset.write.WORKER_QUESTIONS", 10)
    one, two = make_run("one", questions=60), make_run("two", questions=60)
    write(one, settings_for(tokenizer_folder))
    write(two, settings_for(tokenizer_folder), workers=2)
    assert contents(one) == contents(two)


def test_finished_files_are_kept_and_strays_removed(make_run, tokenizer_folder):
    run = make_run(questions=60)
    settings = settings_for(tokenizer_folder)
    write(run, settings)
    before = contents(run)
    folder = run / "dataset"
    kept, damaged, lost = sorted(folder.glob("train-*"))[:3]
    kept_at = kept.stat().st_mtime_ns
    damaged.write_bytes(b"half")
    lost.unlink()
    (folder / ".train-00009-of-00009.parquet.x.tmp").write_bytes(b"left by a kill")
    (folder / "train-00000-of-00099.parquet").write_bytes(b"of other settings")
    write(run, settings)
    assert contents(run) == before
    assert kept.stat().st_mtime_ns == kept_at


def test_other_settings_or_another_tokenizer_are_refused_until_forced(make_run, tokenizer_folder, tmp_path):
    run = make_run(questions=20)
    own = tmp_path / "tokenizer"
    load_tokenizer(str(tokenizer_folder)).save_pretrained(own)
    write(run, settings_for(own))
    with pytest.raises(ResumeError, match="seed was 0, now 1"):
        write(run, settings_for(own, seed=1))
    train_tokenizer(["other words"], 512, 99).save_pretrained(own)
    with pytest.raises(ResumeError, match="its input 'tokenizer' has changed"):
        write(run, settings_for(own))
    write(run, settings_for(own), force=True)
    assert sum(1 for _ in rows_of(run)) == 60


def test_reading_refuses_another_tokenizer_and_names_both(make_run, tokenizer_folder, tokenizer):
    run = make_run(questions=20)
    digest = write(run, settings_for(tokenizer_folder)).tokenizer.digest
    assert len(load_samples(run / "dataset", "train", tokenizer)) == 54
    with pytest.raises(InputError, match=digest):
        load_samples(run / "dataset", "train", train_tokenizer(["other"], 512, 99))


def test_reading_refuses_samples_longer_than_the_context(make_run, tokenizer_folder, tokenizer):
    run = make_run(questions=20)
    found = write(run, settings_for(tokenizer_folder)).splits["train"].total_tokens
    assert load_samples(run / "dataset", "train", tokenizer, max_tokens=found.max)
    with pytest.raises(InputError, match=r"[0-9]+ of 54 samples"):
        load_samples(run / "dataset", "train", tokenizer, max_tokens=found.max - 1)


def test_reading_names_what_is_missing(make_run, tokenizer_folder, tokenizer, tmp_path):
    with pytest.raises(InputError, match="no finished dataset"):
        load_samples(tmp_path, "train", tokenizer)
    run = make_run(questions=20)
    write(run, settings_for(tokenizer_folder))
    with pytest.raises(InputError, match="it has: train, validation"):
        load_samples(run / "dataset", "test", tokenizer)


@pytest.mark.slow
def test_killed_at_any_moment_the_same_command_gives_the_same_bytes(make_run, tokenizer_folder):
    undisturbed, killed = (make_run(name, questions=3000, paths=4) for name in ("undisturbed", "killed"))
    command = [
        sys.executable, "-m", "steiner.cli.main", "dataset", "--tokenizer", str(tokenizer_folder), "--run",
    ]  # fmt: skip
    subprocess.run([*command, str(undisturbed)], check=True, capture_output=True)
    kills = 0
    folder = killed / "dataset"
    for state in (
        lambda: folder.is_dir(),
        lambda: any(folder.glob(".*.tmp")),
        lambda: any(folder.glob("train-*")),
    ):
        process = subprocess.Popen(
            [*command, str(killed)],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and not state():
            time.sleep(0.01)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills == 3
    subprocess.run([*command, str(killed)], check=True, capture_output=True)
    assert contents(killed) == contents(undisturbed)


def test_two_datasets_of_the_same_folder_name_are_not_mistaken_for_each_other(
    make_run, tokenizer_folder, tokenizer
):
    # datasets keeps what it loads in one cache; what it takes for the same data must be the same data.
    loaded = []
    for seed in (1, 2):
        run = make_run(f"run{seed}", questions=8, seed=seed)
        write(run, settings_for(tokenizer_folder))
        rows = load_samples(run / "dataset", "train", tokenizer)
        (file,) = (run / "dataset").glob("train-*.parquet")
        assert rows["completion"][:] == pq.read_table(file)["completion"].to_pylist()
        loaded.append(rows["completion"][:])
    assert loaded[0] != loaded[1]
