"""Alarms of training on the page, in its JSON twin, and beside an evaluation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from steiner.cli.evaluate import alarms_of
from steiner.evaluate import Report, TrainingAlarm
from steiner.evaluate.report import render

ALARM = TrainingAlarm(
    stage="rl",
    name="reward_without_accuracy",
    since=1234,
    evidence="reward 0.412 → 0.930 while accuracy 41.0% → 40.2%",
    advice="Read completions <b>of the last</b> updates.",
)


def page(alarms: tuple[TrainingAlarm, ...] | None) -> str:
    report = Report(
        title="t", verdict="v", created="2026-11-22T00:00:00+00:00", command="c", commit="", seed=0,
        machine="m", training_alarms=alarms,
    )  # fmt: skip
    assert Report.model_validate_json(report.model_dump_json()) == report
    return render(report)


def test_an_alarm_is_a_row_with_all_that_it_says() -> None:
    html = page((ALARM,))
    row = re.search(r"<tr><th scope=\"row\">rl</th>.*?</tr>", html)
    assert row is not None
    for text in ("reward without accuracy", "1,234", ALARM.evidence, "&lt;b&gt;of the last&lt;/b&gt;"):
        assert text in row[0]


def test_silence_is_said_where_a_monitor_watched_and_only_there() -> None:
    assert "The monitor raised no alarm." in page(())
    assert "monitor" not in page(None)
    assert 'id="training"' not in page(None)


def test_alarms_beside_a_model(tmp_path: Path) -> None:
    model = tmp_path / "rl" / "model"
    model.mkdir(parents=True)
    assert alarms_of(model) == []
    alarm = {"name": "no_signal", "since": 9, "evidence": "groups: 95.0%", "advice": "x"}
    record = {"stage": "rl", "alarms": [alarm]}
    (tmp_path / "rl" / "training.json").write_text(json.dumps(record))
    assert alarms_of(model) == ["no_signal since update 9: groups: 95.0%"]


@pytest.mark.parametrize("text", ["", "[]", '{"alarms": 3}', '{"alarms": [{}]}', '{"alarms": [3]}', "\xff"])
def test_a_record_that_cannot_be_read_stands_in_nobodys_way(tmp_path: Path, text: str) -> None:
    (tmp_path / "training.json").write_text(text, encoding="latin-1")
    assert alarms_of(tmp_path / "model") == []
