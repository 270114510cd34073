"""Records refuse what would make a page or a file lie."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError
from report_example import RIGHT_PATH, example_report

from steiner.evaluate import Histogram, PathExample, Report, TrainingCurve
from steiner.evaluate.metrics import model_result


def test_unknown_schema_version_is_refused() -> None:
    text = example_report().model_dump_json().replace('"schema_version":1', '"schema_version":99')
    with pytest.raises(ValidationError, match="report schema 99 is not the one this version reads"):
        Report.model_validate_json(text)


def test_numbers_must_be_finite() -> None:
    point = example_report().models[0].final.model_dump()
    with pytest.raises(ValidationError, match="finite"):
        type(example_report().models[0].final).model_validate({**point, "mean_steps": math.nan})


def test_curve_must_rise_in_steps() -> None:
    model = example_report().models[0]
    with pytest.raises(ValidationError, match="rising max_steps"):
        type(model).model_validate(
            {**model.model_dump(), "curve": [p.model_dump() for p in model.curve[::-1]]}
        )


def test_parallel_tuples_must_be_parallel() -> None:
    with pytest.raises(ValidationError, match="dead_ends must be parallel"):
        PathExample(title="t", question="q", path=RIGHT_PATH, right=True, dead_ends=(True,))
    with pytest.raises(ValidationError, match="values must be parallel"):
        TrainingCurve(stage="s", metric="m", steps=(1, 2), values=(0.1,))
    with pytest.raises(ValidationError, match="2 counts need 3 edges"):
        Histogram(unit="u", edges=(0, 1), counts=(1, 2), mean=0.5)


def test_model_without_steps_repeats_none() -> None:
    from test_metrics_compare import sample

    made = [sample(i, right=False, max_steps=2, steps=0) for i in range(3)]
    assert model_result("m", "m", made, final=2, minimum=2, seconds=0).repeats == 0.0
