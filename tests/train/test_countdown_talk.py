"""The recipe of a model that talks: what it counts and asks is what it says, and it runs with one command."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import Step
from steiner.evaluate.records import SampleResult
from steiner.problems.countdown import Limits, make_state, operations
from steiner.problems.countdown_words import WORDS
from steiner.protocol.history import HistoryPolicy
from steiner.teacher.countdown_text import give_up, step_text

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
FOLDER = RECIPES / "countdown-talk"
SCRIPT = FOLDER / "run.py"


@pytest.fixture(scope="module")
def talk():
    sys.path[:0] = [str(FOLDER), str(RECIPES)]
    try:
        import talk
    finally:
        del sys.path[:2]
    return talk


def script(name):
    """Import a script whose name other recipes have too."""
    before = list(sys.path)
    spec = importlib.util.spec_from_file_location(f"talk_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module


@pytest.fixture(scope="module")
def page(talk):
    return script("page")


numbers = st.lists(st.integers(1, 20), min_size=2, max_size=3)


@given(numbers=numbers, target=st.integers(1, 30), language=st.sampled_from(list(WORDS)), data=st.data())
def test_the_teachers_steps_are_in_their_language_and_in_no_other(talk, numbers, target, language, data):
    state = make_state(numbers)
    operation = data.draw(st.sampled_from(operations(state, Limits())))
    step, _ = step_text(state, operation, target, language)
    for said in (step, give_up(step)):
        for other in WORDS:
            assert talk.in_words(said, other) is (other == language)
        assert talk.spoken([said], language) == (1, 1, 1)


GOOD = Step(name="从 3 5", thought="3 + 5 = 8", summary="剩下 8", reflection="目标 9，得到 8，相差 1")


@pytest.mark.parametrize(
    ("changes", "by_script"),
    [
        ({"summary": "left 8"}, 0),
        ({"name": "From 3 5"}, 0),
        ({"reflection": "继续继续"}, 1),
        ({"name": "从 3 从 5"}, 1),
        ({"thought": "3 + 5 = got 8"}, 0),
        ({"summary": "剩下"}, 1),
        (dict.fromkeys(("name", "thought", "summary", "reflection"), ""), 0),
    ],
)
def test_a_step_that_falls_apart_is_in_no_language(talk, changes, by_script):
    assert talk.spoken([GOOD], "zh") == (1, 1, 1)
    assert talk.spoken([GOOD.model_copy(update=changes)], "zh") == (1, by_script, 0)


def test_counts_of_steps_add_up(talk):
    counts = talk.spoken([GOOD, GOOD], "zh") + talk.spoken([GOOD], "en")
    assert counts == (3, 2, 2)
    assert counts.share == pytest.approx(2 / 3)
    assert talk.Spoken().share is None


def test_every_size_measures_what_the_aims_need(talk):
    trained = talk.trained_systems()
    for size in talk.SIZES.values():
        chosen = talk.measures(size, trained)
        assert len({one.name for one in chosen}) == len(chosen)
        assert {one.split for one in chosen} == set(talk.SPLITS)
        assert {one.temperature for one in chosen} == {0, 0.5, 1, 1.5}
        talked = {(one.turns, one.history) for one in chosen if one.turns > 1}
        assert talked == {(turns, policy) for turns in size.turns for policy in HistoryPolicy}
        for one in chosen:
            ask = one.ask(size, 3)
            assert (ask.temperature, ask.system, ask.turns, ask.history) == one[2:]
            assert (ask.seed, ask.limits, ask.problems) == (3, (talk.STEPS,), size.heldout)


def test_system_prompts_are_of_both_languages_and_the_unseen_ones_are_not_trained(talk):
    full = talk.SIZES["full"]
    trained = talk.trained_systems()
    assert not set(talk.UNSEEN) & set(trained)
    for prompts in (trained[: full.systems], talk.UNSEEN):
        assert len(set(prompts)) == full.systems
        assert {prompt.isascii() for prompt in prompts} == {True, False}


def test_plain_text_is_in_both_languages_about_the_numbers_given_alone():
    sums, ways = script("run").plain_text([(3, 5, 7), (2, 4, 9)])
    for text, word in ((sums, "comparison"), (ways, "name")):
        english, chinese = (WORDS[language]._asdict()[word].split()[0] for language in ("en", "zh"))
        about = [(english in one, chinese in one) for one in text.split("\n\n")]
        assert set(about) == {(True, False), (False, True)}
    named = [one.split("\n")[0].removeprefix("From ").removeprefix("从 ") for one in ways.split("\n\n")]
    assert {name: named.count(name) for name in named} == {"3 5 7": 8, "2 4 9": 8}


def answered(page, talk, right, language="en", **changes):
    """Return one completion of each problem."""
    fixed = {"max_steps": 32, "well_formed": True, "steps": 2, "backtracks": 0, "reasoning_tokens": 9}
    return tuple(
        page.Answered(
            SampleResult(problem_id=str(number), right=bool(one), answer="", **fixed | changes),
            language,
            talk.Spoken(2, 2, 2),
        )
        for number, one in enumerate(right)
    )


def row(page, talk, right, **changes):
    return page.Row("row", np.array([right], dtype=float), answered(page, talk, right, **changes))


def test_a_drop_is_one_that_the_interval_shows(page, talk):
    before = row(page, talk, [1] * 80 + [0] * 20)
    for lost, holds in ((0, True), (3, True), (30, False)):
        after = row(page, talk, [0] * lost + [1] * (80 - lost) + [0] * 20)
        table = page.Table("Follow-ups: turn 2", "", before, (before, after, before))
        (aim,) = page.follow_up_aims([table])
        assert aim.holds is holds
        assert aim.found.startswith(f"{-lost:+.1f} (")
        assert page.system_aim(page.Table("", "", before, (after, before))).holds is holds
    more = row(page, talk, [1] * 100)
    assert page.follow_up_aims([page.Table("Follow-ups: turn 3", "", before, (before, more))])[0].holds


def test_one_ill_formed_completion_misses_the_aim(page, talk):
    good = row(page, talk, [1] * 3)
    assert page.grammar_aim(good).holds
    broken = good.answered[0].sample.model_copy(update={"well_formed": False})
    mixed = good._replace(answered=(*good.answered, good.answered[0]._replace(sample=broken)))
    aim = page.grammar_aim(mixed)
    assert not aim.holds
    assert aim.found == "3 of 4 completions of all tables"


def test_each_language_has_an_aim_of_its_own(page, talk):
    english, chinese = row(page, talk, [1] * 99), row(page, talk, [1] * 99, language="zh")
    wrong = tuple(
        one._replace(spoken=talk.Spoken(2, 2, 1 if number < 2 else 2))
        for number, one in enumerate(chinese.answered)
    )
    rows = [english, chinese._replace(answered=wrong)]
    assert [aim.holds for aim in page.language_aims(rows)] == [True, False]
    assert [aim.found for aim in page.language_aims(rows)] == ["100.00% of 198", "98.98% of 198"]
    table = "\n".join(page.language_table(rows))
    assert "| row | English | 99 | 100.0% (" in table
    assert table.count("| row |") == 2


def test_shares_are_cut_off_not_rounded(page):
    shares = (0.57, 1.0, 0.99996, 0.0, None)
    assert [page.percent(share) for share in shares] == ["57.00%", "100.00%", "99.99%", "0.00%", "–"]


@pytest.mark.slow
def test_the_smallest_model_that_talks(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, SCRIPT, "--size", "tiny", "--workers", "1", "--output", out]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment)
    text = (out / "page.md").read_text()
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
        "Languages", "Temperatures", "System prompts", "Follow-ups: turn 2", "Training",
    ]  # fmt: skip
    assert "| 100% well-formed under strict control | 60 of 60 completions of all tables | holds |" in text
    assert "None of the test problems (6 of new-inputs, 6 of heldout-targets) is among the 20" in text
    made = {path: path.stat().st_mtime_ns for path in (out / "seed-0").glob("*.json")}
    assert len(made) == 10
    model = out / "seed-0" / "sft" / "model" / "model.safetensors"
    trained = model.stat().st_mtime_ns
    next(iter(made)).unlink()
    subprocess.run(command, check=True, env=environment)
    assert model.stat().st_mtime_ns == trained
    assert sum(path.stat().st_mtime_ns == then for path, then in made.items()) == 9
    copied = tmp_path / "copied.md"
    subprocess.run([sys.executable, FOLDER / "page.py", out, copied], check=True, env=environment)
    assert copied.read_text() == (out / "page.md").read_text()
