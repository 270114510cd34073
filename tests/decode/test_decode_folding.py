"""Histories as tensors against histories one by one."""

from __future__ import annotations

import random

import torch
from test_decode_history import random_tokens

from steiner.decode import StepControl
from steiner.decode.folding import REMEMBERED, Folded, fold_rows, fold_tokens
from steiner.decode.history import Facts
from steiner.protocol import ControlToken

T = ControlToken


def same(folded, facts):
    return all(
        torch.equal(mine, torch.from_numpy(theirs))
        for mine, theirs in zip(folded.facts(), facts, strict=True)
    )


def test_rows_folded_together_equal_histories(ids):
    """Rows of unequal length: a row without a further token stays what it is."""
    rng = random.Random(2)
    control = StepControl(ids)
    texts = [random_tokens(ids, rng, rng.randrange(120)) for _ in range(60)]
    folded = Folded.empty(len(texts))
    for place in range(max(map(len, texts)) + 1):
        if place % 7 == 0:
            assert same(folded, Facts.of([control.fold(text[:place]) for text in texts]))
        numbers = torch.tensor([text[place] if place < len(text) else 0 for text in texts])
        codes = torch.tensor([control.codes.get(int(n), 0) for n in numbers])
        folded = fold_rows(folded, codes, numbers, torch.tensor([place < len(text) for text in texts]))
    assert same(folded, Facts.of([control.fold(text) for text in texts]))
    for row, text in enumerate(texts):
        alone = fold_tokens(text, control.codes)
        assert all(torch.equal(a[0], b[row]) for a, b in zip(alone, folded, strict=True))


def test_the_oldest_thoughts_are_forgotten_after_many(ids):
    control = StepControl(ids)

    def thought(number):
        return [ids[T.THOUGHT_START], 60 + number % 10, 70 + number // 10, ids[T.THOUGHT_END]]

    history = [token for number in range(REMEMBERED + 1) for token in thought(number)]
    recent = fold_tokens([*history, *thought(REMEMBERED)[:-1]], control.codes)
    oldest = fold_tokens([*history, *thought(0)[:-1]], control.codes)
    assert recent.facts().repeats.item() == 1
    assert oldest.facts().repeats.item() == 0
    assert control.fold([*history, *thought(0)[:-1]]).repeats
