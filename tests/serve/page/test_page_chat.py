"""The chat page in a browser: send, stream, stop, reload, two tabs, keyboard, Chinese, faults."""

from __future__ import annotations

import pytest
from waiting import until

from scripted_server import ANSWER, DONE, SEARCH, Gate, Refusal, path_chunks, search_reply

QUESTION = "Numbers 3 5 7, target 22"


def ask(page, text=QUESTION):
    page.get_by_label("Question", exact=True).fill(text)
    page.keyboard.press("Enter")


def settled(page, turns=1):
    """Wait until so many answers are there and nothing is being written."""
    until(page, "n => document.querySelectorAll('.answer:not([hidden])').length === n", turns)
    page.wait_for_selector("body:not(.running)", state="attached")


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
