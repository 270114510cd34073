"""The questions that the chat page offers are the model's own, and a click asks one."""

from __future__ import annotations

import pytest
from tiny_server import running
from waiting import settled

from chromium import watch
from scripted_server import search_reply
from steiner.decode.load import load_model
from steiner.models import DEFAULT_MODEL
from steiner.serve.run import with_examples
from steiner.serve.settings import ServeSettings

EXAMPLE = ".example"


def test_a_model_without_examples_has_none_on_its_page(visit):
    page = visit()
    assert page.locator(".empty").is_visible()
    assert page.locator(EXAMPLE).count() == 0
    assert page.locator(".examples").is_hidden()


def test_three_are_offered_and_a_click_asks_one(visit, scripted):
    scripted.examples = ["one?", "two? <b>", "three?", "four?", "五？"]
    scripted.say(search_reply())
    page = visit()
    page.wait_for_selector(EXAMPLE)
    assert page.locator(EXAMPLE).all_inner_texts() == ["one?", "two? <b>", "three?"]
    page.locator(EXAMPLE).nth(1).click()
    settled(page)
    assert scripted.bodies[0]["messages"] == [{"role": "user", "content": "two? <b>"}]
    assert page.locator(".empty").is_hidden()
    page.get_by_role("button", name="New chat").click()
    assert page.locator(EXAMPLE).count() == 3


def test_those_in_the_language_of_the_page_go_first(visit, scripted):
    scripted.examples = ["one?", "two?", "三？", "four?"]
    page = visit(locale="zh-CN")
    page.wait_for_selector(EXAMPLE)
    assert page.locator(EXAMPLE).all_inner_texts() == ["三？", "one?", "two?"]


@pytest.mark.slow
def test_the_shipped_model_answers_one_in_steps(browser):
    examples = with_examples(ServeSettings(), DEFAULT_MODEL).examples
    with running(*load_model(DEFAULT_MODEL, "cpu"), examples=examples) as url:
        complaints: list[str] = []
        context = browser.new_context()
        context.set_default_timeout(60_000)
        watch(context, url, complaints)
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector(EXAMPLE)
        offered = page.locator(EXAMPLE).all_inner_texts()
        assert offered == list(examples[:3])
        page.locator(EXAMPLE).nth(2).click()
        settled(page)
        assert page.locator(".question").all_inner_texts() == [offered[2]]
        assert page.locator(".step").count() >= 3
        assert page.locator(".step.backtrack").count() >= 1
        assert "=" in page.locator(".answer-text").inner_text()
        assert page.locator(".note").is_hidden()
        context.close()
    assert not complaints
