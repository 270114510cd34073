"""The report in a browser: filters, samples on demand, links from the table, keyboard, hostile text."""

from __future__ import annotations

import pytest
from saved_example import saved
from test_report_page import HOSTILE

from steiner.core import Step
from steiner.evaluate.pages.build import evaluation_report
from steiner.evaluate.report import render

NOW = "2026-11-23T00:00:00+00:00"


@pytest.fixture(scope="module")
def html() -> str:
    other = saved(model="runs/a/sft/model", skill=0.4, seed=3)
    return render(evaluation_report(saved(), against=other, created=NOW))


def rows(page):
    return page.locator("#list button")


def count(page) -> int:
    return int(page.locator("#count").inner_text().split()[0].replace(",", ""))


def test_samples_are_listed_and_open_on_demand(visit, html):
    page = visit(html)
    page.wait_for_selector("#tool:not([hidden])")
    assert page.locator("#count").inner_text() == "60 samples of 60"
    assert rows(page).count() == 25
    rows(page).nth(3).click()
    page.wait_for_selector("#shown .steps")
    assert page.locator("#shown h3").inner_text() == "Sample 4"
    assert page.locator("#shown .question").inner_text() == "Make 22 from 3 5 7, question 3."
    # Planted: hit at the limit after a detour, 4 steps, one of them after a backtrack.
    kinds = page.locator("#shown .steps .step").evaluate_all("all => all.map(s => s.classList[1])")
    assert kinds == ["start", "proceed", "backtrack", "proceed", "answer"]
    assert page.locator("#shown .step .arrival").nth(2).inner_text() == "backtracks to the question"
    assert page.url.endswith("#sample/4/2")
    assert rows(page).nth(3).get_attribute("aria-current") == "true"


def test_a_number_of_the_table_opens_its_samples(visit, html):
    page = visit(html)
    link = page.locator("table.failures a[href='#samples/left-good/2']")
    wanted = int(link.inner_text())
    link.click()
    page.wait_for_selector("#shown .chip")
    assert count(page) == wanted
    assert page.locator("#outcome").input_value() == "left-good"
    assert page.locator("#shown .chip").inner_text() == "left a good branch"
    assert "did not return" in page.locator("#shown .why").inner_text()
    assert page.locator("#shown .flagged").count() == 1


def test_a_smaller_limit_shows_what_was_taken_of_the_path(visit, html):
    page = visit(html, "#sample/8/0")
    page.wait_for_selector("#shown .steps")
    assert page.locator("#limit").input_value() == "0"
    assert page.locator("#shown .steps .step").count() == 3, "two steps and the answer"


def test_filters_search_order_and_pages(visit, html):
    page = visit(html)
    page.wait_for_selector("#tool:not([hidden])")
    total = 0
    for outcome in ("right", "wrong"):
        page.select_option("#outcome", outcome)
        total += count(page)
        sign = "✓" if outcome == "right" else "✗"
        assert set(page.locator("#list .sign").all_inner_texts()) == {sign}
    assert total == 60
    page.select_option("#outcome", "lost")
    lost = count(page)
    page.select_option("#outcome", "gained")
    assert lost + count(page) > 0
    page.select_option("#outcome", "")
    page.get_by_label("Find").fill("QUESTION 7.")
    assert count(page) == 1
    page.get_by_label("Find").fill("nowhere")
    assert page.locator("#place").inner_text() == "none"
    page.get_by_label("Find").fill("")
    page.select_option("#order", "most")
    steps = [int(text.split()[0]) for text in page.locator("#list .under span:first-child").all_inner_texts()]
    assert steps == sorted(steps, reverse=True)
    page.get_by_label("Later samples").click()
    page.get_by_label("Later samples").click()
    assert page.locator("#place").inner_text() == "51–60"
    assert page.get_by_label("Later samples").is_disabled()


def test_all_of_it_works_by_keyboard(visit, html):
    page = visit(html)
    page.wait_for_selector("#tool:not([hidden])")
    rows(page).first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#shown .steps")
    assert page.locator("#shown h3").inner_text() == "Sample 2"
    assert page.evaluate("document.activeElement.id") == "shown"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Sample before"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#shown h3').textContent === 'Sample 3'")


def test_hostile_texts_run_nothing(visit):
    step = Step(name=HOSTILE, thought=HOSTILE, summary=HOSTILE, reflection=HOSTILE)
    evil = saved(30, model=HOSTILE, steps=(step,) * 3, prompt=HOSTILE, answer=HOSTILE)
    page = visit(render(evaluation_report(evil, created=NOW)), "#sample/1/2")
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.wait_for_selector("#shown .steps")
    assert page.locator("img, iframe, object").count() == 0
    assert "<script>alert(1)</script>" in page.locator("#shown .question").inner_text()
    assert page.locator("#shown script").count() == 0
    page.get_by_label("Find").fill("<script>")
    assert count(page) == 30


@pytest.mark.parametrize(
    "fragment", ["#sample/999/2", "#sample/x/y", "#samples/nothing/9", "#%00", "#sample"]
)
def test_addresses_that_lead_nowhere_do_no_harm(visit, html, fragment):
    page = visit(html, fragment)
    page.wait_for_selector("#tool:not([hidden])")
    assert page.locator("#shown .steps").count() == 0


def test_without_script_it_says_where_the_samples_are(visit, html):
    page = visit(html, java_script_enabled=False)
    assert "They are in the JSON file." in page.locator("#browser").inner_text()
    assert not page.locator("#tool").is_visible()


def test_print_leaves_the_controls_out(visit, html):
    page = visit(html)
    page.wait_for_selector("#tool:not([hidden])")
    page.emulate_media(media="print")
    assert not page.locator("#browser").is_visible()
    page.emulate_media(media="screen")
    rows(page).first.click()
    page.wait_for_selector("#shown .steps")
    page.emulate_media(media="print")
    assert page.locator("#shown .steps").is_visible()
    assert not page.locator("#list").is_visible()
    assert not page.locator("#shown button").first.is_visible()
    page.emulate_media(media="print", color_scheme="dark")
    colour = "getComputedStyle(document.body).color"
    assert page.evaluate(colour) == "rgb(28, 33, 40)", "dark ink on paper, whatever the screen"


@pytest.mark.slow
def test_ten_thousand_samples_open_without_their_texts(visit):
    text = "a thought of some length, about numbers and what is left of them " * 4
    step = Step(name="From 3 5 7", thought=text, summary=text[:80], reflection=text[:60])
    large = saved(10_000, steps=(step,) * 8, limits=(8,))
    page = visit(render(evaluation_report(large, created=NOW)), "#sample/9999/0")
    page.wait_for_selector("#shown .steps")
    assert page.locator("#count").inner_text() == "10,000 samples of 10,000"
    assert page.locator("#shown h3").inner_text() == "Sample 9999"
    assert page.evaluate("document.querySelectorAll('*').length") < 6_000
