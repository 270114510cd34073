"""The command itself; it lives in `cli`. The model is tiny and untrained."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from steiner.cli.evaluate import app, read_limits
from steiner.core import InputError, Problem, Ramp, Settings, SoftEnd, StepBudget
from steiner.evaluate.saved import SavedEvaluation, compare_saved, load, save
from steiner.problems.countdown import CountdownSettings, Split, generate
from steiner.store import RunDir, Stage, StoredRecord

SIZES = CountdownSettings(count=3, high=9, target_high=60)


def put(run: RunDir, name: str, problems: list[Problem]) -> Stage:
    stage = Stage(run, name, Settings())
    stage.put([StoredRecord(p.id, i, p.model_dump_json().encode()) for i, p in enumerate(problems)])
    return stage


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with problems and held-out problems; only to be read."""
    path = tmp_path_factory.mktemp("evaluated") / "run"
    with RunDir(path) as run:
        put(run, "problems", list(generate(SIZES, 4))).finish({})
        put(run, "heldout", list(generate(SIZES, 6, Split.NEW_INPUTS))).finish({})
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from steiner.dataset.tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["Make 22 from 3 5 7.", "go on"], vocab_size=300, numbers_to=9)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=512, initializer_range=0.5,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def ask(model: str, place: Path, *more: object):
    return run(model, "--run", place, "--limits", "1,2", "--max-reasoning-tokens", 40, *more)


def refused(result, message: str) -> None:
    with pytest.raises(InputError, match=message):
        raise result.exception


def test_held_out_problems_are_measured_and_every_sample_is_kept(model, place, tmp_path):
    file = tmp_path / "deep" / "out.json"
    result = ask(model, place, "--output", file)
    assert result.exit_code == 0, result.output
    evaluation = load(file)
    with RunDir(place, read_only=True) as held:
        ids = [record.key for record in held.journal.records("heldout")]
    assert (evaluation.stage, evaluation.model) == ("heldout", model)
    assert [(s.max_steps, s.problem_id) for s in evaluation.samples] == [(m, i) for m in (1, 2) for i in ids]
    assert all(s.reasoning_tokens <= 40 and s.steps <= s.max_steps for s in evaluation.samples)
    assert all(s.right != (s.failure is not None) for s in evaluation.samples)
    assert [one.problem_id for one in evaluation.written] == ids
    largest = [s for s in evaluation.samples if s.max_steps == 2]
    assert [len(one.steps) for one in evaluation.written] == [s.steps for s in largest]
    assert [q.problem_id for q in evaluation.questions] == ids
    assert evaluation.circumstances.machine
    assert [(p.max_steps, p.n) for p in evaluation.curve] == [(1, 6), (2, 6)]
    assert "100.0%" in result.output, "strict control keeps even an untrained model well-formed"
    again = ask(model, place, "--output", file)
    refused(again, "exists")
    assert ask(model, place, "--output", file, "--n", 2, "--force").exit_code == 0
    assert load(file).curve[0].n == 2


def test_a_model_is_no_better_than_itself(model, place, tmp_path):
    file = tmp_path / "out.json"
    assert ask(model, place, "--stage", "problems", "--output", file).exit_code == 0
    assert load(file).stage == "problems"
    result = run(
        model, "--run", place, "--stage", "problems", "--limits", "2,3", "--max-reasoning-tokens", 40,
        "--compare", file,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "with 2 steps: no difference beyond noise: 0.0 points" in text
    refused(ask(model, place, "--compare", file), "answered 4 problems, this one is about 6, 0 of them")


def test_every_other_limit_reaches_the_model_and_the_file(model, place, tmp_path):
    file = tmp_path / "out.json"
    result = ask(
        model, place, "--output", file, "--max-step-tokens", 12, "--backtrack-bias", -2, "--ban-repeats",
        "--soft-end=-3,5,2,exponential",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    evaluation = load(file)
    soft = SoftEnd(start=-3, stop=5, steps=2, ramp=Ramp.EXPONENTIAL)
    want = StepBudget(max_step_tokens=12, backtrack_bias=-2, ban_repeats=True, soft_end=soft)
    assert evaluation.other_limits == want
    assert all(s.reasoning_tokens <= 1 + 13 * s.steps for s in evaluation.samples)
    refused(ask(model, place, "--soft-end", "1"), "--soft-end takes START,STOP,STEPS")
    refused(ask(model, place, "--max-step-tokens", 3), "--max-step-tokens")


def test_comparing_pairs_by_problem_under_the_largest_common_limit(tmp_path):
    def evaluation(model: str, limits: list[int], right: int) -> SavedEvaluation:
        from steiner.evaluate.metrics import curve_point
        from steiner.evaluate.records import SampleResult

        samples = [
            SampleResult(
                problem_id=f"p{i}", max_steps=limit, right=i < right * (limit == 4), well_formed=True,
                steps=limit, backtracks=0, reasoning_tokens=9, answer="a",
            )
            for limit in limits
            for i in range(100)
        ]  # fmt: skip
        return SavedEvaluation(
            model=model, run="r", stage="heldout", temperature=0, seed=0, max_reasoning_tokens=None,
            seconds=1, curve=tuple(curve_point(samples, limit) for limit in limits), samples=tuple(samples),
        )  # fmt: skip

    old, new = evaluation("old", [1, 4, 16], 20), evaluation("new", [1, 4, 8], 60)
    save(old, tmp_path / "old.json")
    result = compare_saved(load(tmp_path / "old.json"), new)
    assert (result.max_steps, result.gained, result.lost, result.n) == (4, 40, 0, 100)
    assert result.outcome == "better"
    with pytest.raises(InputError, match="only the step limits 1,4,16"):
        compare_saved(old, evaluation("new", [2], 1))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--stage", "train"], "no stage 'train'.*heldout or problems"),
        (["--limits", "1,x"], "separated by commas"),
        (["--limits", "0"], "separated by commas"),
        (["--compare", "/nowhere.json"], "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_model_is_loaded(place, more, message):
    refused(run("./no-model", "--run", place, *more), message)


def test_bad_places_are_named(place, tmp_path):
    refused(run("./no-model", "--run", tmp_path / "none"), "no run directory")
    assert not (tmp_path / "none").exists()
    refused(run("./no-model", "--run", place), "no model folder './no-model'")
    with RunDir(tmp_path / "run") as other:
        refused(run("./no-model", "--run", other.path), "no stage 'problems' yet")
        put(other, "problems", []).finish({})
        refused(run("./no-model", "--run", other.path), "holds no problems")
        put(other, "heldout", [])
        refused(run("./no-model", "--run", other.path), "'heldout'.* is unfinished")
    (tmp_path / "bad.json").write_text('{"samples": 3}')
    refused(
        run("./no-model", "--run", place, "--compare", tmp_path / "bad.json"),
        "was not written by .steiner evaluate --output.: model: Field required",
    )


def test_limits_are_sorted_and_distinct():
    assert read_limits("4, 1,4") == [1, 4]


def test_conversations_and_languages_are_measured(model, tmp_path):
    place, file = tmp_path / "run", tmp_path / "turns.json"
    with RunDir(place) as held:
        put(held, "problems", list(generate(SIZES.model_copy(update={"language": "zh"}), 3))).finish({})
    result = ask(model, place, "--turns", 2, "--history", "keep", "--system", "Be brief.", "--output", file)
    assert result.exit_code == 0, result.output
    evaluation = load(file)
    assert (evaluation.turns, evaluation.history, evaluation.system) == (2, "keep", "Be brief.")
    (chinese,) = evaluation.languages
    assert (chinese.language, chinese.n) == ("zh", 3)
    assert "turn 2, history: keep" in " ".join(result.output.split())
    assert "zh" in result.output
    single = tmp_path / "single.json"
    result = ask(model, place, "--compare", file, "--output", single)
    assert "Against" in result.output, result.output
    assert (load(single).turns, load(single).history) == (1, None)
    refused(ask(model, place, "--turns", 2, "--history", "all"), "--history takes one of")
