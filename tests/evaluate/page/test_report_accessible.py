"""The report under axe's rules (WCAG 2.2 AA and good practice), light and dark, wide and narrow."""

from __future__ import annotations

import pytest
from saved_example import saved

from steiner.evaluate.pages.build import evaluation_report
from steiner.evaluate.report import render

pytestmark = pytest.mark.slow
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="install the extra `dev`")


def violations(page):
    found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_no_rule_is_broken(visit, scheme, width):
    other = saved(model="runs/a/sft/model", skill=0.4, seed=3)
    html = render(
        evaluation_report(saved(), against=other, created="2026-11-23T00:00:00+00:00"), "report.json"
    )
    page = visit(
        html, "#sample/8/2", color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True
    )
    page.wait_for_selector("#shown .steps")
    found = violations(page)
    assert found == [], found
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
