"""What a step says is left to work with: «which leaves 7 and 8», «remaining numbers: 8, 7».

Where a task is to use things up, this is its search state in words: equal lists are the same state however it
was reached, different lists are different states however alike the sentences are.
"""

from __future__ import annotations

import re

from steiner.graph.numerals import canonical

_ITEM = r"-?\d+(?:\.\d+)?"
_LIST = rf"(?P<list>{_ITEM}(?:(?:\s*,\s*and\s+|\s*,\s*|\s+and\s+|\s*&\s*|\s+){_ITEM})*)"
_END = (
    r"(?![.,]?\d)(?=\s*(?:[.;:)\]!?]|,(?!\s*\d)|$"
    r"|(?:to|for|as|because|since|now|left|in|and then|remain\w*|are|is|still|stay)\b))"
)
"""A list ends the clause or goes on with a function word: «20 left», not «20 pounds left»."""
_LINK = (
    r"(?:\s|[:({\[,]|\b(?:is|are|me|us|with|only|just|the|now|becomes?|numbers?|have|hold|to|work|use|of|over|on|table"
    r"|still|unused|available|go|continue)\b)*"
)
_CUE = (
    r"\b(?:leav(?:es?|ing)|left|remain(?:s|ing|der)?|pool|table|unused|still (?:have|hold|got)|available"
    r"|now (?:(?:I|we|you) )?(?:have|hold)|(?:go on|work|continue) (?:with|I have))"
)
_BEFORE = re.compile(_CUE + _LINK + _LIST + _END, re.IGNORECASE)
_AFTER = re.compile(
    rf"(?<![-+*/=^\d.] )(?<![-+*/=^\d.]){_LIST}\s*(?:(?:is|are|stay|stays|still)\s+)*"
    r"(?:remain\w*|left\b|available|unused)(?!\s*(?:to|of)\b)",
    re.IGNORECASE,
)


def remainder_of(text: str) -> str:
    """Return the numbers that a text with digits says are left, sorted and joined; empty without any."""
    found = _BEFORE.search(text) or _AFTER.search(text)
    if found is None:
        return ""
    numbers = [canonical(number) for number in re.findall(_ITEM, found["list"])]
    return ",".join(sorted(numbers, key=lambda n: (float(n), n)))
