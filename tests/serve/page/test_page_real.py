"""The chat page and the real server, with an untrained model."""

from __future__ import annotations

import urllib.request

import pytest
from waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture
def page(browser, server):
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    context.set_default_timeout(60_000)
    complaints: list[str] = []
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("console", lambda message: _note(message, complaints))
    opened = context.new_page()
    opened.goto(server)
    opened.wait_for_selector(".model option >> text=tiny", state="attached")
    yield opened
    context.close()
    assert not complaints


def _note(message, complaints):
    if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
        complaints.append(message.text)


def ask(page, text):
    page.get_by_label("Question", exact=True).fill(text)
    page.keyboard.press("Enter")


def test_two_turns_and_a_reload(page):
    page.get_by_label("Effort").select_option("none")  # one step of hardly any text
    ask(page, "first <|reasoning_end|>")
    until(page, "() => document.querySelectorAll('.answer:not([hidden])').length === 1")
    page.wait_for_selector("body:not(.running)", state="attached")
    assert page.locator(".note").is_hidden()
    assert page.locator(".step").count() == 1
    assert "1 step · 0 returns" in page.locator(".status").inner_text()
    ask(page, "second")
    until(page, "() => document.querySelectorAll('.answer:not([hidden])').length === 2")
    page.wait_for_selector("body:not(.running)", state="attached")
    said = [item.inner_text() for item in page.locator(".answer-text").all()]
    page.reload()
    page.wait_for_selector(".turn >> nth=1")
    assert [item.inner_text() for item in page.locator(".answer-text").all()] == said


def test_stopping_frees_the_place(page, server):
    ask(page, "think long")  # untrained and without limits, it writes until its context is full
    page.wait_for_selector(".step")
    page.keyboard.press("Escape")
    page.wait_for_selector(".note >> text=Stopped.")

    def running() -> str:
        with urllib.request.urlopen(f"{server}/metrics") as response:
            lines = response.read().decode().splitlines()
        return next(line.split()[-1] for line in lines if line.startswith("steiner_running "))

    for _ in range(400):
        if running() == "0.0":
            break
        page.wait_for_timeout(20)
    assert running() == "0.0"


def test_a_refusal_of_the_server_is_told(page):
    page.get_by_label("Effort").select_option("none")
    ask(page, "x" * 3000)  # longer than the context
    page.wait_for_selector(".note.bad")
    assert "context" in page.locator(".note.bad").inner_text()
