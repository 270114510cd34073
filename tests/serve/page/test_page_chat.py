"""The chat page in a browser: send, stream, stop, reload, two tabs, keyboard, Chinese."""

from __future__ import annotations

import pytest
from waiting import ask, settled, until

from scripted_server import ANSWER, DONE, SEARCH, Gate, path_chunks, search_reply

QUESTION = "Numbers 3 5 7, target 22"


def test_steps_appear_as_they_are_thought(visit, scripted):
    page = visit()
    chunks, gates = search_reply(), [Gate(), Gate()]
    thinking = next(i for i, c in enumerate(chunks) if "7 * 8" in str(c)) + 1
    scripted.say([*chunks[:thinking], gates[0], *chunks[thinking:-3], gates[1], *chunks[-3:]])
    ask(page)

    until(page, "document.querySelectorAll('.step').length === 3")
    page.wait_for_selector(
        ".step.live .gist.tail >> text=7 * 8"
    )  # the end of the thought, while it is written
    assert "step 3" in page.locator(".status").inner_text()
    assert page.locator(".answer").is_hidden()
    assert page.locator("details[open]").count() == 0
    assert page.get_by_role("button", name="Stop").is_visible()
    gates[0].open()

    page.wait_for_selector(".answer:not([hidden])")
    assert page.locator(".answer-text").inner_text() != ANSWER
    gates[1].open()
    settled(page)

    assert page.locator(".answer-text").inner_text() == ANSWER
    assert page.locator(".step .name").all_inner_texts() == [step[1] for step in SEARCH]
    assert page.locator(".step .gist").all_inner_texts() == [step[3] for step in SEARCH]
    assert "5 steps · 2 returns · 200 reasoning tokens" in page.locator(".status").inner_text()


@pytest.mark.parametrize("how", ["key", "button"])
def test_stopping_ends_the_request_and_keeps_what_came(visit, scripted, how):
    page = visit()
    gate = Gate()
    scripted.say([*path_chunks(SEARCH[:2], "")[:20], gate], search_reply())
    ask(page)
    until(page, "document.querySelectorAll('.step').length === 2")
    if how == "key":
        page.keyboard.press("Escape")
    else:
        page.get_by_role("button", name="Stop").click()
    assert scripted.left.wait(60), "the server sees the client go"
    page.wait_for_selector(".note >> text=Stopped.")
    assert page.locator(".step").count() == 2
    page.get_by_role("button", name="Try again").click()
    settled(page)
    assert page.locator(".turn").count() == 1
    assert [len(body["messages"]) for body in scripted.bodies] == [1, 1]


def test_a_reload_keeps_the_conversation(visit, scripted):
    page = visit()
    gate = Gate()
    scripted.say(search_reply(), [*path_chunks(SEARCH[:2], "")[:20], gate])
    ask(page)
    settled(page)
    ask(page, "and 23?")
    until(page, "document.querySelectorAll('.step').length === 7")
    page.get_by_label("Question", exact=True).fill("a draft")
    page.reload()
    page.wait_for_selector(".turn >> nth=1")
    assert page.locator(".question").all_inner_texts() == [QUESTION, "and 23?"]
    assert page.locator(".answer-text").first.inner_text() == ANSWER
    assert page.locator(".step").count() == 7
    assert page.get_by_label("Question", exact=True).input_value() == "a draft"
    assert "Stopped." in page.locator(".turn").nth(1).inner_text()
    assert scripted.left.wait(60), "the server sees the client go"

    page.get_by_role("button", name="New chat").click()
    page.reload()
    assert page.locator(".turn").count() == 0
    assert page.locator(".empty").is_visible()


def test_two_tabs_know_nothing_of_each_other(visit, scripted):
    page = visit()
    other = page.context.new_page()
    other.goto(scripted.url)
    gate = Gate()
    chunks = search_reply()
    scripted.say([*chunks[:9], gate, *chunks[9:]])
    ask(page)
    assert gate.reached.wait(60)
    scripted.say([*path_chunks(SEARCH[:1], "the other answer"), DONE])
    ask(other, "another question")
    settled(other)
    assert page.locator(".answer").is_hidden()
    gate.open()
    settled(page)
    assert page.locator(".answer-text").inner_text() == ANSWER
    assert other.locator(".answer-text").inner_text() == "the other answer"
    other.reload()
    assert other.locator(".question").all_inner_texts() == ["another question"]


def test_by_keyboard_alone(visit, scripted):
    page = visit()
    focused = "document.activeElement.textContent.trim() || document.activeElement.id"
    assert page.evaluate(focused) == "question"  # ready to type
    page.keyboard.type("first line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second line")
    scripted.say(search_reply(), search_reply())
    page.keyboard.press("Enter")
    settled(page)
    assert scripted.bodies[0]["messages"] == [{"role": "user", "content": "first line\nsecond line"}]
    assert page.evaluate(focused) == "question"

    # Backwards from the question: the answer's button, then the steps from the last to the first.
    for _ in range(6):
        page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.closest('.step') === document.querySelector('.step')")
    page.keyboard.press("Enter")
    assert page.locator(".step").first.locator(".thought").is_visible()
    for _ in range(6):
        page.keyboard.press("Tab")
    assert page.evaluate(focused) == "question"

    # Forwards: send, then the settings in their order.
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")  # fewest steps
    page.keyboard.press("Tab")
    for _ in range(2):
        page.keyboard.press("ArrowLeft")  # most steps
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")  # temperature
    for _ in range(5):
        page.keyboard.press("Shift+Tab")
    assert page.evaluate(focused) == "question"
    page.keyboard.type("again")
    page.keyboard.press("Enter")
    settled(page, 2)
    body = scripted.bodies[1]
    assert (body["min_steps"], body["max_steps"], body["temperature"]) == (2, 31, 0.05)


def test_in_chinese_when_the_browser_is(visit, scripted):
    page = visit(locale="zh-CN")
    scripted.say(search_reply())
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    page.get_by_label("问题", exact=True).fill("数字 3 5 7，目标 22")
    page.get_by_role("button", name="发送").click()
    settled(page)
    assert "5 步 · 回溯 2 次 · 推理 200 个词元" in page.locator(".status").inner_text()
    assert page.get_by_role("button", name="全部展开").is_visible()
    letters = page.evaluate(
        "[...document.querySelectorAll('button:not(.example), label, h2:not(.question), .keys, .label')]"
        ".map(e => e.textContent).join('').replace(/Enter|Shift|Esc|API/g, '').match(/[A-Za-z]+/g)"
    )
    assert letters is None, "a word was left in English"
