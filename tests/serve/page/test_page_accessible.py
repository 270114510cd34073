"""The chat page under axe's rules (WCAG 2.2 AA and good practice), light and dark, wide and narrow."""

from __future__ import annotations

import pytest

from scripted_server import Refusal, search_reply

pytestmark = pytest.mark.slow
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="install the extra `dev`")


def violations(page):
    found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_no_rule_is_broken(visit, scripted, scheme, width):
    page = visit(color_scheme=scheme, viewport={"width": width, "height": 800})
    assert violations(page) == []
    scripted.say(search_reply(), Refusal(429, "wait"))
    page.get_by_label("Question", exact=True).fill("Numbers 3 5 7, target 22")
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer:not([hidden])")
    page.wait_for_selector("body:not(.running)", state="attached")
    page.get_by_role("button", name="Open all").click()
    page.get_by_label("Question", exact=True).fill("again")
    page.keyboard.press("Enter")
    page.wait_for_selector(".note.bad")
    if width < 1000:
        page.get_by_role("button", name="Settings").click()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
