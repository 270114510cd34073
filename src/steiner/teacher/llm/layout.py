"""Read steps that a model wrote as text, with labels, instead of as JSON.

## Step 1: Count the eggs
**Thought:** 16 - 3 - 4 = 9
**Summary:** …
**Reflection:** …
Answer: 18
"""

from __future__ import annotations

import re
from typing import Any

LABELS = {
    "back_to": "back[_ ]?to|goes? back to|回到|返回",
    "wrong_step": "(?:first )?wrong[_ ]?step|错误步骤|出错步骤",
    "name": "name|title|名称|名字|标题|nombre|nom|名前",
    "thought": "thoughts?|thinking|reasoning|思考|推理|思路|gedanken?|überlegung|pensamiento|pensée",
    "summary": "summary|总结|小结|摘要|zusammenfassung|resumen|résumé|要約|まとめ",
    "reflection": "reflection|check|反思|反省|检查|reflexion|reflexión|réflexion|振り返り",
    "answer": "(?:the )?(?:final )?answer|(?:最终)?答案|antwort|respuesta(?: final)?|réponse|答え",
}
"""Key of a reply → the labels that stand for it, as a pattern."""

_MARKS = r"[\s#>*_\-•]*"
_STEP = re.compile(
    rf"^{_MARKS}(?:(?:step|schritt|paso|étape|etapa|passo|шаг|ステップ|步骤|단계)\s*[#*]*\s*(?P<a>\d{{1,3}})"
    rf"|第\s*(?P<b>\d{{1,3}}|[一二三四五六七八九十])\s*步)(?P<title>[^\n]*)$",
    re.IGNORECASE,
)
_LABEL = re.compile(
    rf"^{_MARKS}(?:\d{{1,2}}[.)]\s*)?[\"'*_]*(?:"
    + "|".join(f"(?P<{key}>{words})" for key, words in LABELS.items())
    + r")[\"'*_]*\s*[:：]\s*(?P<rest>.*)$",
    re.IGNORECASE,
)
_MAX_LINE = 2_000
"""Labels stand at the beginning of a line; of a longer line only so much is looked at for one."""


def read_layout(text: str) -> dict[str, Any] | None:
    """Return a reply in the form of its JSON, or None if the text has no step."""
    reply: dict[str, Any] = {"steps": []}
    target: dict[str, Any] = reply
    key = ""
    for line in text.replace("\r\n", "\n").split("\n"):
        head = line[:_MAX_LINE]
        if step := _STEP.match(head):
            target = {"name": step["title"].strip(" \t:.)-–—：、*_#")}
            reply["steps"].append(target)
            key = "thought"
        elif label := _LABEL.match(head):
            key = str(label.lastgroup if label.lastgroup != "rest" else _label_of(label))
            if key in ("answer", "wrong_step"):
                target = reply
            target[key] = _join(target.get(key, "") if key == "thought" else "", _plain(label, line))
            key = "thought" if key == "back_to" else key
        elif key:
            target[key] = _join(target.get(key, ""), line)
    return reply if reply["steps"] else None


def _label_of(match: re.Match[str]) -> str:
    return next(key for key in LABELS if match[key])


def _plain(label: re.Match[str], line: str) -> str:
    """Return what follows the label, without the emphasis that closes it."""
    return line[label.start("rest") :].removeprefix("**").strip()


def _join(before: str, line: str) -> str:
    return f"{before}\n{line}".strip() if before else line.strip()
