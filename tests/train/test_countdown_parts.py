"""The comparison of parts: its rows are what they say, and it runs with one command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SCRIPT = RECIPES / "countdown-parts" / "parts.py"


@pytest.fixture(scope="module")
def recipe():
    sys.path[:0] = [str(SCRIPT.parent), str(RECIPES)]
    try:
        import parts
        import parts_data
        import parts_page
    finally:
        del sys.path[:2]
    return parts, parts_data, parts_page


def test_every_reward_is_one_that_training_knows(recipe):
    from countdown_common import changed

    from steiner.cli.train import load_toml
    from steiner.train.settings import RlSettings

    parts = recipe[0]
    base = load_toml(RlSettings, SCRIPT.parent / "rl.toml")
    for name, rewards in parts.REWARDS.items():
        named = [one.name for one in changed(base, rewards=rewards).rewards]
        assert set(named) == {"outcome", name.removeprefix("rl-")}
    for size in parts.SIZES.values():
        completions = size.prompts * size.group
        assert completions % min(base.optimiser.batch_size, completions) == 0


def test_rows_follow_what_they_need(recipe):
    parts = recipe[0]
    assert parts.phases(["rl"]) == [["sft"], list(parts.REWARDS), ["sft-more"]]
    assert parts.phases(["limits"]) == [["sft"], ["limits"], []]
    every = [name for phase in parts.phases(list(parts.GROUPS)) for name in phase]
    assert sorted(every) == sorted({"sft", *(name for rows in parts.GROUPS.values() for name in rows)})


def test_paths_of_traces_are_the_traces_and_half_of_both(recipe, tmp_path):
    from pydantic import TypeAdapter

    from steiner.core import ReasoningPath
    from steiner.graph.join import parse_traces
    from steiner.store import RunDir

    data = recipe[1]
    data.make_data(tmp_path, 6, 2, 1)
    listed = TypeAdapter(list[ReasoningPath])

    def paths(kind):
        with RunDir(tmp_path / "data" / kind, read_only=True) as run:
            return {one.key: listed.validate_json(one.body) for one in run.journal.records("paths")}

    with RunDir(tmp_path / "data" / data.DAG, read_only=True) as run:
        written = {
            one.key: {tuple(item.step.thought for item in trace.steps) for trace in parse_traces(one.body)}
            for one in run.journal.records("traces")
        }
    own, swept, both = paths(data.TRACES), paths(data.DAG), paths(data.BOTH)
    assert any(own.values())
    for key, found in own.items():
        assert all(tuple(step.thought for step in path.steps) in written[key] for path in found)
        assert all(path.backtracks for path in found)
        assert both[key] == [*found[:4], *swept[key][:4]]
    assert all(not path.backtracks for some in paths(data.SHORTCUT).values() for path in some)
    stages = {kind: (tmp_path / "data" / kind / "dataset" / "statistics.json") for kind in data.KINDS}
    assert all(json.loads(path.read_text())["splits"]["train"]["samples"] for path in stages.values())


@given(
    st.integers(1, 4).flatmap(
        lambda settings: st.lists(
            st.lists(st.booleans(), min_size=6, max_size=6), min_size=2 * settings, max_size=2 * settings
        )
    )
)
def test_a_setting_is_chosen_on_other_problems(recipe, flat):
    page = recipe[2]
    found = [(np.array(flat[i : i + 2], dtype=float), ()) for i in range(0, len(flat), 2)]
    row = page.chosen("best", [str(i) for i in range(len(found))], [(one, ("s",) * 12) for one, _ in found])
    halves = np.arange(6) % 2
    for half in (0, 1):
        best = max(found, key=lambda one, half=half: one[0][:, halves != half].mean())[0]
        assert row.values[:, halves == half].mean() == pytest.approx(best[:, halves == half].mean())
    assert len(row.samples) == 12


def test_a_bar_needs_both_the_points_and_an_interval_above_zero(recipe):
    from steiner.evaluate.intervals import Estimate

    page = recipe[2]
    row = page.Row("x", "x", np.zeros((1, 1)), ())
    said = [
        page.bar("RL", 3.5, row, Estimate(*ends), "of one")
        for ends in ((0.05, 0.01, 0.09), (0.05, -0.01, 0.09), (0.02, 0.01, 0.03), (-0.02, -0.03, -0.01))
    ]
    assert "is **reached**" in said[0]
    assert "not reached: the interval holds 0" in said[1]
    assert "not reached: clear of 0, but less" in said[2]
    assert "is **not reached**" in said[3]


@pytest.mark.slow
def test_the_smallest_comparison(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, SCRIPT, "--size", "tiny", "--workers", "1", "--output", out, "--groups"]
    variables = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "limits"], check=True, env=variables)
    page = (out / "page.md").read_text()
    assert "None of the test problems (4 of test) is among the 20" in page
    assert "The best limits over SFT" in page
    made = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name == "model.safetensors"}
    assert len(made) == 2  # CPT and SFT
    subprocess.run([*command, "limits"], check=True, env=variables)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    rows = json.loads((out / "rows.json").read_text())
    assert rows["limits"][0]["name"] == "none"
    assert len(rows["limits"]) == 4
