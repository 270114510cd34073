"""The chat page in a browser: steps, tree, settings, and what goes wrong."""

from __future__ import annotations

import pytest
from waiting import ask, settled, until

from scripted_server import ANSWER, DONE, SEARCH, Gate, Refusal, path_chunks, search_reply

QUESTION = "Numbers 3 5 7, target 22"

pytestmark = pytest.mark.slow


def test_a_step_opens_by_mouse_and_by_enter(visit, scripted):
    page = visit()
    scripted.say(search_reply())
    ask(page)
    settled(page)
    first = page.locator(".step").first
    assert not first.locator(".thought").is_visible()
    first.locator("summary").click()
    assert first.locator(".thought").inner_text() == "3 + 5 = 8"
    assert first.locator(".reflection").inner_text() == "go on"
    page.keyboard.press("Enter")
    assert not first.locator(".thought").is_visible()
    page.get_by_role("button", name="Open all").click()
    assert page.locator("details[open]").count() == len(SEARCH)
    page.get_by_role("button", name="Close all").click()
    until(page, "document.querySelectorAll('details[open]').length === 0")
    page.locator(".knot[data-step='2']").click()
    assert page.locator(".step").nth(2).locator("details").get_attribute("open") is not None


def test_the_tree_returns_where_the_search_went_back(visit, scripted):
    page = visit()
    scripted.say(search_reply())
    ask(page)
    settled(page)
    rows = page.evaluate(
        """() => [...document.querySelectorAll('.knot[data-step]')].map((knot, index) => {
            const box = knot.getBoundingClientRect();
            const line = document.querySelectorAll('.step summary')[index].getBoundingClientRect();
            return {x: box.x, kind: knot.classList[1], off: Math.abs(box.y + box.height / 2 - line.y - 20)};
        })"""
    )
    # Steps 1, 2 follow 0; step 3 is a sibling of 0; step 4 follows 3.
    first, second = rows[0]["x"], rows[1]["x"]
    assert first < second
    assert [row["x"] for row in rows] == [first, second, second, first, second]
    assert [row["kind"] for row in rows] == ["on", "abandoned", "abandoned", "on", "on"]
    assert all(row["off"] < 6 for row in rows), "each knot stands beside its step"
    assert page.locator(".return.head").count() == 2
    assert page.locator(".tree .knot.found").count() == 1
    assert page.get_by_role("img", name="Search tree: steps 5, returns 2").count() == 1

    height = "document.querySelector('.search').offsetHeight"
    closed = page.evaluate(height)
    page.locator(".step summary").first.click()  # rows below move, and the tree with them
    until(page, f"closed => {height} > closed", closed)
    until(
        page,
        """() => { const knot = document.querySelector('.tree .knot.found').getBoundingClientRect();
            const box = document.querySelector('.answer').getBoundingClientRect();
            return knot.bottom > box.top && knot.top < box.bottom; }""",
    )
    page.locator(".step summary").first.click()
    until(page, f"closed => {height} === closed", closed)


def test_the_settings_go_into_the_request(visit, scripted):
    page = visit()
    scripted.say(*[search_reply()] * 3)
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_label("Language of the reasoning").select_option("zh")
    page.get_by_label("Earlier thoughts").select_option("keep")
    page.get_by_label("Fewest steps").fill("9")
    page.get_by_label("Most steps").fill("4")  # takes the other one along
    assert page.get_by_label("Fewest steps").input_value() == "4"
    ask(page)
    settled(page)
    assert scripted.bodies[0] == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Be brief.\n\n请用中文思考。"},
            {"role": "user", "content": QUESTION},
        ],
        "stream": True, "temperature": 0, "history": "keep", "min_steps": 4, "max_steps": 4,
    }  # fmt: skip

    page.get_by_label("Effort").select_option("high")
    assert page.get_by_label("Fewest steps").is_disabled()
    page.reload()  # settings are kept too
    ask(page, "and 23?")
    settled(page, 2)
    body = scripted.bodies[1]
    assert body["reasoning_effort"] == "high"
    assert not {"min_steps", "max_steps"} & body.keys()
    earlier = body["messages"][2]
    assert (earlier["role"], earlier["content"]) == ("assistant", ANSWER)
    assert "7 * 8 = 56" in earlier["reasoning_content"]

    page.get_by_role("button", name="Back to defaults").click()
    ask(page, "third")
    settled(page, 3)
    assert scripted.bodies[2]["min_steps"] == 1
    assert scripted.bodies[2]["messages"][0]["role"] == "user"
    assert "max_steps" not in scripted.bodies[2]


def test_an_input_method_may_use_enter(visit, scripted):
    page = visit()
    page.get_by_label("Question", exact=True).fill("数字")
    page.evaluate(
        "document.querySelector('#question').dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true}))"
    )
    assert page.get_by_label("Question", exact=True).input_value() == "数字"
    assert scripted.bodies == []


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Refusal(429, "wait"), "The server is busy."),
        (Refusal(400, "the prompt is too long"), "the prompt is too long"),
        ([*search_reply()[:8], b'{"error": {"message": "the model broke"}}'], "the model broke"),
        (search_reply()[:8], "the connection broke"),
    ],
    ids=["busy", "refused", "failed", "cut"],
)
def test_what_goes_wrong_is_told_and_can_be_tried_again(visit, scripted, reply, message):
    page = visit()
    scripted.say(reply, search_reply())
    ask(page)
    page.wait_for_selector(f".note.bad >> text={message}")
    page.get_by_role("button", name="Try again").click()
    settled(page)
    assert page.locator(".note").is_hidden()


def test_a_server_with_a_key(visit, scripted):
    scripted.key = "secret"
    page = visit()
    page.get_by_label("API key").fill("secret")
    page.keyboard.press("Tab")
    page.wait_for_selector(".model option >> text=tiny", state="attached")
    scripted.say(search_reply())
    ask(page)
    settled(page)
    assert scripted.keys == ["Bearer secret"]


def test_what_a_model_writes_is_text(visit, scripted):
    page = visit()
    bad = "<img src=x onerror=alert(1)><script>alert(1)</script>"
    scripted.say([*path_chunks([(None, bad, bad, bad, bad)], f"{bad} `{bad}` **{bad}**"), DONE])
    ask(page, bad)
    settled(page)
    assert page.locator("#app img, #app script").count() == 0
    assert page.locator(".name").inner_text() == bad
    assert page.locator(".question").inner_text() == bad
    assert bad in page.locator(".answer-text").inner_text()


def test_answers_are_markdown(visit, scripted):
    page = visit()
    first = "Two bold words, 2 * 3 * 4, 3*5*7, 2**3 + 2**4."
    rest = "\n\n- one\n- `two`\n\n```py\nx * y * z\n```\n# End"
    text = first.replace("bold", "**bold**") + rest
    scripted.say([*path_chunks(SEARCH[:1], text), DONE])
    ask(page)
    settled(page)
    answer = page.locator(".answer-text")
    assert answer.locator("p").first.inner_text() == first
    assert answer.locator("li").all_inner_texts() == ["one", "two"]
    assert answer.locator("pre").inner_text() == "x * y * z"
    assert answer.locator("strong").all_inner_texts() == ["bold", "End"]


def test_it_is_announced(visit, scripted):
    page = visit()
    page.evaluate(
        """() => {
            window.said = [];
            const status = document.querySelector('[role=status]');
            const watcher = new MutationObserver(() => said.push(status.textContent));
            watcher.observe(status, {childList: true, characterData: true, subtree: true});
        }"""
    )
    chunks, gate = search_reply(), Gate()
    scripted.say([*chunks[:6], gate, *chunks[6:]])
    ask(page)
    until(page, "said.includes('Step 1: From 3 5 7')")
    gate.open()
    settled(page)
    until(page, f"said.at(-1) === 'Answer: {ANSWER}'")
